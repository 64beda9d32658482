"""A project with an agent and tests of it, for pytest to run.

`Project.live()` runs them with the provider in reach, `offline()` with a closed network, no key and an endpoint that is nowhere.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_llm.testing import Simulator

AGENT = '''
import openai
import otel_llm


@otel_llm.tool
def double(word):
    return word * 2


def ask(text, **more):
    with openai.OpenAI(max_retries=0, http_client=openai.DefaultHttpxClient(verify=False)) as client:
        return client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"echo: {text}"}],
                                              **more).choices[0].message.content
'''
HEAD = """
import os
import openai
import otel_llm
import pytest
from agent import ask, double
"""


class Project:
    """A folder with an agent and its tests."""

    def __init__(self, pytester: pytest.Pytester, sim: Simulator, patch: pytest.MonkeyPatch) -> None:
        self.pytester, self.sim, self.patch, self.path = pytester, sim, patch, pytester.path
        pytester.makepyfile(agent=AGENT)
        pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:hypothesispytest\nfilterwarnings = error\npythonpath = .")

    def tests(self, body: str, name: str = "test_agent") -> None:
        self.pytester.makepyfile(**{name: HEAD + body})

    def live(self, *args: str) -> pytest.RunResult:
        self.patch.setenv("OPENAI_BASE_URL", self.sim.base_url)
        self.patch.setenv("OPENAI_API_KEY", "sk-x")
        return self.pytester.runpytest_inprocess("-q", *args)

    def offline(self, *args: str) -> pytest.RunResult:
        self.patch.setenv("OPENAI_BASE_URL", "http://nowhere.invalid/v1")
        self.patch.delenv("OPENAI_API_KEY", raising=False)
        return self.pytester.runpytest_inprocess("-q", *args)

    def file(self, name: str) -> Path:
        return self.path / "sessions" / f"{name}.session"
