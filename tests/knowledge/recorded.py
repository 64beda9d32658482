"""The recorded cases as data: `cases/<adapter>/<case>/` holds `request.json`, `response.json` or `stream.sse`, and `call.json`.

The bodies are bytes as they went over a wire; `call.json` says what they mean, in the spelling of `spelling.spell`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_llm.adapters import by_name, read_call
from otel_llm.values.adapter import Adapter
from otel_llm.values.call import Call

ROOT = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    path: Path
    adapter: Adapter
    request: bytes | None
    response: bytes | None
    response_type: str
    expected: dict[str, Any]

    def read(self, *, content: bool = True) -> tuple[Call, bool]:
        return read_call(self.adapter, self.expected["provider"], self.request, self.response, self.response_type,
                         status=self.expected["status"], content=content)


def _case(path: Path) -> Case:
    def body(name: str) -> bytes | None:
        return (path / name).read_bytes() if (path / name).exists() else None

    adapter = by_name(path.parent.name)
    assert adapter is not None, f"{path.parent.name} is no adapter"
    stream = body("stream.sse")
    return Case(path, adapter, body("request.json"), body("response.json") if stream is None else stream,
                "text/event-stream" if stream is not None else "application/json", json.loads((path / "call.json").read_bytes()))


CASES = [_case(path.parent) for path in sorted(ROOT.glob("*/*/call.json"))]
IDS = [f"{case.adapter.name}-{case.path.name}" for case in CASES]
STREAMS = [case for case in CASES if case.response_type == "text/event-stream"]
