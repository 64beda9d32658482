"""`otel-llm demo`: the product at work, on a program that anybody could have written.

A small support agent (`otel_llm.demo.support_agent`) talks to a provider over real HTTP with the real openai SDK; then the
commands that a user would type next are run and shown: its session, a search, a call asked again of another model with the
difference. The provider is the simulator that the package carries, on loopback, unless `--live` is given; then the estimate
comes first and nothing is sent without a yes.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from otel_llm.cli.app import App, pass_app
from otel_llm.cli.output import is_interactive
from otel_llm.text.numbers import cost
from otel_llm.values.call import Usage
from otel_llm.values.errors import ConfigError, OtelLLMError

OTHER_MODEL = "gpt-4.1"
CALLS, TOKENS_IN, TOKENS_OUT = 6, 220, 160
"""What a run of the demo amounts to, at most: calls, and tokens a call."""


@click.command("demo")
@click.option("--live", is_flag=True, help="Talk to OPENAI_BASE_URL with OPENAI_API_KEY instead of the simulator (this costs).")
@click.option("--model", default="gpt-4o-mini", show_default=True, metavar="NAME", help="The model of the support agent.")
@click.option("--other-model", default=OTHER_MODEL, show_default=True, metavar="NAME", help="The model that is asked again.")
@click.option("--yes", "-y", is_flag=True, help="With --live: do not ask before sending.")
@pass_app
def demo(app: App, live: bool, model: str, other_model: str, yes: bool) -> None:
    """Record a small support agent, look at its session, ask a call again of another model."""
    if importlib.util.find_spec("openai") is None:
        raise ConfigError('the demo needs the openai SDK: pip install "otel-llm[demo]"')
    if live:
        _agree(app, model, other_model, yes)
    with nullcontext(dict(os.environ)) if live else _simulated() as environ:
        where = environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        _say(f"The provider is {'LIVE' if live else 'the built-in simulator (nothing leaves this machine)'}: {where}")
        environ["OPENAI_MODEL"] = model
        environ.setdefault("OTEL_SERVICE_NAME", "support-agent")
        if app.store_directory:
            environ["OTEL_LLM_STORE"] = str(Path(app.store_directory).absolute())
        _say("A support agent, recorded by one line (otel_llm.init()):", "python -m otel_llm.demo.support_agent")
        done = subprocess.run([sys.executable, "-m", "otel_llm.demo.support_agent"], env=environ, check=False)
        if done.returncode:
            raise OtelLLMError(f"the support agent ended with exit code {done.returncode}; its own words are above")
        os.environ.update({k: environ[k] for k in ("OPENAI_BASE_URL", "OPENAI_API_KEY") if k in environ})
        _look(app, other_model)


def _look(app: App, other_model: str) -> None:
    """The commands that a user would type next, and what they print."""
    _run(app, "Its five calls are one session, found without any session code:", "sessions", "--limit", "3")
    _run(app, "What happened, in order:", "show", "@1")
    _run(app, "Every word can be found:", "search", "espresso")
    _run(app, "The same program once more, offline: every call answered from the recording, the network closed:",
         "replay", "rerun", "@1", "--no-record", "--", sys.executable, "-m", "otel_llm.demo.support_agent")
    _run(app, f"What would {other_model} have said? All of it, asked again:",
         "replay", "reissue", "@1", "--model", other_model, "--yes")
    _say("All of it is in the store now. Next: `otel-llm show @1 --messages`, `otel-llm call @1:3 --curl`, `otel-llm doctor`.")


@contextmanager
def _simulated() -> Iterator[dict[str, str]]:
    """An environment whose provider is a simulator with one overload and one missing model."""
    from otel_llm.testing import Simulator, error

    plan = [error(429, when=lambda body: bool(body.get("stream"))),
            error(404, when=lambda body: body.get("model") == "gpt-4o-grande")]
    with Simulator(latency_s=0.05, chunk_delay_s=0.01, plan=plan) as simulator:
        yield {**os.environ, "OPENAI_BASE_URL": simulator.base_url, "OPENAI_API_KEY": "simulator-needs-no-key"}


def _agree(app: App, model: str, other_model: str, yes: bool) -> None:
    """Say what a live run will cost, and ask."""
    from otel_llm.pricing import PriceTable

    if not os.environ.get("OPENAI_API_KEY"):
        raise ConfigError("--live needs OPENAI_API_KEY (and OPENAI_BASE_URL for another endpoint than OpenAI's)")
    prices = PriceTable(None)
    usage = Usage(input_tokens=TOKENS_IN, output_tokens=TOKENS_OUT)
    each = [prices.exact("openai", name, usage, app.now_ns()) for name in (model, other_model)]
    total = None if each[0] is None or each[1] is None else (CALLS - 1) * each[0].total + each[1].total
    estimate = "an unknown amount (no price is known)" if total is None else f"about {cost(total)}"
    where = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    click.echo(f"This sends up to {CALLS} calls to {where}, {estimate}.", err=True)
    if yes:
        return
    if not is_interactive():
        raise ConfigError("Nothing was sent, because nobody confirmed. Give --yes to send.")
    click.confirm("Send them?", abort=True, err=True)


def _say(text: str, command: str | None = None) -> None:
    click.echo()
    click.secho(text, bold=True)
    if command:
        click.secho(f"$ {command}", fg="cyan")


def _run(app: App, text: str, *args: str) -> None:
    from otel_llm.cli.verbs import root

    _say(text, "otel-llm " + " ".join("python" if word == sys.executable else word for word in args))
    store = ("--store", app.store_directory) if app.store_directory else ()
    code = root.main(args=["--no-pager", *store, *args], prog_name="otel-llm", standalone_mode=False)
    if code:
        raise OtelLLMError(f"`otel-llm {' '.join(args)}` ended with exit code {code}")
