"""What the simulated model says, in a form that no wire format owns.

`chat` and `responses` read their request into an `Ask` and write the `Said` back. In between is one decision:

    forbidden?            → a refusal
    results came back?    → a sentence made of their values
    a tool fits?          → tool calls, or a question for the id that is missing
    a schema is set?      → JSON that fits it
    otherwise             → an echo, a remembered fact, a sentence of the system prompt that answers, or small talk
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import tokens
from .evidence import Evidence, gather
from .schema import Form
from .tools import Call, Tool, calls, wanted
from .words import Voice, join, plain, sentences, stems, topic, voice

Role = Literal["system", "user", "assistant", "tool"]

_FORBIDDEN = re.compile(r"\b(refuse|malware|explosives?|steal|weapons?)\b", re.I)
_ECHO = re.compile(r"^\s*(?:echo|say exactly|repeat after me)\s*:\s*(.+)$", re.I | re.S)
_SAY = re.compile(
    r"^\s*(?:please )?(?:just )?(?:say|repeat|reply with|answer with)\s+[\"'“]?(.+?)[\"'”]?[.!]?\s*$", re.I
)
_RECALL = re.compile(r"\bwhat(?:'s|’s| is| was) my ([\w ]+?)(?: again)?\?", re.I)
_GREETING = re.compile(r"^\s*(?:hi|hello|hey|good (?:morning|evening|afternoon))\b[\s,!.\w]{0,12}$", re.I)
_THANKS = re.compile(r"\b(?:thanks|thank you|cheers)\b", re.I)
_COMMAND = re.compile(r"^(?:you are|always|never|be |answer|use |sign|do not|don't|reply|respond|if |you )", re.I)


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to the model. `forced` is a tool's name, or `required` for any of them, or `none`."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    forced: str | None = None
    may_be_parallel: bool = True
    temperature: float | None = None
    schema: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    effort: str | None = None

    @property
    def input_tokens(self) -> int:
        said = sum(tokens.count(message.text) + 3 for message in self.messages)
        return said + sum(tokens.count(repr(tool)) for tool in self.tools) + 3


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: text, tool calls or a refusal. `is_cut` when the token limit ended it."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    refusal: str | None = None
    is_cut: bool = False
    reasoning_tokens: int = 0
    output_tokens: int = field(default=0)
    """Includes the reasoning."""


def answer(ask: Ask, variant: int = 0) -> Said:
    """What the model says; `variant` numbers the choices of one request."""
    said = _decide(ask, variant)
    text, is_cut = said.text, False
    for stop in ask.stop:
        text = text.split(stop)[0]
    question = next((message.text for message in reversed(ask.messages) if message.role == "user"), "")
    reasoning = tokens.reasoning_tokens(ask.model, ask.effort, question)
    if ask.max_tokens is not None and tokens.count(text) + reasoning > ask.max_tokens:
        reasoning = min(reasoning, ask.max_tokens)
        text, is_cut = tokens.truncate(text, ask.max_tokens - reasoning), True
    spent = tokens.count(text) + tokens.count(said.refusal or "")
    spent += sum(tokens.count(call.name + call.arguments) + 4 for call in said.calls)
    return Said(text, said.calls, said.refusal, is_cut, reasoning, max(1, spent) + reasoning)


def _decide(ask: Ask, variant: int) -> Said:
    system = "\n".join(message.text for message in ask.messages if message.role == "system")
    asked = [message.text for message in ask.messages if message.role == "user"]
    tone = voice(ask.model, ask.temperature, system, variant)
    evidence = gather(asked)
    if _FORBIDDEN.search(evidence.text):
        return Said(refusal="I'm sorry, but I can't help with that.")
    results = _results(ask.messages)
    if results and ask.forced in (None, "none"):
        told = [message.text for message in results]
        return _in_form(ask, gather([*asked, " ".join(told)]), tone.say(_report(told, tone)))
    if ask.tools and ask.forced != "none":
        said = _use_tools(ask, evidence, asked, tone)
        if said is not None:
            return said
    echo = _ECHO.match(evidence.text)
    text = echo[1] if echo else _social(evidence.text, tone)
    return _in_form(ask, evidence, text or tone.say(_talk(evidence.text, asked[:-1], system, tone)))


def _use_tools(ask: Ask, evidence: Evidence, asked: Sequence[str], tone: Voice) -> Said | None:
    chosen = [tool for tool in ask.tools if tool.name == ask.forced] or wanted(ask.tools, evidence.text)
    if not chosen and gather(asked[-1:]).of("id"):  # the answer to "could you tell me the order id?"
        chosen = wanted(ask.tools, " ".join(asked[-2:]))
    if not chosen and ask.forced == "required":
        chosen = [ask.tools[0]]
    if not chosen:
        return None
    missing = chosen[0].missing(evidence)
    if missing and ask.forced is None:
        return Said(text=tone.say(f"Could you tell me the {join(missing)}?"))
    made = [call for tool in chosen for call in _calls(ask, tool, evidence)]
    return Said(calls=tuple(made if ask.may_be_parallel else made[:1]))


def _calls(ask: Ask, tool: Tool, evidence: Evidence) -> list[Call]:
    return calls(tool, evidence, model=ask.model, may_be_parallel=ask.may_be_parallel)


def _in_form(ask: Ask, evidence: Evidence, text: str) -> Said:
    if ask.schema is None:
        return Said(text=text)
    filled = Form(evidence, text, model=ask.model, must=True).fill(ask.schema)
    return Said(text=json.dumps(filled, ensure_ascii=False))


def _results(messages: Sequence[Message]) -> list[Message]:
    last = len(messages)
    while last and messages[last - 1].role == "tool":
        last -= 1
    return list(messages[last:])


def _report(results: Sequence[str], tone: Voice) -> str:
    """One sentence for each result that uses its values."""
    told = []
    for result in results:
        try:
            value = json.loads(result)
        except ValueError:
            value = result.strip()
        told.append(_sentence(value, tone))
    return " ".join(told)


def _sentence(value: Any, tone: Voice) -> str:
    if isinstance(value, list):
        return f"I found {len(value)}: " + "; ".join(_sentence(one, tone).rstrip(".") for one in value[:5]) + "."
    if not isinstance(value, dict):
        return f"The result is {_word(value)}."
    if problem := value.get("error"):
        return f"I am sorry, that did not work: {_word(problem)}."
    subject = next((name for name in value if re.search(r"(^|_)(id|number|name|city|location|title)$", name)), None)
    facts = {name: one for name, one in value.items() if name != subject and one is not None}
    listed = [
        f"{plain(name)}: {_word(one)}" if tone.is_terse or tone.has_bullets else _fact(plain(name), one)
        for name, one in list(facts.items())[:8]
    ]
    head = f"For {plain(subject)} {_word(value[subject])}" if subject else "Here is what I found"
    if tone.is_terse:
        head = _word(value[subject]) if subject else "Result"
    if not listed:
        return f"{head}: done."
    return f"{head}{':' if tone.is_terse or tone.has_bullets or not subject else ','} {tone.listed(listed)}"


def _fact(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"it is {'' if value else 'not '}{name.removeprefix('is ')}"
    return f"the {name} {'are' if isinstance(value, list) else 'is'} {_word(value)}"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return join([_word(one) for one in value[:5]]) if value else "none"
    if isinstance(value, dict):
        return ", ".join(f"{plain(name)} {_word(one)}" for name, one in list(value.items())[:5])
    return str(value)


def _social(message: str, tone: Voice) -> str | None:
    """The answer to a greeting or to thanks; None when the message is about something."""
    if _GREETING.match(message):
        return "Hello! How can I help?" if tone.is_terse else f"Hello! {tone.opening} What can I do for you?"
    if _THANKS.search(message) and len(message) < 40 and "?" not in message:
        return "You are welcome!" if tone.is_terse else f"You are welcome! {tone.closing}"
    return None


def _talk(message: str, earlier: Sequence[str], system: str, tone: Voice) -> str:
    if say := _SAY.match(message):
        return say[1][0].upper() + say[1][1:] + "."
    if recall := _RECALL.search(message):
        found = re.findall(rf"\bmy {re.escape(recall[1])} is ([^.!?\n]+)", "\n".join(earlier), re.I)
        if found:
            return f"Your {recall[1]} is {found[-1].strip()}."
    if known := _known(message, system):
        return known
    about = topic(message)
    if not about:
        return "What would you like to know?"
    if tone.is_terse:
        return f"About “{about}”: this is the short version."
    if re.match(r"\s*(?:how|can|could)\b", message, re.I):
        return f"About “{about}”: take it one step at a time, and tell me at which step it looks different for you."
    return f"You ask about “{about}”. I looked at it and can go through the details with you."


def _known(message: str, system: str) -> str | None:
    """The sentence of the system prompt that shares most with the message, if it shares two words."""
    said = set(stems(message))
    best = max(
        (one for one in sentences(system) if not _COMMAND.match(one)),
        key=lambda one: len(said & set(stems(one))),
        default="",
    )
    return best if len(said & set(stems(best))) >= 2 else None
