"""Everything that the suite has recorded, judged by the checker of the GenAI conventions. Runs last."""

from __future__ import annotations

import importlib.util
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.conventions import CHECKER, DATA
from support.recording import RECORDS

HERE = Path(__file__).parent
LISTED = tomllib.loads((HERE / "semconv_expected.toml").read_text())["expected"]
OWN = ()


def findings() -> list[dict[str, Any]]:
    spec = importlib.util.spec_from_file_location("check_spans", CHECKER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ours = [r for r in RECORDS if r.get("signal") != "span" or r["scope"]["name"] == "otel_llm"]
    found: list[dict[str, Any]] = module.check(ours, DATA, "latest", OWN)
    return found


def is_listed(finding: dict[str, Any]) -> bool:
    attribute = finding["context"].get("attribute", finding["message"])
    return any(attribute == entry["attribute"] and entry["signal"] in finding["signal"] for entry in LISTED)


@pytest.mark.skipif(not CHECKER.exists(), reason="the checker of the conventions is not beside this checkout")
def test_nothing_that_was_recorded_violates_the_conventions() -> None:
    if not RECORDS:
        pytest.skip("nothing was recorded in this run")
    found = findings()

    wrong = [f"{f['level']} {f['id']} {f['signal']}: {f['message']}" for f in found
             if f["level"] == "violation" or (f["level"] == "expected" and not is_listed(f))]
    levels = Counter(f["level"] for f in found)
    print(f"judged {len(RECORDS)} records: {levels['violation']} violations, {len(wrong)} unlisted expected")
    print(*Counter((f["id"], f["message"]) for f in found if f["level"] == "improvement").most_common(5), sep="\n")
    assert not wrong, "\n" + "\n".join(sorted(set(wrong)))
