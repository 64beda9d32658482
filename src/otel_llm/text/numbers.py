"""How numbers look, everywhere in the terminal: one function a kind of figure.

An unknown figure is an en dash and never a zero. Times below a second are milliseconds, below two minutes seconds. Money
below a dollar has two significant digits, however small it is, so that a price is never rounded to nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

UNKNOWN = "–"

PICO = 10**12
"""Pico-USD in a dollar."""


def duration(ns: int | None) -> str:
    """`0.4 ms`, `812 ms`, `1.23 s`, `65.0 s`, `2 m 05 s`, `3 h 20 m`."""
    if ns is None:
        return UNKNOWN
    if ns < 0:
        return f"-{duration(-ns)}"
    if 0 < ns < 9_950_000:
        return f"{ns / 1e6:.1f} ms" if ns >= 50_000 else "<0.1 ms"
    if ns < 999_500_000:
        return f"{ns / 1e6:.0f} ms"
    if ns < 9_995_000_000:
        return f"{ns / 1e9:.2f} s"
    if ns < 119_950_000_000:
        return f"{ns / 1e9:.1f} s"
    seconds = round(ns / 1e9)
    if seconds < 3600:
        return f"{seconds // 60} m {seconds % 60:02} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} m"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def offset(ns: int) -> str:
    """So long after the beginning: `+640 ms`, `+1.23 s`."""
    return duration(ns) if ns < 0 else f"+{duration(ns)}"


def cost(pico_usd: int | None) -> str:
    """`$0.000034`, `$0.12`, `$1.05`, `$1,234.56`; `$0` only for what is free."""
    if pico_usd is None:
        return UNKNOWN
    if pico_usd < 0:
        return f"-{cost(-pico_usd)}"
    if pico_usd == 0:
        return "$0"
    dollars = Decimal(pico_usd) / PICO
    if dollars >= Decimal("0.995"):
        return f"${dollars.quantize(Decimal('0.01'), ROUND_HALF_EVEN):,}"
    rounded = dollars.quantize(Decimal(1).scaleb(dollars.adjusted() - 1), ROUND_HALF_EVEN)
    if rounded.adjusted() > dollars.adjusted():
        rounded = rounded.quantize(Decimal(1).scaleb(rounded.adjusted() - 1))
    return f"${rounded:f}"


def cost_exact(pico_usd: int | None) -> str:
    """Dollars with every digit and no sign of currency, for machines: `0.0000342`."""
    if pico_usd is None:
        return UNKNOWN
    text = f"{Decimal(pico_usd) / PICO:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def count(number: int | None) -> str:
    """`1,204`."""
    return UNKNOWN if number is None else f"{number:,}"


def tokens(into: int | None, out: int | None) -> str:
    """`812 → 44 tok`."""
    return f"{count(into)} → {count(out)} tok"


def size(number: int | None) -> str:
    """Bytes in units of 1000: `812 B`, `1.2 kB`, `34 MB`."""
    if number is None:
        return UNKNOWN
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 9.95 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def costs(pico_usd: int | None, unpriced: int) -> str:
    """A sum of costs that says how many calls it does not know: `$0.0031 + 2 calls of unknown cost`."""
    return cost(pico_usd) + (f" + {plural(unpriced, 'call')} of unknown cost" if unpriced else "")


def plural(number: int, noun: str, many: str | None = None) -> str:
    """`1 call`, `1,204 calls`."""
    return f"{count(number)} {noun if number == 1 else many or noun + 's'}"


def clock(ns: int | None, *, now_ns: int | None = None) -> str:
    """Local time as people read it: `14:03:07` of today, else `Mar 02 14:03`, of another year `2024-03-02`."""
    if ns is None:
        return UNKNOWN
    when = datetime.fromtimestamp(ns // 10**9).astimezone()
    if now_ns is None:
        return when.strftime("%Y-%m-%d %H:%M:%S")
    now = datetime.fromtimestamp(now_ns // 10**9).astimezone()
    if when.date() == now.date():
        return when.strftime("%H:%M:%S")
    return when.strftime("%b %d %H:%M") if when.year == now.year else when.strftime("%Y-%m-%d")


def timestamp(ns: int | None) -> str:
    """Time for machines: `2025-03-02T14:03:07.123456Z`."""
    if ns is None:
        return UNKNOWN
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9 // 1000:06}Z"
