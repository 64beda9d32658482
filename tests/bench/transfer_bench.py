"""How fast what is stored is carried away and put back, against a plain read of the store.

    python tests/bench/transfer_bench.py [--spans 20000] [--directory DIR]

Method. The corpus is that of `store_bench.py`: sessions of 4 to 12 turns whose history is sent again with every call, half of
them streamed, with tools and workflows. The yardstick is a plain read of the same store through its protocol: every session,
its steps, and of each step the span and (of calls) the exact bytes. Then `export jsonl` into a file, its verification, `import`
into an empty store (against the indexing of the same spool), `export otlp` with and without content into a carrier that takes
everything, and `export parquet`. Times are CPU time of the process; memory is how much the peak of its resident size grew while
the work ran, which a stream must not make large.
"""

from __future__ import annotations

import argparse
import gc
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from store_bench import Corpus, Words

from otel_llm.pricing import PriceTable
from otel_llm.store.forward.answers import ACCEPTED, Answer
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.transfer import jsonl, otlp_out, parquet
from otel_llm.values.call import Usage
from otel_llm.values.session import Filter

CLEAR = Path("/proc/self/clear_refs")
"""Writing 5 here sets the peak of the resident size back to what it is now."""


class Taker:
    """A carrier that takes everything."""

    def __init__(self) -> None:
        self.bytes = 0

    def send(self, body: bytes) -> Answer:
        self.bytes += len(body)
        return Answer(ACCEPTED)


def plain_read(store: SqliteStore) -> int:
    count = 0
    for row in store.sessions(Filter(), limit=10**9):
        for step in store.steps(row.session_id):
            store.span(step.span_id)
            if step.kind == "call":
                store.exchange(step.span_id)
            count += 1
    return count


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--spans", type=int, default=20_000)
    arguments.add_argument("--directory", type=Path)
    given = arguments.parse_args()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="transfer-bench-"))
    table: list[tuple[str, str, str, str]] = []

    PriceTable().exact("openai", "gpt-4o-mini", Usage(1, 1), time.time_ns())  # its import is paid once
    store = SqliteStore(directory / "store")
    index_s = make(store, given.spans)
    spans = sum(row.steps for row in store.sessions(Filter(), limit=10**9))

    def measured(name: str, work: Callable[[], Any], per: float) -> float:
        gc.collect()
        before, begun = rewound_mb(), time.process_time()
        work()
        took = time.process_time() - begun
        ratio = f"{took / per:.2f}" if per else "1"
        table.append((name, f"{took:.2f}", f"{took / spans * 1e6:.0f}", f"{ratio} · +{peak_mb() - before:.0f} MB, to {peak_mb():.0f}"))
        return took

    file = directory / "all.jsonl"
    read_s = measured("plain read (the yardstick)", lambda: plain_read(store), 0)
    measured("export jsonl", lambda: export(store, file), read_s)
    measured("verify the file", lambda: verify(file), read_s)
    copy = SqliteStore(directory / "copy")
    measured("import into an empty store (per index)", lambda: take_in(copy, file), index_s)
    again = directory / "again.jsonl"
    export(copy, again)
    taker = Taker()
    measured("export otlp --content none", lambda: send(store, taker, "none"), read_s)
    none_bytes, taker.bytes = taker.bytes, 0
    measured("export otlp --content full", lambda: send(store, taker, "full"), read_s)
    measured("export parquet", lambda: table_of(store, directory / "steps.parquet"), read_s)

    width = max(len(row[0]) for row in table)
    print(f"{'':{width}}  CPU s  µs/span  ratio · memory")
    for name, took, per_span, rest in table:
        print(f"{name:{width}}  {took:>5}  {per_span:>7}  {rest}")
    print(f"{spans} spans; indexing them took {index_s:.2f} s; jsonl {file.stat().st_size / 1e6:.1f} MB, store "
          f"{(directory / 'store' / 'store.sqlite').stat().st_size / 1e6:.1f} MB, OTLP {none_bytes / 1e6:.1f} MB without and "
          f"{taker.bytes / 1e6:.1f} MB with content, Parquet {(directory / 'steps.parquet').stat().st_size / 1e6:.2f} MB")
    print(f"export → import → export: {'the same bytes' if file.read_bytes() == again.read_bytes() else 'DIFFERENT BYTES'}")
    print(f"Python {sys.version.split()[0]}")
    store.close()
    copy.close()
    if given.directory is None:
        shutil.rmtree(directory)


def make(store: SqliteStore, spans: int) -> float:
    """Fill the store; the CPU seconds that indexing took."""
    spool = Spool(store.directory / "spool", spool_bytes=1 << 40)
    corpus, took = Corpus(spool, Words()), 0.0
    while corpus.spans < spans:
        for _ in range(50):
            corpus.session()
        corpus.otlp.clear()
        corpus.span_us.clear()
        begun = time.process_time()
        store.catch_up()
        took += time.process_time() - begun
    spool.close()
    store.catch_up()
    return took


def export(store: SqliteStore, file: Path) -> None:
    with store.snapshot(Filter()) as snapshot, file.open("wb") as out:
        jsonl.write(snapshot, out)


def verify(file: Path) -> None:
    with file.open("rb") as opened:
        jsonl.verify(opened, file.name)


def take_in(store: SqliteStore, file: Path) -> None:
    with store.importing() as intake, file.open("rb") as opened:
        jsonl.take_in(opened, file.name, intake)


def send(store: SqliteStore, taker: Taker, content: Any) -> None:
    with store.snapshot(Filter()) as snapshot:
        otlp_out.send(snapshot, taker, content=content)


def table_of(store: SqliteStore, file: Path) -> None:
    with store.snapshot(Filter()) as snapshot, file.open("wb") as out:
        parquet.write(snapshot, out)


def rewound_mb() -> float:
    """The resident size now, from which the peak is counted again; without Linux the peak so far."""
    if CLEAR.exists():
        CLEAR.write_text("5")
    return peak_mb()


def peak_mb() -> float:
    if CLEAR.exists():
        return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
