"""The tape survives what processes and disks do, and what it cannot keep it counts."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from otel_llm.store import frames
from otel_llm.store.segments import has_writer, segments
from otel_llm.store.spool import Spool
from otel_llm.store.sqlite import SqliteStore
from otel_llm.values.session import Filter
from otel_llm.values.tape import CALL_START, LOSS, RESOURCE, SCOPE, SPAN
from store.frames_help import Recording, chat_request, chat_response, message

REQUEST, RESPONSE = chat_request(message("user", "hello")), chat_response("hi")


def written(directory: Path) -> list[frames.Frame]:
    """All frames of a spool, segment by segment."""
    out: list[frames.Frame] = []
    for name, _ in segments(directory):
        data = (directory / name).read_bytes()
        assert frames.is_segment(data)
        out += frames.parse(data[frames.SEGMENT_HEAD.size :], frames.SEGMENT_HEAD.size, at_end=True)
    return out


def numbers(directory: Path, kind: int = SPAN) -> list[bytes]:
    return [f.header for f in written(directory) if f.kind == kind]


class FullDisk:
    """`os.write` as on a full disk: so many bytes fit, then ENOSPC, until `free` is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int = 0, error: int = errno.ENOSPC) -> None:
        self.room: int | None = room
        self.error = error
        self._write = os.write
        monkeypatch.setattr("os.write", self.write)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.room is None:
            return self._write(fd, data)
        if self.room <= 0:
            raise OSError(self.error, os.strerror(self.error))
        done = self._write(fd, bytes(data)[: self.room])
        self.room -= done
        return done

    def free(self) -> None:
        self.room = None


class TestFiles:
    def test_making_a_tape_touches_nothing(self, tmp_path: Path) -> None:
        Spool(tmp_path / "spool")

        assert list(tmp_path.iterdir()) == []

    def test_only_the_owner_can_read_a_segment(self, tmp_path: Path, spool: Spool) -> None:
        spool.append(SPAN, b"[]")

        (name, _), = segments(spool.directory)
        assert stat.S_IMODE((spool.directory / name).stat().st_mode) == 0o600
        assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700

    def test_an_append_is_one_write(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        spool.append(SPAN, b"[]")
        count = 0
        write = os.write

        def counting(fd: int, data: bytes) -> int:
            nonlocal count
            count += 1
            return write(fd, data)

        monkeypatch.setattr("os.write", counting)
        spool.append(SPAN, b"[1]", b"x" * 100_000)

        assert count == 1

    def test_a_segment_that_is_full_is_followed_by_another_with_the_same_origins(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, segment_bytes=2000)
        resource = type("Resource", (), {"attributes": {"service.name": "a"}, "schema_url": ""})()
        number = spool.number_of(RESOURCE, resource)

        for n in range(10):
            spool.append(SPAN, b"[%d]" % n, b"x" * 500)

        assert len(segments(tmp_path)) == 3
        for name, _ in segments(tmp_path):
            first = next(frames.parse((tmp_path / name).read_bytes()[16:], 16, at_end=True))
            assert (first.kind, json.loads(first.header)["number"]) == (RESOURCE, number)
        assert numbers(tmp_path) == [b"[%d]" % n for n in range(10)]
        assert sorted(f.number for f in written(tmp_path)) == list(range(13))

    def test_equal_scopes_have_one_number_however_many_objects_they_are(self, spool: Spool) -> None:
        scopes = [type("Scope", (), {"name": "lib", "version": "1", "schema_url": "", "attributes": {}})() for _ in range(5)]

        found = {spool.number_of(SCOPE, scope) for scope in scopes}
        spool.append(SPAN, b"[]")

        assert len(found) == 1
        assert len(numbers(spool.directory, SCOPE)) == 1

    def test_a_segment_is_locked_while_it_is_written_and_not_after(self, spool: Spool) -> None:
        spool.append(SPAN, b"[]")
        (name, _), = segments(spool.directory)
        fd = os.open(spool.directory / name, os.O_RDONLY)

        during = has_writer(fd)
        spool.close()
        after = has_writer(fd)
        os.close(fd)

        assert (during, after) == (True, False)

    def test_an_append_after_close_begins_a_new_segment(self, spool: Spool) -> None:
        spool.append(SPAN, b"[0]")
        spool.close()
        spool.append(SPAN, b"[1]")

        assert len(segments(spool.directory)) == 2
        assert numbers(spool.directory) == [b"[0]", b"[1]"]

    def test_a_tape_whose_directory_was_removed_goes_on_in_a_new_one(self, spool: Spool) -> None:
        spool.append(SPAN, b"[0]")
        for path in spool.directory.iterdir():
            path.unlink()
        spool.directory.rmdir()

        spool.flush()
        spool.append(SPAN, b"[1]")

        assert numbers(spool.directory) == [b"[1]"]

    def test_threads_write_whole_frames(self, spool: Spool) -> None:
        def work(n: int) -> None:
            for i in range(200):
                spool.append(SPAN, b"[%d]" % (n * 1000 + i), b"x" * (i * 10))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(int(h[1:-1]) for h in numbers(spool.directory)) == sorted(n * 1000 + i for n in range(4) for i in range(200))


class TestTrouble:
    def test_a_full_disk_raises_nothing_and_what_waited_is_written_later(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        spool.append(SPAN, b"[0]")
        disk = FullDisk(monkeypatch)
        spool.append(SPAN, b"[1]")
        spool.append(SPAN, b"[2]")
        waiting = spool.waiting_bytes

        disk.free()
        done = spool.flush()
        spool.append(SPAN, b"[3]")

        assert waiting > 0
        assert done
        assert numbers(spool.directory) == [b"[0]", b"[1]", b"[2]", b"[3]"]
        assert spool.losses == {}

    def test_a_frame_that_was_cut_by_a_full_disk_leaves_no_trace(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        spool.append(SPAN, b"[0]")
        disk = FullDisk(monkeypatch, room=30)
        spool.append(SPAN, b"[1]", b"x" * 100)
        disk.free()
        spool.flush()
        spool.append(SPAN, b"[2]")

        assert numbers(spool.directory) == [b"[0]", b"[1]", b"[2]"]

    def test_a_short_write_is_finished(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        spool.append(SPAN, b"[0]")
        write = os.write
        monkeypatch.setattr("os.write", lambda fd, data: write(fd, bytes(data)[:7]))

        spool.append(SPAN, b"[1]", b"y" * 50)

        assert [(f.header, f.body) for f in written(spool.directory)] == [(b"[0]", b""), (b"[1]", b"y" * 50)]

    def test_a_disk_that_is_full_from_the_beginning(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spool = Spool(tmp_path / "spool")
        disk = FullDisk(monkeypatch)
        spool.append(SPAN, b"[0]")
        none = segments(spool.directory)
        disk.free()
        spool.flush()

        assert none == []
        assert numbers(spool.directory) == [b"[0]"]

    @pytest.mark.parametrize("error", [errno.EIO, errno.EROFS, errno.ENOSPC, errno.EBADF])
    def test_losses_are_counted_exactly(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
        """acknowledged = stored + declared lost, in the store as well."""
        spool = Spool(tmp_path / "spool", queue_bytes=3000)
        tape = Recording(spool)
        tape.step("before")
        disk = FullDisk(monkeypatch, error=error)
        for _ in range(50):
            tape.step("during")
        disk.free()
        spool.flush()
        tape.step("after")

        with SqliteStore(tmp_path) as store:
            stored = sum(session.steps for session in store.sessions(Filter(), limit=1000))
            lost = store.losses()

        assert stored + sum(loss.count for loss in lost) == 52
        assert 40 <= sum(loss.count for loss in lost) < 50
        assert sum(spool.losses.values()) == sum(loss.count for loss in lost)
        assert len(lost) == 1

    def test_content_goes_before_facts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spool = Spool(tmp_path / "spool", queue_bytes=20_000)
        tape = Recording(spool)
        tape.step("before")
        disk = FullDisk(monkeypatch)
        for _ in range(8):
            tape.call(chat_request(message("user", "x" * 3000)), chat_response("short"))
        disk.free()
        spool.flush()

        with SqliteStore(tmp_path) as store:
            calls = store.calls(Filter())
            exchanges = [store.exchange(call.span_id) for call in calls]
            lost = {loss.reason: loss.count for loss in store.losses()}

        assert [call.state for call in calls] == ["ok"] * 8
        bare = [e for e in exchanges if e.request_body is None]
        assert 0 < len(bare) < 8
        assert {e.omitted for e in bare} == {"disk full"}
        assert lost.keys() == {"content: disk full"}
        assert [e.exactness for e in exchanges if e.request_body is not None and not e.omitted].count("exact") >= 1

    def test_a_response_that_lost_a_part_is_not_taken_for_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spool = Spool(tmp_path / "spool", queue_bytes=5000)
        tape = Recording(spool)
        call = tape.start(REQUEST)
        disk = FullDisk(monkeypatch)
        for _ in range(4):
            tape.part(call, b"data: " + b"x" * 2000 + b"\n\n")
        disk.free()
        spool.flush()
        tape.part(call, b"data: more\n\n")
        tape.end(call, b"data: [DONE]\n\n")

        with SqliteStore(tmp_path) as store:
            exchange = store.exchange(call[1])

        assert exchange.request_body == REQUEST
        assert exchange.response_body is None
        assert exchange.omitted == "disk full"
        assert exchange.exactness == "partial"

    def test_a_spool_that_is_full_only_counts(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", segment_bytes=1000, spool_bytes=3000, queue_bytes=2000)
        for n in range(50):
            spool.append(SPAN, b"[%d]" % n, b"x" * 300)

        assert 3000 <= spool.spool_bytes() <= 5000
        assert spool.losses["spool full"] > 20

    def test_losses_are_on_the_tape_at_once(self, spool: Spool) -> None:
        spool.lost("sampled out", 2)
        spool.lost("sampled out")

        assert [json.loads(h) for h in numbers(spool.directory, LOSS)] == [{"sampled out": 2}, {"sampled out": 1}]
        assert spool.losses == {"sampled out": 3}

    def test_a_stalled_disk_holds_up_one_thread(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        spool.append(SPAN, b"[0]")
        monkeypatch.setattr("otel_llm.store.spool.PATIENCE_S", 0.01)
        write, stalled, go_on = os.write, threading.Event(), threading.Event()

        def slow(fd: int, data: bytes) -> int:
            if not go_on.is_set():
                stalled.set()
                go_on.wait(5)
            return write(fd, data)

        monkeypatch.setattr("os.write", slow)
        thread = threading.Thread(target=spool.append, args=(SPAN, b"[1]"))
        thread.start()
        stalled.wait(5)
        spool.append(SPAN, b"[2]")
        spool.append(SPAN, b"[3]")
        waited = spool.waiting_bytes
        go_on.set()
        thread.join()

        assert waited > 0
        assert spool.waiting_bytes == 0
        assert numbers(spool.directory) == [b"[0]", b"[1]", b"[2]", b"[3]"]

    def test_a_finaliser_may_append_in_the_middle_of_an_append(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        spool.append(SPAN, b"[0]")
        write, inside = os.write, False

        def reentrant(fd: int, data: bytes) -> int:
            nonlocal inside
            if not inside:
                inside = True
                spool.append(SPAN, b"[2]")
            return write(fd, data)

        monkeypatch.setattr("os.write", reentrant)
        spool.append(SPAN, b"[1]")

        assert numbers(spool.directory) == [b"[0]", b"[1]", b"[2]"]


PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[2])
from store.frames_help import Recording, chat_request, chat_response, message
from otel_llm.store.spool import Spool

tape = Recording(Spool(sys.argv[1] + "/spool", segment_bytes=200_000))
number = 0
def call():
    global number
    number += 1
    span = tape.call(chat_request(message("user", "hello %d " % number + "x" * 2000)), chat_response("hi %d" % number))
    os.write(1, (span + "\\n").encode())
"""


def program(tmp_path: Path, code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM + code, str(tmp_path), str(Path(__file__).parents[1])],
                            stdout=subprocess.PIPE)


def stored_calls(tmp_path: Path) -> list[str]:
    with SqliteStore(tmp_path) as store:
        return [call.span_id for call in store.calls(Filter(), limit=100_000)]


class TestDeath:
    @pytest.mark.parametrize("lines", [1, 37, 400])
    def test_kill_9_loses_nothing_that_was_acknowledged(self, tmp_path: Path, lines: int) -> None:
        with program(tmp_path, "while True: call()") as process:
            assert process.stdout is not None
            acknowledged = [process.stdout.readline().decode().strip() for _ in range(lines)]
            process.send_signal(signal.SIGKILL)
            acknowledged += process.stdout.read().decode().split("\n")[:-1]

        with SqliteStore(tmp_path) as store:
            stored = [call.span_id for call in store.calls(Filter(), limit=100_000)]
            lost = store.losses()
            wrong = store.verify()

        assert set(acknowledged) <= set(stored)
        assert len(stored) == len(set(stored))
        assert (lost, wrong) == ([], [])
        assert segments(tmp_path / "spool") == []

    @pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 15)", "raise SystemExit", "os.abort()"])
    def test_no_way_to_end_loses_anything(self, tmp_path: Path, end: str) -> None:
        process = program(tmp_path, f"for _ in range(20): call()\nimport resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n{end}")
        output, _ = process.communicate()

        assert sorted(output.decode().split()) == sorted(stored_calls(tmp_path))
        assert len(output.split()) == 20

    def test_forked_children_write_segments_of_their_own(self, tmp_path: Path) -> None:
        process = program(tmp_path, """
for _ in range(3): call()
for child in range(3):
    if os.fork() == 0:
        tape.number = 1000 * (child + 1)
        for _ in range(5): call()
        os._exit(0)
for _ in range(3): os.wait()
call()
""")
        output, _ = process.communicate()
        names = {name.rpartition("-")[0] for name, _ in segments(tmp_path / "spool")}

        assert len(names) == 4
        assert sorted(output.decode().split()) == sorted(stored_calls(tmp_path))
        assert len(output.split()) == 19

    def test_a_fork_while_another_thread_appends_does_not_hang_the_child(self, tmp_path: Path) -> None:
        process = program(tmp_path, """
import threading
stop = False
def work():
    while not stop: tape.tape.append(7, b'{}')
thread = threading.Thread(target=work); thread.start()
for child in range(20):
    if os.fork() == 0:
        tape.number = 1000 * (child + 1)
        call()
        os._exit(0)
for _ in range(20): os.wait()
stop = True; thread.join()
""")
        output, _ = process.communicate(timeout=30)

        assert len(output.split()) == 20
        assert sorted(output.decode().split()) == sorted(stored_calls(tmp_path))

    def test_a_real_file_size_limit_is_a_full_disk(self, tmp_path: Path) -> None:
        process = program(tmp_path, """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
for _ in range(40): call()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
tape.tape.flush()
""")
        output, _ = process.communicate()

        assert sorted(output.decode().split()) == sorted(stored_calls(tmp_path))
        assert len(output.split()) == 40


def test_the_start_of_a_call_is_a_frame_before_its_end_is_known(spool: Spool) -> None:
    Recording(spool).start(REQUEST)

    assert [f.body for f in written(spool.directory) if f.kind == CALL_START] == [REQUEST]
