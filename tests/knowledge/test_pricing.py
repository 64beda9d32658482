"""Prices: ours against the library's, and what is never invented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from otel_llm.pricing import FIELDS, PROVIDERS, UNKNOWN_YET, PriceTable
from otel_llm.values.call import Cost, Usage

NOW = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 10**9
USAGE = Usage(1_000, 200, 400, None, 50)
USAGES = (
    Usage(1_000, 200), USAGE, Usage(1_000, 200, 400, 100, 50), Usage(1_000_003, 77, 999_999), Usage(0, 0),
    Usage(1_000, 200, audio_input_tokens=300, audio_output_tokens=20),
    Usage(1_000, 200, text_input_tokens=970, image_input_tokens=30, text_output_tokens=200),
)


def table(tmp_path: Path) -> PriceTable:
    return PriceTable(tmp_path / "prices.json")


class TestAgainstTheLibrary:
    @pytest.mark.parametrize("tier", [None, "flex", "priority"])
    def test_our_multiplication_equals_the_librarys_for_every_model_to_the_pico_dollar(self, tier: str | None) -> None:
        """Exact: the library's decimal sum times 10¹², rounded half to even; for prices kept as rows nothing is rounded."""
        from genai_prices.data_snapshot import get_snapshot
        from genai_prices.types import Usage as LibraryUsage

        prices, compared, quick = PriceTable(), 0, 0
        at = datetime.fromtimestamp(NOW / 1e9, UTC)
        for provider in get_snapshot().providers:
            for model in provider.models:
                if provider.find_model(model.id) is not model:
                    continue
                for usage in USAGES:
                    cost = prices.exact(provider.id, model.id, usage, NOW, service_tier=tier)
                    known = {theirs: getattr(usage, ours) for ours, theirs in FIELDS.items()}
                    try:
                        theirs = model.calc_price(LibraryUsage(**known), provider, genai_request_timestamp=at,
                                                  price_context=None if tier is None else {"service_tier": tier})
                    except ValueError:
                        assert cost is None
                        continue
                    if cost is None:
                        assert theirs.total_price == 0, "a model that is priced by something else than tokens"
                        continue
                    expected = (theirs.total_price, theirs.input_price, theirs.output_price)
                    assert (cost.total, cost.input, cost.output) == tuple(round(p * 10**12) for p in expected)
                    compared += 1
                    quick += prices.quick(provider.id, model.id, usage, NOW, service_tier=tier) == cost
        assert compared > 10_000 and quick > 0.85 * compared

    def test_every_provider_of_ours_is_one_of_theirs(self) -> None:
        from genai_prices.data_snapshot import get_snapshot

        assert set(PROVIDERS.values()) <= {p.id for p in get_snapshot().providers}

    def test_a_price_holds_from_its_day_on(self, tmp_path: Path) -> None:
        prices = table(tmp_path)
        before = int(datetime(2025, 6, 9, tzinfo=UTC).timestamp()) * 10**9
        after = int(datetime(2025, 6, 10, tzinfo=UTC).timestamp()) * 10**9

        costs = [prices.exact("openai", "o3", Usage(1_000, 0), at) for at in (before, after)]

        assert costs == [Cost(10**10, 10**10, 0), Cost(2 * 10**9, 2 * 10**9, 0)]
        assert prices.quick("openai", "o3", Usage(1_000, 0), before) == costs[0]


class TestQuick:
    def test_says_not_yet_until_the_library_has_been_asked(self, tmp_path: Path) -> None:
        prices = table(tmp_path)

        before = prices.quick("openai", "gpt-4o-mini", USAGE, NOW)
        exact = prices.exact("openai", "gpt-4o-mini", USAGE, NOW)

        assert before is UNKNOWN_YET
        assert exact == prices.quick("openai", "gpt-4o-mini", USAGE, NOW) == Cost(240_000_000, 120_000_000, 120_000_000)

    def test_leaves_prices_by_volume_to_the_library(self, tmp_path: Path) -> None:
        prices = table(tmp_path)

        exact = prices.exact("gcp.gemini", "gemini-2.5-pro", USAGE, NOW)

        assert exact is not None
        assert prices.quick("gcp.gemini", "gemini-2.5-pro", USAGE, NOW) is UNKNOWN_YET

    def test_never_imports_the_library(self, tmp_path: Path) -> None:
        table(tmp_path).exact("openai", "gpt-4o-mini", USAGE, NOW)
        code = (
            "import sys; from pathlib import Path; from otel_llm.pricing import PriceTable;"
            "from otel_llm.values.call import Usage;"
            f"print(PriceTable(Path({str(tmp_path / 'prices.json')!r})).quick('openai', 'gpt-4o-mini', Usage(1000, 0), {NOW}),"
            "'genai_prices' in sys.modules)"
        )

        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

        assert out.strip() == "Cost(total=150000000, input=150000000, output=0) False"

    @pytest.mark.parametrize("provider", [None, "nobody"])
    def test_an_unknown_provider_costs_an_unknown_amount(self, tmp_path: Path, provider: str | None) -> None:
        assert table(tmp_path).exact(provider, "gpt-4o-mini", USAGE, NOW) is None


class TestNothingInvented:
    @pytest.mark.parametrize(
        "usage", [Usage(), Usage(input_tokens=5), Usage(output_tokens=5), Usage(10, 5, 20), Usage(None, 5, 20)],
        ids=["nothing", "no output", "no input", "more cached than given", "cached of unknown"])
    def test_a_cost_whose_counts_are_not_known_is_not_known(self, tmp_path: Path, usage: Usage) -> None:
        prices = table(tmp_path)

        assert [prices.exact("openai", "gpt-4o-mini", usage, NOW) for _ in range(2)] == [None, None]

    def test_a_model_that_no_table_knows_has_no_price_and_not_the_price_zero(self, tmp_path: Path) -> None:
        prices = table(tmp_path)

        assert prices.exact("openai", "my-own-model", USAGE, NOW) is None
        assert prices.quick("openai", "my-own-model", USAGE, NOW) is None

    def test_no_tokens_cost_nothing(self, tmp_path: Path) -> None:
        assert table(tmp_path).exact("openai", "gpt-4o-mini", Usage(0, 0), NOW) == Cost(0, 0, 0)

    def test_embeddings_need_no_output_count(self, tmp_path: Path) -> None:
        assert table(tmp_path).exact("openai", "text-embedding-3-small", Usage(5), NOW) == Cost(100_000, 100_000, 0)


class TestCache:
    def test_is_for_its_owner_only(self, tmp_path: Path) -> None:
        table(tmp_path).exact("openai", "gpt-4o-mini", USAGE, NOW)

        assert os.stat(tmp_path / "prices.json").st_mode & 0o777 == 0o600
        assert [p.name for p in tmp_path.iterdir()] == ["prices.json"]

    def test_two_tables_keep_each_others_rows(self, tmp_path: Path) -> None:
        one, two = table(tmp_path), table(tmp_path)
        two.quick("openai", "gpt-4o", USAGE, NOW)
        one.exact("openai", "gpt-4o-mini", USAGE, NOW)
        two.exact("openai", "gpt-4o", USAGE, NOW)

        third = table(tmp_path)

        assert UNKNOWN_YET not in [third.quick("openai", m, USAGE, NOW) for m in ("gpt-4o-mini", "gpt-4o")]

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "0", "rows": {}}', '{"rows": 5}', "\x00"])
    def test_a_broken_or_outdated_file_is_ignored(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "prices.json").write_text(text)
        prices = table(tmp_path)

        assert prices.quick("openai", "gpt-4o-mini", USAGE, NOW) is UNKNOWN_YET
        assert prices.exact("openai", "gpt-4o-mini", USAGE, NOW) == Cost(240_000_000, 120_000_000, 120_000_000)

    @pytest.mark.parametrize(
        "row", [5, [], [[0]], [[0, [[0, "x", [], [], [], "input"]]]], {"a": 1}, [[0, [[99, 1, [], [], [], "input"]]]]])
    def test_a_broken_row_is_looked_up_again(self, tmp_path: Path, row: Any) -> None:
        table(tmp_path).exact("openai", "gpt-4o-mini", USAGE, NOW)
        kept = json.loads((tmp_path / "prices.json").read_text())
        kept["rows"] = dict.fromkeys(kept["rows"], row)
        (tmp_path / "prices.json").write_text(json.dumps(kept))

        assert table(tmp_path).exact("openai", "gpt-4o-mini", USAGE, NOW) == Cost(240_000_000, 120_000_000, 120_000_000)

    def test_a_place_that_cannot_be_written_costs_nothing_but_the_file(self, tmp_path: Path) -> None:
        prices = PriceTable(tmp_path / "no" / "such" / "folder" / "prices.json")

        assert prices.exact("openai", "gpt-4o-mini", USAGE, NOW) == prices.quick("openai", "gpt-4o-mini", USAGE, NOW)
