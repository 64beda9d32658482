"""One LLM call in words that no provider owns: who was asked what, and what came back.

An adapter makes a `Call` from a provider's wire JSON; `otel_llm.semconv` writes it as span attributes and reads it back.
The shapes follow the GenAI semantic conventions (messages made of typed parts), so that nothing is lost on the way to a
span: `semconv.read(semconv.write(call)) == call`.

`None` means unknown and `0` means zero, everywhere: a provider that reports no cached tokens did not report none of them.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Operation = Literal["chat", "text_completion", "embeddings", "fetch_response", "generate_content"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    content: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model says that it thought."""

    content: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declined, in its own words (written as a generic part of type `refusal`)."""

    content: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. `arguments` is the JSON text exactly as the model wrote it; it may be broken JSON."""

    id: str | None
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered. `result` is text; structured results are JSON text."""

    id: str | None
    result: str


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound, a video or a file: by `uri`, by provider's `file_id`, or inline as base64 `data`.

    `data` may be replaced by its digest (`sha256:…`) where content is limited; the bytes are then in the store.
    """

    modality: Literal["image", "audio", "video", "file"]
    mime_type: str | None = None
    uri: str | None = None
    file_id: str | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """A part that we do not know, kept whole: `type` as the provider calls it, `json` its compact JSON text."""

    type: str
    json: str


Part = Text | Reasoning | Refusal | ToolCall | ToolResult | Media | Other


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. `role` is system, developer, user, assistant or tool."""

    role: str
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        """The words of the message, without tool calls, reasoning and media."""
        return "".join(p.content for p in self.parts if isinstance(p, (Text, Refusal)))


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that was offered to the model. `parameters` is its JSON Schema as compact JSON text, None when it has none."""

    name: str
    description: str | None = None
    parameters: str | None = None
    type: str = "function"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, by the rules of the conventions: `input_tokens` includes cached ones, `output_tokens` includes reasoning."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    text_input_tokens: int | None = None
    image_input_tokens: int | None = None
    audio_input_tokens: int | None = None
    text_output_tokens: int | None = None
    image_output_tokens: int | None = None
    audio_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """Money in pico-USD (10⁻¹² USD; five embedding tokens cost 10⁻⁷ USD). Parts that the price table does not split are None."""

    total: int
    input: int | None = None
    output: int | None = None

    @property
    def total_usd(self) -> float:
        return self.total / 1e12


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked. `messages` of an embeddings call are its inputs, of a completion its prompts (role user)."""

    model: str | None = None
    messages: tuple[Message, ...] = ()
    system: tuple[Part, ...] = ()
    tools: tuple[Tool, ...] = ()
    stream: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop_sequences: tuple[str, ...] = ()
    choice_count: int | None = None
    output_type: str | None = None
    reasoning_level: str | None = None
    service_tier: str | None = None
    encoding_formats: tuple[str, ...] = ()
    dimensions: int | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. `messages` has one message per choice; `finish_reasons` (normalised) one per choice as well."""

    id: str | None = None
    model: str | None = None
    messages: tuple[Message, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    status: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    error_type: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request and, when one came, its response. `api` is the adapter's name, such as `openai_chat`."""

    operation: Operation
    provider: str | None
    api: str
    request: Request
    response: Response | None = None
