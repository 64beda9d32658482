"""Work that may never end, in a process of its own that is ended when its time is up.

A pattern such as `(a+)+$` may take longer than anybody waits, and Python cannot be interrupted while it looks. What is asked and
what is answered go as JSON through the pipes of a small child process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


class TookTooLong(Exception):
    """The time was up, and the child was ended."""


class Failed(Exception):
    """The child came to no answer; the message says why."""


def ask(program: str, material: Any, seconds: float) -> Any:
    """What a program prints as JSON that reads this material as JSON. Raises `TookTooLong`, `Failed`."""
    try:
        done = subprocess.run([sys.executable, "-I", "-S", "-c", program], input=json.dumps(material).encode(),
                              capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise TookTooLong from None
    except OSError as error:
        raise Failed(str(error)) from None
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Failed(words[-1] if words else f"its process ended with {done.returncode}")
    return json.loads(done.stdout)
