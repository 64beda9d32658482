"""Messages as a chat: who said it, what was said, which tools were asked and what they answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otel_llm.cli.look.rows import LEFT_EARLY, state_text, total
from otel_llm.replay.conversation import Entry
from otel_llm.replay.reading import RecordedCall
from otel_llm.replay.view import is_left_early
from otel_llm.semconv import write_part
from otel_llm.text import numbers
from otel_llm.text.lines import Line
from otel_llm.text.safe import line, safe
from otel_llm.values.call import Media, Message, Other, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from otel_llm.values.session import Step


def entry_lines(entry: Entry) -> Iterator[Line]:
    """One entry of a conversation, with an empty line behind it."""
    if entry.message is None:
        happened = "" if is_left_early(entry.step) else "failed: "
        yield [(f"✗ call {entry.call_number} {happened}{line(failure(entry.step))}", _failure_style(entry.step))]
        yield []
        return
    about = _about(entry) if entry.source == "response" else ""
    yield from message_lines(entry.message, about)


def call_lines(recorded: RecordedCall, number: int) -> Iterator[Line]:
    """A call on its own: facts, what was sent, what came back."""
    step, call = recorded.step, recorded.call
    yield [("call ", ""), (step.span_id, "id"), (f"  {line(step.session_id)}:{number}  ", "dim"),
           (state_text(step), state_text(step))]
    yield [(" · ".join(_facts(step)), "")]
    yield []
    if call is None:
        yield [(f"Its content is not readable ({recorded.exchange.omitted or recorded.exchange.api}); "
                f"`otel-llm call {step.span_id}` shows what was recorded.", "dim")]
        return
    if call.request.system:
        yield from message_lines(Message("system", call.request.system))
    for message in call.request.messages:
        yield from message_lines(message)
    for message in call.response.messages if call.response is not None else ():
        yield from message_lines(message, "answer")
    if step.state in ("error", "incomplete"):
        yield [(f"✗ {line(failure(step))}", _failure_style(step))]


def message_lines(message: Message, about: str = "") -> Iterator[Line]:
    """One message: its role, then its parts, indented."""
    role = line(message.role)
    name = f" {line(message.name)}" if message.name else ""
    yield [(role + name, role), (f"  {about}" if about else "", "dim")]
    for part in message.parts:
        style = "dim" if isinstance(part, (Reasoning, Media, Other)) else ""
        for text in safe(part_text(part)).strip("\n").split("\n"):
            yield [(("  " + text.replace("\t", "    ")).rstrip(), style)]
    yield []


def part_text(part: Part) -> str:
    """A part as words; what has none is named."""
    match part:
        case Text(content) | Refusal(content):
            return content
        case Reasoning(content):
            return f"(thinks) {content}"
        case ToolCall(_, name, arguments):
            return f"→ {name}({arguments})"
        case ToolResult(_, result):
            return f"← {result}"
        case Media():
            return f"[{part.modality} {part.mime_type or ''} {part.uri or part.file_id or _size(part.data)}]"
        case Other(kind, json):
            return f"[{kind}] {json}"


def _size(data: str | None) -> str:
    if data is None:
        return ""
    return data if data.startswith("sha256:") else numbers.size(len(data) * 3 // 4)


def failure(step: Step) -> str:
    """What went wrong, in one line."""
    if is_left_early(step):
        return "left early: the program did not read the stream to its end"
    if step.state == "incomplete" and not step.error_type:
        return "the answer was cut off"
    return ": ".join(part for part in (step.error_type, step.error_message) if part) or "no reason is recorded"


def _failure_style(step: Step) -> str:
    return LEFT_EARLY if is_left_early(step) else "error"


def _about(entry: Entry) -> str:
    step = entry.step
    parts = [f"call {entry.call_number}", line(step.response_model or step.model or ""), numbers.duration(step.duration_ns)]
    parts += [f"first {numbers.duration(step.first_chunk_ns)}"] if step.first_chunk_ns is not None else []
    parts += [f"choice {entry.choice}"] if entry.choice is not None else []
    return " · ".join(part for part in parts if part)


def _facts(step: Step) -> list[str]:
    parts = [line(step.response_model or step.model or numbers.UNKNOWN),
             numbers.tokens(step.usage.input_tokens, step.usage.output_tokens),
             numbers.cost(total(step.cost)), numbers.duration(step.duration_ns)]
    parts += [f"stream, first {numbers.duration(step.first_chunk_ns)}"] if step.stream else []
    parts += [f"{step.attempts} attempts"] if step.attempts > 1 else []
    parts += [f"ended by {line(step.finish_reason)}"] if step.finish_reason else []
    parts += [f"prompt {line(step.prompt_name)} {line(step.prompt_version or '')}".strip()] if step.prompt_name else []
    return [*parts, numbers.clock(step.start_ns)]


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry as `show --messages --json` prints it; parts have the shape of the semantic conventions."""
    message, failed = entry.message, entry.source == "failure"
    return {
        "turn": entry.turn,
        "call_number": entry.call_number,
        "span_id": entry.step.span_id,
        "source": entry.source,
        "role": message.role if message is not None else None,
        "name": message.name if message is not None else None,
        "text": message.text if message is not None else None,
        "parts": [write_part(part) for part in message.parts] if message is not None else [],
        "choice": entry.choice,
        "error_type": entry.step.error_type if failed else None,
        "error_message": entry.step.error_message if failed else None,
    }
