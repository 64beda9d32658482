"""Full text search over what was said: messages, answers, tool arguments and results.

The index is FTS5, contentless and without positions, so it holds words and nothing that could be read back. It is filled
when somebody searches, up to a watermark; a call that still runs is put off. A query is an AND of words; what FTS5 gives is
checked against the text itself: that finds phrases and makes the snippet. The first words of question and answer stand in the
row, the rest is read from the packs, the answer first.

A document is `step * 4 + n`: a step whose content came after it had been indexed gets another document with all of its text.
Words are what unicode61 makes of a text: letters and digits, without case and diacritics.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from otel_llm.store.exchanges import ExchangeReader
from otel_llm.store.filters import step_conditions
from otel_llm.store.rows import SELECT_STEP, step_of
from otel_llm.store.steps import DOCS
from otel_llm.store.texts import answer, searchable
from otel_llm.values.session import Filter, Hit, Step

CREATE = ("CREATE VIRTUAL TABLE IF NOT EXISTS found USING fts5"
          "(words, content = '', detail = none, tokenize = 'unicode61 remove_diacritics 2')")
CHUNK = 500
FIRST_PAGE = 100
PAGE = 2000
AROUND = 60

_WORD = re.compile(r"[^\W_]+")
_TERM = re.compile(r'"([^"]*)"?|(\S+)')


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: `words` must all be there, each of `phrases` (tuples of words) in this order."""

    words: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]

    @property
    def match(self) -> str:
        """For FTS5: every word quoted, so that nothing of what a user types is syntax."""
        return " AND ".join(f'"{word}"' for word in self.words)


def parse(text: str) -> Query:
    """A user's words as a query. A word such as `foo-bar` is a phrase."""
    words: dict[str, None] = {}
    phrases = []
    for quoted, plain in _TERM.findall(text):
        found = tuple(plain_words(quoted or plain))
        words.update(dict.fromkeys(found))
        if len(found) > 1:
            phrases.append(found)
    return Query(tuple(words), tuple(phrases))


def search(
    connection: sqlite3.Connection, reader: ExchangeReader, text: str, where: Filter, *, limit: int, fill: bool
) -> list[Hit]:
    """The newest steps in which everything stands. Without `fill` what is not indexed yet is read instead."""
    query = parse(text)
    if not query.words or limit < 1:
        return []
    if fill:
        fill_index(connection, reader)
    hits: list[Hit] = []
    for steps in _candidates(connection, query):
        for row in _rows(connection, steps, where):
            step = step_of(row)
            for content in _contents(connection, reader, row[-1], step):
                if fits(query, content):
                    hits.append(Hit(step, snippet(content, query.words)))
                    break
            if len(hits) == limit:
                return hits
    return hits


def _contents(connection: sqlite3.Connection, reader: ExchangeReader, number: int, step: Step) -> Iterator[str]:
    """Parts of what a step says, the cheapest first; the last is all of it."""
    for preview in (step.request_preview, step.response_preview):
        # a preview that was cut in its only word may end with another word
        if " " in preview or not preview.endswith("…"):
            yield preview
    if step.kind == "call":
        yield answer(reader, number, step.api)
    yield searchable(connection, reader, number)


def _candidates(connection: sqlite3.Connection, query: Query) -> Iterator[list[int]]:
    """Steps that may fit, a page at a time, newest first."""
    watermark = _watermark(connection)
    fresh = [step for (step,) in connection.execute(
        "SELECT step FROM step WHERE step > ? AND kind IN ('call', 'tool') ORDER BY step DESC", (watermark,))]
    later = [doc // DOCS for (doc,) in connection.execute("SELECT doc FROM search_later")]
    yield [*fresh, *later]
    if watermark == 0:
        return
    seen = set(later)
    below, page = 1 << 62, FIRST_PAGE
    while True:
        docs = [doc for (doc,) in connection.execute(
            "SELECT rowid FROM found WHERE found MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?", (query.match, below, page))]
        steps = [step for step in dict.fromkeys(doc // DOCS for doc in docs) if step not in seen]
        seen.update(steps)
        yield steps
        if len(docs) < page:
            return
        below, page = docs[-1], PAGE


def _rows(connection: sqlite3.Connection, steps: Sequence[int], where: Filter) -> Iterator[Any]:
    """The rows of these steps that the filter lets through, newest first."""
    conditions = step_conditions(where)
    for at in range(0, len(steps), PAGE):
        some = steps[at : at + PAGE]
        order = connection.execute(
            f"SELECT s.step FROM step s JOIN session n USING (session) WHERE s.step IN ({','.join(map(str, some))})"  # noqa: S608
            f" AND {conditions.text} ORDER BY s.start_ns DESC",
            conditions.values).fetchall()
        for (step,) in order:
            yield connection.execute(f"{SELECT_STEP} WHERE s.step = ?", (step,)).fetchone()


def fill_index(connection: sqlite3.Connection, reader: ExchangeReader) -> None:
    """Index what has come since the last search, in small transactions."""
    try:
        connection.execute(CREATE)
    except sqlite3.OperationalError as error:
        if "fts5" in str(error):
            return  # this SQLite has no FTS5: everything is read instead
        raise
    while _fill_some(connection, reader):
        pass


def _fill_some(connection: sqlite3.Connection, reader: ExchangeReader) -> bool:
    watermark = _watermark(connection)
    ready = ("SELECT l.doc FROM search_later l JOIN step s ON s.step = l.doc / ? WHERE s.state <> 'running' AND l.doc / ? <= ?"
             " LIMIT ?")
    has_new = connection.execute("SELECT 1 FROM step WHERE step > ? LIMIT 1", (watermark,)).fetchone()
    if has_new is None and connection.execute(ready, (DOCS, DOCS, watermark, 1)).fetchone() is None:
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        watermark = _watermark(connection)
        rows = connection.execute(
            "SELECT step, kind, state FROM step WHERE step > ? ORDER BY step LIMIT ?", (watermark, CHUNK)).fetchall()
        top = rows[-1][0] if rows else watermark
        connection.execute("DELETE FROM search_later WHERE doc / ? > ? AND doc / ? <= ?", (DOCS, watermark, DOCS, top))
        docs = []
        for step, kind, state in rows:
            if state == "running":
                connection.execute("INSERT INTO search_later VALUES (?)", (step * DOCS,))
            elif kind in ("call", "tool"):
                docs.append(step * DOCS)
        docs += [doc for (doc,) in connection.execute(ready, (DOCS, DOCS, watermark, CHUNK))]
        for doc in docs:
            content = searchable(connection, reader, doc // DOCS)
            # the table is contentless, so a document that is there already cannot be replaced, and need not be
            if content and connection.execute("SELECT 1 FROM found_docsize WHERE id = ?", (doc,)).fetchone() is None:
                connection.execute("INSERT INTO found (rowid, words) VALUES (?, ?)", (doc, content))
            connection.execute("DELETE FROM search_later WHERE doc = ?", (doc,))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('searched', ?)", (top,))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return True


def _watermark(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM meta WHERE key = 'searched'").fetchone()
    return 0 if row is None else int(row[0])


def plain(text: str) -> str:
    """A text without case and diacritics, as the index sees it."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def plain_words(text: str) -> list[str]:
    return _WORD.findall(plain(text))


def fits(query: Query, content: str) -> bool:
    """Whether all words stand in a text, and the phrases in order."""
    words = plain_words(content)
    if not set(query.words) <= set(words):
        return False
    if not query.phrases:
        return True
    line = f" {' '.join(words)} "
    return all(f" {' '.join(phrase)} " in line for phrase in query.phrases)


def snippet(content: str, words: Sequence[str]) -> str:
    """The words around the first place where one of these words stands, on one line."""
    lowered = content.lower()
    places = [match.start() for word in words if (match := re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", lowered))]
    at = min(places) if places else 0
    start, end = max(0, at - AROUND), min(len(content), at + AROUND)
    if start:
        start = content.find(" ", start, at) + 1 or start
    if end < len(content):
        end = (content.rfind(" ", at, end) + 1 or end + 1) - 1
    return ("…" if start else "") + " ".join(content[start:end].split()) + ("…" if end < len(content) else "")
