"""The HTML report: nothing in it is anything but text, it needs nothing, it is no larger than it must be."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from hypothesis import given, settings

from otel_llm.report.html import MAX_PAIRS, html
from otel_llm.text.safe import line
from otel_llm.values.comparison import Comparison, Pair, Side, StepRef, TextDiff
from report.hostile import HOSTILE, comparison, comparisons

TAGS = {"html", "head", "meta", "title", "style", "body", "input", "label", "main", "footer", "header", "h1", "h2", "h3", "p", "div",
        "table", "thead", "tbody", "tr", "th", "td", "span", "details", "summary", "pre", "code", "del", "ins"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "type", "id", "class", "for", "scope", "open"}
VOID = {"meta", "input"}


class Page(HTMLParser):
    """What a browser would see: the tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


@settings(deadline=None, max_examples=60)
@given(comparisons)
def test_captured_text_is_text_and_nothing_else(some: Comparison) -> None:
    text = html([some])

    page = Page(text)
    assert {tag for tag, _ in page.tags} <= TAGS
    assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES
    assert text.encode().decode() == text
    assert not any(ord(c) < 0x20 and c not in "\n\t" for c in text)
    assert "\u202e" not in text
    assert all(line(pair.words) in page.words for pair in some.pairs)


def test_every_hostile_text_stands_there_to_be_read() -> None:
    pairs = tuple(Pair("different", "call", "m", words=text, text=TextDiff((("-", text), ("+", "x")), False)) for text in HOSTILE)

    page = Page(html([comparison(pairs=pairs)]))

    assert "<script>alert(1)</script>" in page.words
    assert "␛[31m␇␀" in page.words
    assert "\\u202egnp.exe" in page.words
    assert [tag for tag, _ in page.tags if tag in ("script", "img")] == []


def test_the_page_forbids_and_needs_no_request() -> None:
    text = html([comparison()])

    page = Page(text)
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert not any(word in text for word in ("http://", "https://", "url(", "@import", "<script", "javascript:", "src="))


def test_words_that_differ_are_marked_on_their_side() -> None:
    text = html([comparison()])

    assert "<div><h3>recorded</h3>\n<pre>It left on <del>Monday</del>.</pre></div>" in text
    assert "<div><h3>replay</h3>\n<pre>It left on <ins>Friday</ins>.</pre></div>" in text


def test_a_step_on_one_side_stands_beside_nothing() -> None:
    pair = Pair("only_right", "call", "m", text=TextDiff((("+", "Hello."),), False))

    text = html([comparison(pairs=(pair,))])

    assert '<pre><span class="none">this step is not there</span></pre>' in text
    assert "<pre><ins>Hello.</ins></pre>" in text


def test_what_is_fine_can_be_hidden_and_what_is_not_is_open() -> None:
    page = Page(html([comparison()]))

    steps = [(a["class"], "open" in a) for tag, a in page.tags if tag == "details"]
    assert steps == [("pair fine", False)] + [("pair", True)] * 4
    assert ("input", {"type": "checkbox", "id": "only"}) in page.tags
    assert "#only:checked ~ main .fine { display: none; }" in page.words


def test_totals_stand_on_top() -> None:
    words = Page(html([comparison()])).words

    assert "1 same, 1 different, 1 failed, 1 only in recorded, 1 not compared, 2 failed checks" in words
    assert words.index("$0.000014") < words.index("Where is it?")


def test_of_too_many_steps_those_that_are_the_same_go_first() -> None:
    same, other = Pair("same", "call", "m", words="same"), Pair("different", "call", "m", words="other")

    text = html([comparison(pairs=(*[same] * MAX_PAIRS, other))])

    words = Page(text).words
    assert "1 of 2,001 steps are left out of this page." in words
    assert "other" in words
    assert text.count("<details") == MAX_PAIRS


def test_several_comparisons_are_one_page_with_an_anchor_for_every_step() -> None:
    three = comparison(sides=(Side("a", "A"), Side("b", "B"), Side("c", "C")), pairs=(
        Pair("same", "call", "m", StepRef("a", "1"), StepRef("b", "2"), 1), Pair("same", "call", "m", side=2)))

    page = Page(html([comparison(), three]))

    anchors = [a["id"] for tag, a in page.tags if tag == "details"]
    assert len(anchors) == len(set(anchors)) == 7
    assert [a for tag, a in page.tags if tag == "title"] == [{}]
    assert "2 comparisons" in page.words
    assert "A → C: 1 same" in page.words
