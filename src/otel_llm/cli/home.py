"""Bare `otel-llm`: the one command that is useful next, for this store."""

from __future__ import annotations

from otel_llm.cli.app import App
from otel_llm.cli.output import Output
from otel_llm.text import numbers
from otel_llm.text.lines import Line
from otel_llm.text.safe import line
from otel_llm.values.session import LISTED, Filter, SessionRow


def home(app: App) -> None:
    """Print it, with what the store holds in a line."""
    latest = app.store.sessions(Filter(kinds=LISTED), limit=20)
    Output(app).show(_lines(app, latest), whole=True)


def _lines(app: App, latest: list[SessionRow]) -> list[Line]:
    if not latest:
        return [
            [("Nothing is recorded in this store yet.", "")],
            [("  otel-llm demo", "bold"), ("                 see it at work, without a key", "dim")],
            [("  otel-llm run -- python app.py", "bold"), (" record a program of yours", "dim")],
            [("  otel-llm --help", "bold"), ("               everything else", "dim")],
        ]
    row = latest[0]
    words = f"The latest session, {numbers.clock(row.last_ns, now_ns=app.now_ns())}: "
    facts = [numbers.plural(row.calls, "call"), numbers.cost(row.cost.total if row.cost else None), row.status]
    head: Line = [(words, ""), (line(row.title), "bold"), (f" ({', '.join(facts)})", "")]
    failed = next((place for place, other in enumerate(latest, 1) if other.status in ("error", "recovered")), None)
    lines = [head, _next("show @1", "its turns and steps")]
    if failed == 1:
        lines.append(_next("calls --status error --session @1", "what failed in it"))
    elif failed is not None:
        lines.append(_next(f"show @{failed}", "the latest one in which something failed"))
    lines += [_next("sessions", "all of them"), _next("--help", "everything else")]
    return lines


def _next(command: str, why: str) -> Line:
    return [(f"  otel-llm {command:<34}", "bold"), (f" {why}", "dim")]
