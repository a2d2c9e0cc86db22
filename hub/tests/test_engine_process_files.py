"""The process engine's files: the log that the shim writes and the engine reads, and trees of any shape."""

import os
import time
from pathlib import Path

import pytest

from hub.engines.process.logs import CHUNK_BYTES, read_log
from hub.engines.process.shim.log import Log
from hub.engines.trees import delete, measure

from .harnesses import ProcessHarness
from .process_helpers import home_of, shell, status_of

SECRET = "hunter2-and-more"
FLOOD_NOTICE = "[hub] More than 1 MiB of output in a second: lines are dropped until it calms down."


def written(directory: Path) -> list[str]:
    return list(read_log(directory, tail=10_000, cursor="").lines)


def log_in(directory: Path, *secrets: str, **settings) -> Log:
    """A log with settings of its own."""
    cls = type("SmallLog", (Log,), settings)
    return cls(str(directory), list(secrets))


class TestLog:
    def test_lines_are_written_whole(self, tmp_path):
        log = log_in(tmp_path)

        log.feed(b"first\nsec", 0.0)
        before = written(tmp_path)
        log.feed(b"ond\r\n\n", 0.0)

        assert before == ["first"]
        assert written(tmp_path) == ["first", "second", ""]

    def test_unfinished_line_is_written_at_the_end(self, tmp_path):
        log = log_in(tmp_path)

        log.feed(b"no newline", 0.0)
        log.close()

        assert written(tmp_path) == ["no newline"]

    def test_next_run_goes_on_in_the_same_file(self, tmp_path):
        for text in (b"one\n", b"two\n"):
            log = log_in(tmp_path)
            log.feed(text, 0.0)
            log.close()

        assert written(tmp_path) == ["one", "two"]
        assert len(list(tmp_path.iterdir())) == 1

    def test_half_line_of_a_killed_writer_is_ended(self, tmp_path):
        (tmp_path / "log.5").write_bytes(b"half")

        log_in(tmp_path).feed(b"whole\n", 0.0)

        assert written(tmp_path) == ["half", "whole"]

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 16, 17, 40, 1000])
    def test_secret_split_over_reads_is_masked(self, tmp_path, size):
        log = log_in(tmp_path, SECRET)
        text = f"before {SECRET} after {SECRET}{SECRET}\n".encode()

        for start in range(0, len(text), size):
            log.feed(text[start : start + size], 0.0)

        assert written(tmp_path) == ["before *** after ******"]

    @pytest.mark.parametrize("offset", range(40, 70, 3))
    def test_secret_in_an_endless_line_is_masked(self, tmp_path, offset):
        log = log_in(tmp_path, SECRET, line_bytes=64)
        text = b"x" * offset + SECRET.encode() + b"y" * 300

        for start in range(0, len(text), 10):
            log.feed(text[start : start + 10], 0.0)
        log.close()

        content = "".join(written(tmp_path))
        assert content == "x" * offset + "***" + "y" * 300

    def test_longer_secret_wins_over_one_it_contains(self, tmp_path):
        log_in(tmp_path, "abc", "abcdef").feed(b"abcdef abc\n", 0.0)

        assert written(tmp_path) == ["*** ***"]

    def test_secret_of_several_lines_is_masked_line_by_line(self, tmp_path):
        log_in(tmp_path, "-----KEY-----\nMIIEpAIB\n").feed(b"key: -----KEY-----\nMIIEpAIB\n", 0.0)

        assert written(tmp_path) == ["key: ***", "***"]

    def test_empty_and_tiny_secrets_do_not_eat_the_log(self, tmp_path):
        log_in(tmp_path, "", " ", "ab").feed(b"a b ab\n", 0.0)

        assert written(tmp_path) == ["a b ab"]

    def test_log_keeps_two_segments(self, tmp_path):
        log = log_in(tmp_path, segment_bytes=1000)

        for i in range(500):
            log.feed(f"line {i:04d}\n".encode(), float(i))

        lines = written(tmp_path)
        assert lines[-1] == "line 0499"
        assert lines == [f"line {i:04d}" for i in range(500 - len(lines), 500)]
        assert len(list(tmp_path.iterdir())) == 2
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000

    def test_flood_is_dropped_with_one_notice(self, tmp_path):
        log = log_in(tmp_path, rate_bytes=1000)
        for i in range(3000):
            log.feed(f"line {i:04d}\n".encode(), i / 1000)

        lines = written(tmp_path)
        notices = [line for line in lines if line.startswith("[hub]")]

        assert notices == [FLOOD_NOTICE]
        assert 200 < len(lines) < 400
        assert all(line.startswith(("line ", "[hub]")) for line in lines)

    def test_next_flood_has_its_own_notice(self, tmp_path):
        log = log_in(tmp_path, rate_bytes=100)

        for second in (0.0, 5.0, 10.0):
            log.feed(b"x" * 99 + b"\n", second)
            log.feed(b"too much\n", second)
            log.feed(b"calm\n", second + 1.5)
            log.feed(b"calm\n", second + 3.0)

        assert len([line for line in written(tmp_path) if line.startswith("[hub]")]) == 3

    def test_line_cut_by_a_flood_does_not_join_another(self, tmp_path):
        log = log_in(tmp_path, rate_bytes=100)

        log.feed(b"x" * 99 + b"\nhalf", 0.0)
        log.feed(b"too much, no newline", 0.1)
        log.feed(b"the rest\nnext\n", 2.0)

        assert [line for line in written(tmp_path) if not line.startswith(("x", "[hub]"))] == ["next"]

    def test_flooding_program_waits(self, tmp_path):
        log = log_in(tmp_path, rate_bytes=100, flood_bytes=1000)

        log.feed(b"x" * 2000, 0.0)

        assert log.pause(0.25) == pytest.approx(0.75)
        assert log.pause(1.5) == 0.0

    def test_full_disk_loses_lines_and_nothing_else(self, tmp_path, monkeypatch):
        log = log_in(tmp_path)

        def full(fd, data):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            log.feed(b"lost\n", 0.0)
        log.feed(b"kept\n", 0.0)

        assert written(tmp_path) == ["kept"]


class TestReading:
    def test_cursor_walks_over_segments(self, tmp_path):
        (tmp_path / "log.5").write_text("a\nb\n")
        (tmp_path / "log.9").write_text("c\nd\n")

        first = read_log(tmp_path, tail=10, cursor="5:2")
        second = read_log(tmp_path, tail=10, cursor=first.cursor)
        third = read_log(tmp_path, tail=10, cursor=second.cursor)

        assert (first.lines, second.lines, third.lines) == (("b",), ("c", "d"), ())
        assert second.cursor == third.cursor == "9:4"
        assert not first.truncated
        assert not second.truncated

    @pytest.mark.parametrize("cursor", ["4:100", "5:100", "77:0"])
    def test_cursor_into_what_is_gone_begins_again_and_says_so(self, tmp_path, cursor):
        (tmp_path / "log.5").write_text("a\nb\n")

        chunk = read_log(tmp_path, tail=1, cursor=cursor)

        assert (chunk.lines, chunk.truncated) == (("a", "b"), True)

    @pytest.mark.parametrize("cursor", ["", "x", "5", "5:", ":5", "5:-1", "5:1:1", "٥:١", "9" * 100 + ":1"])
    def test_nonsense_cursor_gives_the_end(self, tmp_path, cursor):
        (tmp_path / "log.5").write_text("a\nb\n")

        assert read_log(tmp_path, tail=1, cursor=cursor).lines == ("b",)

    def test_tail_takes_from_the_segment_before(self, tmp_path):
        (tmp_path / "log.5").write_text("a\nb\n")
        (tmp_path / "log.9").write_text("c\n")

        assert read_log(tmp_path, tail=2, cursor="").lines == ("b", "c")
        assert read_log(tmp_path, tail=9, cursor="").lines == ("a", "b", "c")

    def test_tail_that_does_not_fit_says_so(self, tmp_path):
        (tmp_path / "log.5").write_text("".join(f"{i:0999d}\n" for i in range(200)))

        chunk = read_log(tmp_path, tail=200, cursor="")

        assert chunk.truncated
        assert chunk.lines[-1] == f"{199:0999d}"
        assert CHUNK_BYTES - 2000 < sum(len(line) + 1 for line in chunk.lines) <= CHUNK_BYTES

    def test_unfinished_line_is_not_read(self, tmp_path):
        (tmp_path / "log.5").write_text("a\nhalf")

        chunk = read_log(tmp_path, tail=9, cursor="")

        assert (chunk.lines, chunk.cursor) == (("a",), "5:2")
        assert read_log(tmp_path, tail=9, cursor=chunk.cursor).lines == ()

    def test_bytes_that_are_no_text_are_shown_as_such(self, tmp_path):
        (tmp_path / "log.5").write_bytes(b"\xff\xfe ok\n")

        assert read_log(tmp_path, tail=1, cursor="").lines == ("\ufffd\ufffd ok",)

    def test_symbolic_link_is_not_followed(self, tmp_path):
        (tmp_path / "log.5").symlink_to("/etc/passwd")

        assert read_log(tmp_path, tail=9, cursor="").lines == ()


def test_real_flood_keeps_the_shim_calm_and_the_log_small():
    harness = ProcessHarness()
    spec = harness.start(shell("exec yes flood"))
    harness.wait_for_line(
        spec.name, "[hub] More than 1 MiB of output in a second: lines are dropped until it calms down."
    )
    home = home_of(harness, spec)
    shim = status_of(harness, spec)["shim_pid"]

    def processor_seconds() -> float:
        fields = Path(f"/proc/{shim}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    began, before = time.monotonic(), processor_seconds()
    time.sleep(1.0)  # a share is a figure over time
    share = (processor_seconds() - before) / (time.monotonic() - began)
    harness.engine.kill(spec.name)
    size = sum(path.stat().st_size for path in home.path.glob("log.*"))
    harness.close()

    assert share < 0.5
    assert size < 10 * 1024**2


class TestTrees:
    def build_deep(self, root: Path, depth: int) -> None:
        """A tree deeper than any path may be long."""
        directory = os.open(root, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("directory", dir_fd=directory)
            below = os.open("directory", os.O_RDONLY, dir_fd=directory)
            os.close(directory)
            directory = below
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
        os.close(directory)

    def test_tree_of_any_depth_is_deleted(self, tmp_path):
        root = tmp_path / "root"
        root.mkdir()
        self.build_deep(root, 3000)

        assert delete(root, seconds=20)
        assert not root.exists()

    def test_links_are_deleted_not_followed(self, tmp_path):
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "kept").write_text("kept")
        root = tmp_path / "root"
        (root / "below").mkdir(parents=True)
        (root / "link").symlink_to(outside)
        (root / "below" / "link").symlink_to(outside)

        delete(root, seconds=20)

        assert not root.exists()
        assert (outside / "kept").exists()

    def test_root_that_is_a_link_is_not_followed(self, tmp_path):
        (tmp_path / "outside").mkdir()
        (tmp_path / "root").symlink_to(tmp_path / "outside")

        with pytest.raises(OSError, match="Not a directory"):
            delete(tmp_path / "root", seconds=20)

    def test_closed_directories_are_opened(self, tmp_path):
        root = tmp_path / "root"
        (root / "a" / "b" / "c").mkdir(parents=True)
        (root / "a" / "b" / "c" / "file").write_text("x")
        for path in (root / "a" / "b" / "c", root / "a" / "b", root / "a"):
            path.chmod(0)

        assert delete(root, seconds=20)

    def test_deleting_goes_on_where_it_stopped(self, tmp_path):
        root = tmp_path / "root"
        for name in "abcdef":
            (root / name).mkdir(parents=True)
            (root / name / "file").write_text("x")

        first = delete(root, seconds=-1)
        left = len(list(root.iterdir()))

        assert (first, left) == (False, 5)
        assert delete(root, seconds=20)

    def test_deleting_nothing_is_done(self, tmp_path):
        assert delete(tmp_path / "nothing", seconds=1)

    def test_measure_counts_hard_links_once_and_no_link_targets(self, tmp_path):
        (tmp_path / "a").write_bytes(b"x" * 1_000_000)
        os.link(tmp_path / "a", tmp_path / "b")
        (tmp_path / "c").symlink_to("/usr")

        size = measure(tmp_path, seconds=20)

        assert 1_000_000 <= size.bytes < 1_100_000
        assert size.is_complete

    def test_measure_of_a_tree_too_deep_for_a_path_is_a_lower_bound(self, tmp_path):
        (tmp_path / "a").write_bytes(b"x" * 1_000_000)
        self.build_deep(tmp_path, 500)

        size = measure(tmp_path, seconds=20)
        delete(tmp_path / "directory", seconds=20)

        assert size.bytes > 1_000_000
        assert not size.is_complete

    def test_measure_stops_in_time(self, tmp_path):
        assert measure(tmp_path, seconds=-1).is_complete is False
