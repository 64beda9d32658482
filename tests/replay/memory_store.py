"""A store in memory, and sessions to put into it: what the terminal and replay are tested against, row by row.

`MemoryStore` answers the `Store` protocol from lists; `Writer` makes the calls of a session one after the other, at a fixed
time, with ids that a test can write down (`00000000000000a1`, …).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from otel_llm.values.call import Cost, Usage
from otel_llm.values.errors import Ambiguous, NotFound
from otel_llm.values.journal import CallKey, Undertaking
from otel_llm.values.journal import Entry as JournalEntry
from otel_llm.values.sender import Outgoing
from otel_llm.values.session import Exchange, Filter, Hit, Loss, Ref, ReplayRecord, Run, SessionRow, Step
from otel_llm.values.spandata import SpanData

T0 = 1_740_924_187_000_000_000
"""2025-03-02T14:03:07Z."""
S = 10**9
MS = 10**6
URL = "https://api.openai.com/v1/chat/completions"


class MemoryJournal:
    """The `Journal` protocol over a dictionary."""

    def __init__(self) -> None:
        self.undertakings: dict[str, Undertaking] = {}
        self.calls: dict[str, dict[CallKey, JournalEntry]] = {}

    def begin(self, undertaking: Undertaking, keys: Iterable[CallKey]) -> None:
        self.undertakings[undertaking.session_id] = undertaking
        self.calls[undertaking.session_id] = {key: JournalEntry(key) for key in keys}

    def find(self, given: str) -> Undertaking:
        if given not in self.undertakings:
            raise NotFound("reissue", given, list(self.undertakings))
        return self.undertakings[given]

    def entries(self, session_id: str) -> list[JournalEntry]:
        return list(self.calls[session_id].values())

    def claim(self, session_id: str, key: CallKey, *, cost: int, resend: bool = False) -> bool:
        entry = self.calls[session_id][key]
        if entry.state not in ("waiting", "failed", *(("sending",) if resend else ())):
            return False
        self.calls[session_id][key] = replace(entry, state="sending", sends=entry.sends + 1, cost=entry.cost + cost)
        return True

    def settle(self, session_id: str, entry: JournalEntry, *, elapsed_ns: int = 0) -> None:
        self.calls[session_id][entry.key] = entry
        known = self.undertakings[session_id]
        self.undertakings[session_id] = replace(known, elapsed_ns=known.elapsed_ns + elapsed_ns)

    def hold(self, session_id: str) -> AbstractContextManager[None]:
        return nullcontext()


class MemoryStore:
    """The `Store` protocol over lists."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.rows: dict[str, SessionRow] = {}
        self.all_steps: list[Step] = []
        self.exchanges: dict[str, Exchange] = {}
        self.kept: list[ReplayRecord] = []
        self.lost: list[Loss] = []
        self.closed = 0

    def sessions(self, where: Filter, *, limit: int = 50, offset: int = 0) -> list[SessionRow]:
        rows = sorted(self.rows.values(), key=lambda row: -row.last_ns)
        found = [row for row in rows if self._fits(row.session_id, row.user_id, row.models, row.status, row.tags, row.first_ns,
                                                   row.cost, where)]
        return found[offset : offset + limit]

    def branches(self, session_id: str, *, limit: int = 50) -> list[SessionRow]:
        found = [row for row in self.rows.values() if row.replay_of == session_id != row.session_id]
        return sorted(found, key=lambda row: row.first_ns)[:limit]

    def calls(self, where: Filter, *, limit: int = 50, offset: int = 0) -> list[Step]:
        steps = sorted((s for s in self.all_steps if s.kind == "call"), key=lambda s: -s.start_ns)
        found = [s for s in steps if self._fits(s.session_id, s.user_id, (s.model or "",), s.state, s.tags, s.start_ns, s.cost,
                                                where)]
        return found[offset : offset + limit]

    @staticmethod
    def _fits(session: str, user: str | None, models: tuple[str, ...], status: str, tags: Mapping[str, str], start_ns: int,
              cost: Cost | None, where: Filter) -> bool:
        total = cost.total if cost else None
        return all((
            not where.kinds or "original" in where.kinds,
            not where.session or session in where.session,
            session.startswith(where.session_prefix),
            not where.user or user in where.user,
            not where.model or any(model in where.model for model in models),
            not where.status or status in where.status,
            all(key in tags and (not values or tags[key] in values) for key, values in where.tags.items()),
            where.since_ns is None or start_ns >= where.since_ns,
            where.until_ns is None or start_ns < where.until_ns,
            where.min_cost is None or (total is not None and total >= where.min_cost),
            where.max_cost is None or (total is not None and total <= where.max_cost),
        ))

    def steps(self, session_id: str) -> list[Step]:
        return sorted((s for s in self.all_steps if s.session_id == session_id), key=lambda s: s.start_ns)

    def runs(self, session_id: str) -> list[Run]:
        return []

    def resolve(self, given: str) -> Ref:
        head, colon, number = given.rpartition(":")
        if colon:
            session = self.resolve(head)
            calls = [s for s in self.steps(session.id) if s.kind == "call"]
            if number.isdecimal() and 1 <= int(number) <= len(calls):
                return Ref("call", calls[int(number) - 1].span_id, session.id)
            raise NotFound("call", given)
        if given.startswith("@"):
            newest = self.sessions(Filter())
            if given[1:].isdecimal() and 1 <= int(given[1:]) <= len(newest):
                name = newest[int(given[1:]) - 1].session_id
                return Ref("session", name, name)
            raise NotFound("session", given)
        known = {name: Ref("session", name, name) for name in self.rows}
        known |= {s.span_id: Ref("call", s.span_id, s.session_id) for s in self.all_steps if s.kind == "call"}
        known |= {s.trace_id: Ref("trace", s.trace_id, s.session_id) for s in self.all_steps}
        if given in known:
            return known[given]
        fitting = [name for name in known if len(given) >= 4 and name.startswith(given)]
        if len(fitting) == 1:
            return known[fitting[0]]
        if fitting:
            raise Ambiguous(given, fitting)
        raise NotFound("session or call", given, [name for name in known if name[:3] == given[:3]][:3])

    def exchange(self, span_id: str) -> Exchange:
        if span_id not in self.exchanges:
            raise NotFound("call", span_id)
        return self.exchanges[span_id]

    def span(self, span_id: str) -> SpanData:
        raise NotFound("span", span_id)

    def search(self, text: str, where: Filter, *, limit: int = 50) -> Iterator[Hit]:
        words = text.strip('"').lower().split()
        for step in self.calls(where, limit=10**6)[:limit]:
            exchange = self.exchanges[step.span_id]
            body = "".join(_words(body) for body in (exchange.request_body, exchange.response_body))
            if all(word in body for word in words):
                yield Hit(step, f"… {text} …")

    def losses(self) -> list[Loss]:
        return self.lost

    def record_replay(self, record: ReplayRecord) -> None:
        self.kept.append(record)

    def replays(self, session_id: str) -> list[ReplayRecord]:
        return [r for r in self.kept if session_id in (r.session_id, r.source_session_id)]

    def facts(self) -> Mapping[str, Any]:
        return {"path": "/data/store", "version": 1, "bytes": 1_234_567, "sessions": len(self.rows), "calls": len(self.all_steps)}


def _words(body: bytes | None) -> str:
    try:
        return json.dumps(json.loads(body or b"null"), ensure_ascii=False).lower()
    except ValueError:
        return (body or b"").decode().lower()


@dataclass
class Writer:
    """Writes the calls of one session, two seconds apart."""

    store: MemoryStore
    session_id: str
    user_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    start_ns: int = T0
    prefix: str = "a"
    status: str | None = None
    count: int = 0

    def chat(
        self,
        asked: list[dict[str, Any]],
        answer: str | dict[str, Any] | None,
        *,
        model: str = "gpt-4o-mini",
        usage: Usage = Usage(10, 5),
        cost: int | None = 4_500_000,
        status: int | None = 200,
        body: bytes | None = None,
        response: bytes | None = None,
        response_type: str = "application/json",
        url: str = URL,
        parent: str | None = None,
        trace: int = 1,
        more: Mapping[str, Any] | None = None,
        step: Mapping[str, Any] | None = None,
        exchange: Mapping[str, Any] | None = None,
    ) -> Step:
        """One chat call. `answer` is its words, or a message; None with a status of 400 and more is a failure."""
        self.count += 1
        span_id = f"{self.prefix}{self.count:015x}"
        begun = self.start_ns + self.count * 2 * S
        message = {"role": "assistant", "content": answer} if not isinstance(answer, dict) else answer
        if response is None and status is not None:
            response = json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "model": model, "choices": [
                {"index": 0, "message": message, "finish_reason": "tool_calls" if isinstance(answer, dict) else "stop"}],
                "usage": {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}}).encode()
            if status >= 400:
                response = json.dumps({"error": {"message": "Too many requests", "type": "requests", "code": "x"}}).encode()
        body = body if body is not None else json.dumps({"model": model, "messages": asked, **(more or {})}).encode()
        is_failed = status is None or status >= 400
        made = Step(
            trace_id=f"{self.prefix}{trace:031x}", span_id=span_id, parent_span_id=parent, session_id=self.session_id,
            kind="call", name=f"chat {model}", operation="chat", state="error" if is_failed else "ok", start_ns=begun,
            end_ns=begun + 640 * MS, provider="openai", model=model, response_model=None if is_failed else model,
            usage=Usage() if is_failed else usage, cost=None if is_failed or cost is None else Cost(cost),
            error_type="RateLimitError" if is_failed else None, error_message="Too many requests" if is_failed else None,
            finish_reason=None if is_failed else "stop", user_id=self.user_id, tags=self.tags, api="openai_chat",
            exactness="exact", request_preview=str(asked[-1].get("content"))[:60] if asked else "",
            response_preview=answer[:60] if isinstance(answer, str) else "")
        made = replace(made, **dict(step or {}))
        self.store.all_steps.append(made)
        sent = Exchange(
            trace_id=made.trace_id, span_id=span_id, api=made.api or "generic", method="POST", url=url,
            request_type="application/json", request_body=body, status=status, response_type=response_type,
            response_body=response, complete=status is not None, exactness="exact", provider="openai")
        self.store.exchanges[span_id] = replace(sent, **dict(exchange or {}))
        self.sum_up()
        return made

    def step(self, kind: Any, name: str, *, state: Any = "ok", parent: str | None = None, trace: int = 1) -> Step:
        """A step that is no call; its id ends in its count like the others."""
        self.count += 1
        begun = self.start_ns + self.count * 2 * S
        made = Step(f"{self.prefix}{trace:031x}", f"{self.prefix}{self.count:015x}", parent, self.session_id, kind, name, None,
                    state, begun, begun + 2 * MS, user_id=self.user_id, tags=self.tags)
        self.store.all_steps.append(made)
        self.sum_up()
        return made

    def sum_up(self) -> None:
        """The session's row, from its steps, as a store would keep it."""
        steps = self.store.steps(self.session_id)
        calls = [s for s in steps if s.kind == "call"]
        known = [s.cost.total for s in calls if s.cost is not None]
        tokens = [(s.usage.input_tokens or 0, s.usage.output_tokens or 0) for s in calls if s.usage.input_tokens is not None]
        errors = sum(s.state == "error" for s in steps)
        status: Any = self.status or ("error" if calls and calls[-1].state == "error" else "recovered" if errors else "ok")
        self.store.rows[self.session_id] = SessionRow(
            session_id=self.session_id, title=next((s.request_preview for s in calls), ""), first_ns=steps[0].start_ns,
            last_ns=max(s.end_ns or s.start_ns for s in steps), turns=len({s.request_preview for s in calls}), calls=len(calls),
            steps=len(steps), errors=errors, status=status,
            usage=Usage(sum(i for i, _ in tokens), sum(o for _, o in tokens)) if tokens else Usage(),
            cost=Cost(sum(known)) if known else None, unpriced_calls=sum(s.cost is None for s in calls),
            models=tuple(dict.fromkeys(s.model or "" for s in calls)), user_id=self.user_id, tags=self.tags, inferred=True)


def newcomer(store: MemoryStore) -> Writer:
    """The newcomer's session: three answered turns and one that failed and was caught, a tool call, a stream; five calls."""
    w = Writer(store, "sess-newcomer01", user_id="ada", tags={"team": "search"})
    history: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."},
                                     {"role": "user", "content": "Where is order 4411?"}]
    asks = {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "lookup_order", "arguments": '{"order_id": "4411"}'}}]}
    w.chat(history, asks)
    history += [asks, {"role": "tool", "tool_call_id": "call_1", "content": '{"status": "shipped"}'}]
    w.step("tool", "lookup_order")
    w.chat(history, "It left on Monday.")
    history += [{"role": "assistant", "content": "It left on Monday."}, {"role": "user", "content": "Say it in French."}]
    w.chat(history, None, status=429)
    history[-1] = {"role": "user", "content": "And in German?"}
    start = b'data: {"id":"c","model":"gpt-4o-mini","choices":['
    stream = (start + b'{"index":0,"delta":{"role":"assistant","content":"Am "}}]}\n\n'
              + start + b'{"index":0,"delta":{"content":"Montag."},"finish_reason":"stop"}]}\n\n'
              + start + b'],"usage":{"prompt_tokens":30,"completion_tokens":3}}\n\ndata: [DONE]\n\n')
    w.chat(history, "Am Montag.", response=stream, response_type="text/event-stream", more={"stream": True}, usage=Usage(30, 3),
           step={"stream": True, "first_chunk_ns": 120 * MS}, exchange={"chunks": ((80, 120_000), (90, 10_000))})
    history += [{"role": "assistant", "content": "Am Montag."}, {"role": "user", "content": "Thanks!"}]
    w.chat(history, "You are welcome.\n\n```python\nprint('bye')\n```\n")
    return w


@dataclass
class Answering:
    """A sender that answers from a list and remembers what it was asked to send."""

    answers: list[Any]
    sent: list[Outgoing] = field(default_factory=list)

    def send(self, request: Outgoing) -> Exchange:
        self.sent.append(request)
        answer = self.answers[min(len(self.sent), len(self.answers)) - 1]
        status, text = answer if isinstance(answer, tuple) else (200, answer)
        model = json.loads(request.body)["model"]
        body: bytes | None = json.dumps({"id": "x", "model": model, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7}}).encode()
        if status is None:
            body = None
        elif status >= 400:
            body = json.dumps({"error": {"message": text, "type": "invalid_request_error"}}).encode()
        return Exchange(
            trace_id="f" * 32, span_id=f"f{len(self.sent):015x}", api=request.api, method=request.method, url=request.url,
            request_type=request.content_type, request_body=request.body, status=status, response_type="application/json",
            response_body=body, complete=True, exactness="exact")
