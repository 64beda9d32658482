"""Images, speech, transcription, files and moderation: the endpoints beside the conversation.

Small and valid: the picture is a real PNG of one colour, speech in `wav` is a real, silent file, a transcription names
the file it was made from. Multipart bodies are told apart by their parts and not by their bytes, because the boundary
is random.
"""

import re
import struct
import zlib
from base64 import b64encode
from email import message_from_bytes
from hashlib import sha256
from typing import Any

from . import tokens
from .wire import CREATED, Reply, Request, invalid, json_reply

_AUDIO = {"mp3": "mpeg", "wav": "wav", "opus": "opus", "aac": "aac", "flac": "flac", "pcm": "pcm"}
_FLAGS = {
    "harassment": r"idiot|stupid",
    "harassment/threatening": r"hurt you",
    "hate": r"\bhate\b",
    "hate/threatening": r"wipe them out",
    "illicit": r"steal|malware",
    "illicit/violent": r"explosive|weapon",
    "self-harm": r"hurt myself",
    "self-harm/intent": r"going to hurt myself",
    "self-harm/instructions": r"how to hurt myself",
    "sexual": r"\bsexual\b",
    "sexual/minors": r"(?!)",
    "violence": r"\bkill|attack|weapon",
    "violence/graphic": r"gore",
}


def images(request: Request) -> Reply:
    """`n` pictures of one colour, which depends on the prompt; always as base64."""
    body = request.json
    if not body.get("prompt"):
        return invalid("Missing required parameter: 'prompt'.", param="prompt", code="missing_required_parameter")
    pictures = [b64encode(_png(request.digest(index))).decode() for index in range(int(body.get("n") or 1))]
    spent = tokens.count(str(body["prompt"]))
    usage = {
        "input_tokens": spent,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": spent},
        "output_tokens": 272 * len(pictures),
        "total_tokens": spent + 272 * len(pictures),
    }
    return json_reply({"created": CREATED, "data": [{"b64_json": one} for one in pictures], "usage": usage})


def speech(request: Request) -> Reply:
    """Audio bytes in chunks: silence as long as the input; only `wav` is a playable file."""
    body = request.json
    kind = body.get("response_format") or "mp3"
    if kind not in _AUDIO:
        return invalid(f"'{kind}' is not one of {', '.join(_AUDIO)}.", param="response_format")
    data = bytes(160 * len(str(body.get("input", ""))))
    if kind == "wav":
        data = _wav_head(len(data)) + data
    elif kind == "mp3":
        data = b"ID3\x04\x00\x00\x00\x00\x00\x00" + data
    parts = tuple(data[at : at + 1024] for at in range(0, len(data), 1024)) or (b"",)
    return Reply(parts, content_type=f"audio/{_AUDIO[kind]}", is_stream=True)


def transcriptions(request: Request) -> Reply:
    """A sentence that names the uploaded file and its size, in the format asked for."""
    fields = read_form(request)
    name, data = fields.get("file", ("", b""))
    if not name:
        return invalid("Missing required parameter: 'file'.", param="file", code="missing_required_parameter")
    text = f"This is the transcription of {name}, {len(data)} bytes of audio."
    kind = fields.get("response_format", ("", b"json"))[1].decode()
    if kind in ("text", "srt", "vtt"):
        return Reply((f"{text}\n".encode(),), content_type="text/plain; charset=utf-8")
    usage: dict[str, Any] = {"type": "duration", "seconds": 1}
    if fields.get("model", ("", b""))[1].startswith(b"gpt-"):
        heard, said = 10, tokens.count(text)
        details = {"text_tokens": 0, "audio_tokens": heard}
        usage = {"type": "tokens", "input_tokens": heard, "input_token_details": details}
        usage |= {"output_tokens": said, "total_tokens": heard + said}
    if kind == "verbose_json":
        return json_reply({"task": "transcribe", "language": "english", "duration": 1.0, "text": text, "usage": usage})
    return json_reply({"text": text, "usage": usage})


def files(request: Request) -> Reply:
    """The object of an uploaded file; the content is not kept."""
    fields = read_form(request)
    name, data = fields.get("file", ("", b""))
    purpose = fields.get("purpose", ("", b""))[1].decode()
    if not name or not purpose:
        return invalid("Missing required parameter: 'file' and 'purpose' are both needed.")
    key = sha256(name.encode() + purpose.encode() + data).hexdigest()[:24]
    value = {"id": f"file-{key}", "object": "file", "bytes": len(data), "created_at": CREATED, "filename": name}
    return json_reply(value | {"purpose": purpose, "status": "processed", "expires_at": None})


def moderations(request: Request) -> Reply:
    """Categories by a few telling words."""
    given = request.json.get("input")
    if not given:
        return invalid("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    parts = [given] if isinstance(given, str) else given
    texts = [str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in parts]
    if isinstance(parts[0], dict):
        texts = [" ".join(texts)]
    model = request.json.get("model") or "omni-moderation-latest"
    value = {"id": f"modr-{request.digest()[:24]}", "model": model, "results": [_moderate(text) for text in texts]}
    return json_reply(value)


def read_form(request: Request) -> dict[str, tuple[str, bytes]]:
    """The parts of a multipart body by name: `(file name or "", content)`."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode("latin-1")
    message = message_from_bytes(head + request.body)
    found: dict[str, tuple[str, bytes]] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            found[name] = (part.get_filename() or "", content)
    return found


def _moderate(text: str) -> dict[str, Any]:
    flags = {name: bool(re.search(pattern, text, re.I)) for name, pattern in _FLAGS.items()}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": {name: 0.98 if is_hit else 0.0001 for name, is_hit in flags.items()},
        "category_applied_input_types": {name: ["text"] for name in flags},
    }


def _png(digest: str) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size, colour = 8, bytes.fromhex(digest[:6])
    pixels = (b"\0" + colour * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels, 0)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _wav_head(length: int) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + length, b"WAVE") + form + struct.pack("<4sI", b"data", length)
