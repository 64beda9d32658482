"""`otel-llm export` and `otel-llm import`, as people type them."""

from __future__ import annotations

import gzip
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.terminal import Run, on_store
from otel_llm.cli.verbs import EXPORT_VERBS, VERBS, root
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Filter
from transfer.sink import Reply, Sink
from transfer.stores import everything, export, lines


def run(directory: Path, *args: str, stdin: bytes | None = None) -> Run:
    result = CliRunner().invoke(root, ["--store", str(directory), *args], prog_name="otel-llm", input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


class TestExportJsonl:
    def test_writes_a_file_for_its_owner_alone_and_says_what_is_in_it(self, source: SqliteStore, tmp_path: Path) -> None:
        file = tmp_path / "all.jsonl"

        done = run(source.directory, "export", "jsonl", "-o", str(file))

        assert (done.code, done.out) == (0, "")
        assert file.read_bytes() == export(source)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert done.err.startswith(f"{len(source.sessions(Filter()))} sessions · ") and str(file) in done.err

    def test_to_a_pipe_is_the_same_and_nothing_else(self, source: SqliteStore) -> None:
        done = run(source.directory, "export", "jsonl")

        assert done.out.encode() == export(source)

    def test_takes_ids_and_the_conditions_of_sessions(self, source: SqliteStore) -> None:
        by_id, by_user = run(source.directory, "export", "jsonl", "ticket-1"), run(source.directory, "export", "jsonl", "--user", "ada")

        ids = [[line["session"]["id"] for line in lines(done.out.encode()) if "session" in line] for done in (by_id, by_user)]
        assert ids == [["ticket-1"], ["ticket-1"]]

    def test_of_nothing_says_so_and_writes_an_empty_export(self, source: SqliteStore, copy: SqliteStore, tmp_path: Path) -> None:
        done = run(source.directory, "export", "jsonl", "--user", "nobody", "-o", str(tmp_path / "none.jsonl"))

        assert (done.code, done.err) == (0, "Nothing fits these conditions.\n")
        assert run(copy.directory, "import", str(tmp_path / "none.jsonl")).code == 0

    def test_of_a_session_that_is_not_there_is_wrong_usage(self, source: SqliteStore, tmp_path: Path) -> None:
        done = run(source.directory, "export", "jsonl", "ticket-99", "-o", str(tmp_path / "x"))

        assert done.code == 2 and "No session, call or trace 'ticket-99'" in done.err
        assert not (tmp_path / "x").exists()

    def test_of_a_damaged_store_saves_the_rest_and_fails(self, source: SqliteStore, copy: SqliteStore, tmp_path: Path) -> None:
        file = tmp_path / "all.jsonl"
        (call,) = source.calls(Filter(session=("ticket-2",)))
        source._execute("UPDATE call SET wire_pack = 999 WHERE step = (SELECT step FROM step WHERE span_id = ?)",
                        (bytes.fromhex(call.span_id),))

        done = run(source.directory, "export", "jsonl", "-o", str(file))

        steps = sum(row.steps for row in source.sessions(Filter()))
        assert done.code == 4
        assert f"Step {call.span_id} of session ticket-2 cannot be read: Pack 999 is missing" in done.err
        assert "lacks 1 step that could not be read" in done.err
        assert run(copy.directory, "import", str(file)).err == f"{steps - 1} steps imported from {file}\n"

    def test_that_is_interrupted_leaves_the_file_that_was_there(self, source: SqliteStore, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "all.jsonl"
        file.write_text("mine")

        def interrupted(*args: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("otel_llm.transfer.line.record_json", interrupted)
        done = run(source.directory, "export", "jsonl", "-o", str(file))

        assert (done.code, file.read_text()) == (130, "mine")
        assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []

    @pytest.mark.parametrize("place", ["no/such/dir/x.jsonl", "."])
    def test_to_a_place_that_cannot_be_written_is_wrong_usage(self, source: SqliteStore, tmp_path: Path, place: str) -> None:
        done = run(source.directory, "export", "jsonl", "-o", str(tmp_path / place))

        assert done.code == 2 and "-o" in done.err


class TestImport:
    def test_of_a_file_gives_the_same_store(self, source: SqliteStore, copy: SqliteStore, tmp_path: Path) -> None:
        file = tmp_path / "all.jsonl.gz"
        run(source.directory, "export", "jsonl", "-o", str(file))

        first, second = run(copy.directory, "import", str(file)), run(copy.directory, "import", str(file))

        steps = sum(row.steps for row in source.sessions(Filter()))
        assert gzip.decompress(file.read_bytes()) == export(source)
        assert everything(copy) == everything(source)
        assert (first.code, first.err) == (0, f"{steps} steps imported from {file}\n")
        assert (second.code, second.err) == (0, f"0 steps imported from {file}, {steps} steps were there already\n")

    def test_of_standard_input(self, source: SqliteStore, copy: SqliteStore) -> None:
        done = run(copy.directory, "import", "-", stdin=export(source))

        assert done.code == 0 and "imported from standard input" in done.err
        assert export(copy) == export(source)

    def test_of_a_bad_file_among_good_ones_imports_none_of_them(self, source: SqliteStore, copy: SqliteStore, tmp_path: Path) -> None:
        good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
        good.write_bytes(export(source))
        bad.write_bytes(export(source)[:-50])

        done = run(copy.directory, "import", str(good), str(bad))

        assert done.code == 2 and f"{bad} is cut short" in done.err
        assert copy.sessions(Filter()) == []

    def test_of_a_packed_file_that_is_cut_says_so(self, source: SqliteStore, copy: SqliteStore, tmp_path: Path) -> None:
        file = tmp_path / "x.jsonl.gz"
        file.write_bytes(gzip.compress(export(source))[:-900])

        done = run(copy.directory, "import", str(file))

        assert done.code == 2 and "is cut short or damaged" in done.err

    @pytest.mark.parametrize("name", ["missing.jsonl", "."])
    def test_of_no_file_is_wrong_usage(self, copy: SqliteStore, tmp_path: Path, name: str) -> None:
        done = run(copy.directory, "import", str(tmp_path / name))

        assert done.code == 2 and str(tmp_path) in done.err


class TestExportOtlp:
    def test_sends_a_session_and_says_where_it_went(self, source: SqliteStore, endpoint: Sink) -> None:
        done = run(source.directory, "export", "otlp", "ticket-1", "--endpoint", endpoint.url, "--header", "X-Team=a=b")

        steps = source.steps("ticket-1")
        assert (done.code, done.out) == (0, "")
        assert done.err == (f"{len(steps)} spans taken by {endpoint.url}/v1/traces in 1 request, without prompts and answers"
                            " (--content full shows them)\n")
        assert {s.span_id for s in endpoint.spans} == {s.span_id for s in steps}
        assert endpoint.requests[0][1]["x-team"] == "a=b"

    def test_goes_where_the_standard_variables_point(self, source: SqliteStore, endpoint: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{endpoint.url}/base")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k")

        done = run(source.directory, "export", "otlp", "ticket-1")

        assert done.code == 0
        assert [(path, headers["api-key"]) for path, headers in endpoint.requests] == [("/base/v1/traces", "k")]

    def test_does_not_send_the_headers_of_one_endpoint_to_another(self, source: SqliteStore, endpoint: Sink,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k")

        run(source.directory, "export", "otlp", "ticket-1", "--endpoint", f"{endpoint.url}/v1/traces")

        assert [(path, headers.get("api-key")) for path, headers in endpoint.requests] == [("/v1/traces", None)]

    def test_that_is_refused_in_part_fails_and_says_how_much(self, source: SqliteStore, endpoint: Sink) -> None:
        endpoint.replies.append(Reply(body=b"\x0a\x0c\x08\x02\x12\x08too old!"))

        done = run(source.directory, "export", "otlp", "ticket-1", "--endpoint", endpoint.url)

        assert done.code == 4
        assert "refused 2 spans (2: too old!)" in done.err

    def test_with_content_says_nothing_about_it(self, source: SqliteStore, endpoint: Sink) -> None:
        done = run(source.directory, "export", "otlp", "ticket-1", "--endpoint", endpoint.url, "--content", "full")

        assert done.err.endswith(f"{endpoint.url}/v1/traces in 1 request\n")

    def test_to_a_dead_endpoint_names_it_and_says_that_nobody_listens(self, source: SqliteStore) -> None:
        done = on_store(source.directory, "export", "otlp", "ticket-1", "--endpoint", "http://127.0.0.1:9", sleep=lambda seconds: None)

        assert done.code == 4
        assert "http://127.0.0.1:9/v1/traces" in done.err and "nobody listens there" in done.err

    def test_to_a_page_says_which_ports_are_usual(self, source: SqliteStore, endpoint: Sink) -> None:
        endpoint.replies.append(Reply(headers={"Content-Type": "text/html"}, body=b"<html>"))

        done = run(source.directory, "export", "otlp", "ticket-1", "--endpoint", endpoint.url)

        assert done.code == 4 and "4318" in done.err and "16686" in done.err

    @pytest.mark.parametrize(("args", "said"), [
        ((), "Where to? Give --endpoint"),
        (("--endpoint", "localhost:4318"), "--endpoint 'localhost:4318' is not usable"),
        (("--endpoint", "http://localhost:4318", "--header", "nonsense"), "--header 'nonsense' is not usable"),
        (("--endpoint", "http://localhost:4318", "--content", "some"), "'some' is not one of"),
    ])
    def test_with_a_bad_value_names_the_good_ones(self, source: SqliteStore, args: tuple[str, ...], said: str) -> None:
        done = run(source.directory, "export", "otlp", *args)

        assert done.code == 2 and said in done.err


def test_export_parquet_writes_a_table(source: SqliteStore, tmp_path: Path) -> None:
    read = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

    done = run(source.directory, "export", "parquet", "ticket-1", "-o", str(tmp_path / "x.parquet"))

    assert done.code == 0
    assert read.read_table(tmp_path / "x.parquet").num_rows == len(source.steps("ticket-1"))


def test_parquet_goes_through_a_pipe(source: SqliteStore) -> None:
    read = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    import io

    done = subprocess.run([sys.executable, "-m", "otel_llm.cli", "--store", str(source.directory), "export", "parquet"],
                          capture_output=True, check=True)

    assert read.read_table(io.BytesIO(done.stdout)).num_rows == sum(row.steps for row in source.sessions(Filter()))


def test_the_verbs_stand_in_the_help() -> None:
    assert {verb.name for verb in VERBS if verb.group == "move"} >= {"export", "import"}
    assert [verb.name for verb in EXPORT_VERBS] == ["otlp", "jsonl", "session", "parquet"]
