"""Running asynchronous tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


def run(client: Any, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run `main()` on a loop of its own and close the client on that loop."""

    async def inside() -> Any:
        async with client:
            return await main()

    return asyncio.run(inside())
