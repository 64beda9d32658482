"""A language model provider on loopback, for demos and tests that pay nothing and always get the same answer.

`Simulator` serves OpenAI's HTTP API on a free port. It is no mock of an SDK: clients talk to it over a real socket, so
retries, streams, compression, broken connections and time-outs are the real thing. Answers are made from the request
alone (the same body gets the same bytes) and are believable enough for a support agent with tools. What goes wrong is
scripted:

    from otel_llm.testing import Simulator, cut, error

    with Simulator(plan=[error(429), cut(after_bytes=40)]) as sim:
        client = OpenAI(base_url=sim.base_url, api_key="test")

A user message that begins with `echo:` is answered with the rest of it, word for word. From a shell,
`python -m otel_llm.testing` serves until Ctrl-C.
"""

from .script import Answer, compress, cut, error, hang, normal, raw, sse
from .server import Simulator
from .wire import Exchange

__all__ = ["Answer", "Exchange", "Simulator", "compress", "cut", "error", "hang", "normal", "raw", "sse"]
