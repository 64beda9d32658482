"""Where the checker of the conventions is, when it is beside this checkout."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("OTEL_LLM_SHARED", Path(__file__).parents[3] / "shared"))
CHECKER = SHARED / "tools" / "check_spans.py"
DATA = SHARED / "reference" / "semconv" / "data"
