"""What is asked of genai-prices: which model a name means, its prices as a row, and every calculation that a row cannot do.

Everything here imports the library inside the function: 130 ms of CPU that no instrumented call pays.

Source: https://github.com/pydantic/genai-prices
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_llm.pricing.row import FIELDS, LIBRARY
from otel_llm.values.call import Cost, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider
    from genai_prices.units import UnitDef

    Found = tuple[Provider, ModelInfo]

PROVIDERS: Mapping[str, str] = {
    "openai": "openai",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "anthropic": "anthropic",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "aws.bedrock": "aws",
    "cohere": "cohere",
    "perplexity": "perplexity",
    "x_ai": "x-ai",
    "deepseek": "deepseek",
    "groq": "groq",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
}
"""genai-prices' provider by `gen_ai.provider.name`; a name that is not here is asked for as it is."""

STANDARD_TIERS = frozenset({"", "auto", "default", "standard"})
_PICO = 10**12


def find(provider: str, model: str) -> Found | None:
    """Provider and model that these names mean to the library."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider_model(model, None, PROVIDERS.get(provider, provider), None)
    except LookupError:
        return None


def context_of(found: Found | None, tier: str | None) -> dict[str, str] | None:
    """The tier as the library wants it. It knows tiers of a provider's own models only, not of those it borrows."""
    if found is None or tier is None or tier in STANDARD_TIERS or not any(m is found[1] for m in found[0].models):
        return None
    return {"service_tier": tier}


def row_of(model: ModelInfo, context: dict[str, str] | None) -> Any:
    """The row of a model: one entry from every day on which one of its prices changes."""
    from datetime import UTC, datetime, time

    from genai_prices.types import StartDateConstraint

    constraints = [price.constraint for price in model.prices] if isinstance(model.prices, list) else []
    if context:
        constraints += [variant.constraint for variant in model.price_variants or ()]
    days = set()
    for constraint in constraints:
        if isinstance(constraint, StartDateConstraint):
            days.add(datetime.combine(constraint.start_date, time(), UTC))
        elif constraint is not None:
            return LIBRARY
    row: list[Any] = []
    for day in (datetime(2000, 1, 1, tzinfo=UTC), *sorted(days)):
        units = _units(model.get_prices(day, context))
        if units is None:
            return LIBRARY
        row.append([int(day.timestamp()) * 10**9, units])
    return row if any(unit[5] for _, units in row for unit in units) else None


def _units(price: ModelPrice) -> list[Any] | None:
    """The priced token units, the most special first; None when the price is not one whole number of pico-USD a token."""
    from decimal import Decimal

    from genai_prices.decompose import is_descendant_or_self
    from genai_prices.units import _get_registry

    registry = _get_registry()
    ours = [registry.units[key] for key in FIELDS.values()]
    priced: list[tuple[UnitDef, int]] = []
    for key, value in vars(price).items():
        if value is None:
            continue
        if not isinstance(value, Decimal):
            return None
        unit = registry.unit_for_price_key(key)
        if unit.dimensions.get("family") == "tokens" or unit.usage_key == "requests":
            amount = value * _PICO / unit.per
            if amount != int(amount):
                return None
            priced.append((unit, int(amount)))
    priced.sort(key=lambda pair: (-len(pair[0].dimensions), pair[0].usage_key))
    units: list[Any] = []
    for unit, pico in priced:
        children = [i for i, (other, _) in enumerate(priced[: len(units)]) if is_descendant_or_self(unit, other)]
        descendants = [i for i, other in enumerate(ours) if other is not unit and is_descendant_or_self(unit, other)]
        joins = [
            [a, b]
            for a, left in enumerate(ours)
            for b, right in enumerate(ours[a + 1 :], a + 1)
            if left.is_compatible_with(right)
            and not is_descendant_or_self(left, right)
            and not is_descendant_or_self(right, left)
            and dict(unit.dimensions) == {**left.dimensions, **right.dimensions}
        ]
        field = ours.index(unit) if unit in ours else None
        direction = "" if unit.usage_key == "requests" else unit.dimensions.get("direction", "")
        units.append([field, pico, children, descendants, joins, direction])
    return units


def calculate(found: Found, context: dict[str, str] | None, usage: Usage, at_ns: int) -> Cost | None:
    """The library's own calculation, rounded half to even to the pico-dollar."""
    from datetime import UTC, datetime
    from decimal import ROUND_HALF_EVEN

    from genai_prices.types import Usage as LibraryUsage

    provider, model = found
    known = {theirs: getattr(usage, ours) for ours, theirs in FIELDS.items()}
    at = datetime.fromtimestamp(at_ns / 1e9, UTC)
    priced = {key for key, value in vars(model.get_prices(at, context)).items() if value}
    if (usage.input_tokens is None and "input_mtok" in priced) or (usage.output_tokens is None and "output_mtok" in priced):
        return None
    try:
        price = model.calc_price(LibraryUsage(**known), provider, genai_request_timestamp=at, price_context=context)
    except ValueError:
        return None
    amounts = (price.total_price, price.input_price, price.output_price)
    return Cost(*(int((amount * _PICO).to_integral_value(ROUND_HALF_EVEN)) for amount in amounts))
