"""What the process engine adds to the contract: what a program is given, and who finds it again."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.engines.base import EngineError, PortBinding, Reason, State
from hub.engines.process import ProcessEngine
from hub.engines.process.home import boot_time
from hub.engines.process.processes import Process
from hub.engines.process.shim.processes import children, is_executing, start_ticks
from hub.testing import free_port, wait_until

from .harnesses import BUSY, LIMITS, SLEEPER, STUBBORN, ProcessHarness
from .process_helpers import (
    ALONE,
    BOTH,
    ESCAPES,
    READY_ALONE,
    home_of,
    living,
    needs_root,
    output_of,
    shell,
    status_of,
)
from .test_probe import lingering_connection

CANARY = "canary-0815-secret"

C_LIBRARY_SIGNALS = 0b11 << 31  # 32 and 33 are the C library's own: inherited, and no program can touch them


@pytest.fixture(params=BOTH)
def harness(request: pytest.FixtureRequest) -> Iterator[ProcessHarness]:
    subject = request.param()
    yield subject
    subject.close()


def refusal_of(harness: ProcessHarness, **changes) -> EngineError:
    spec = harness.spec(ALONE, **changes)
    with pytest.raises(EngineError) as refused:
        harness.engine.ensure(spec)
    seen = harness.engine.inspect(spec.name)
    assert seen is None or seen.state is State.CREATED
    return refused.value


class TestWhatAProgramIsGiven:
    def test_environment_is_built_from_nothing(self, harness, monkeypatch):
        monkeypatch.setenv("HUB_SECRET_KEY", CANARY)
        spec = harness.spec(shell("env"), env={"GREETING": "hello"})

        harness.engine.ensure(spec)
        harness.wait_for_exit(spec.name)

        lines = harness.engine.logs(spec.name).lines
        variables = dict(line.split("=", 1) for line in lines)
        data = str(home_of(harness, spec).data)
        variables.pop("PWD")  # the shell's own
        assert variables == {
            "GREETING": "hello",
            "DATA": ".",
            "HOME": data,
            "HUB_WORKLOAD": spec.name,
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }

    def test_program_starts_in_its_data_with_private_files(self, harness):
        spec = harness.start(shell("touch mine; pwd; stat -c %a mine ."))
        harness.wait_for_exit(spec.name)

        assert list(harness.engine.logs(spec.name).lines) == [str(home_of(harness, spec).data), "600", "700"]

    def test_program_has_three_open_files_and_default_signals(self, harness):
        lines = output_of(
            harness, "ls /proc/self/fd | wc -l; grep -E 'SigIgn|SigBlk|NoNewPrivs' /proc/self/status; ulimit -c"
        )

        assert lines[0].strip() == "4"  # the fourth is the directory that `ls` reads
        blocked, ignored, no_new_privileges = (int(line.split()[1], 16) for line in lines[1:4])
        assert blocked & ~C_LIBRARY_SIGNALS == ignored & ~C_LIBRARY_SIGNALS == 0
        assert no_new_privileges == 1
        assert lines[4] == "0"

    @needs_root
    def test_program_of_root_runs_as_an_unprivileged_user(self, harness):
        lines = output_of(harness, "id -un; id -G; grep CapEff /proc/self/status; cat ../spec.json 2>&1 | tail -1")

        assert lines[0] == "nobody"
        assert len(lines[1].split()) == 1
        assert int(lines[2].split()[1], 16) == 0
        assert "denied" in lines[3]

    def test_arguments_reach_the_program_untouched(self, harness):
        arguments = ["$(id)", "`id`", "a b", "'", '"', "\\", ";", "*", "--", "ünïcode", ""]

        spec = harness.spec(command=("printf", "%s\\n", *arguments))
        harness.engine.ensure(spec)
        harness.wait_for_exit(spec.name)

        assert list(harness.engine.logs(spec.name).lines) == arguments

    def test_secrets_are_on_no_disk_and_in_no_argument(self, harness):
        program = shell('echo "the password is $PASSWORD"; echo ready; exec sleep 300')
        spec = harness.start(program, env={"PASSWORD": CANARY}, secrets=(CANARY,))
        harness.wait_for_line(spec.name, "ready")

        files = b"".join(path.read_bytes() for path in harness.root.rglob("*") if path.is_file())
        shim = status_of(harness, spec)["shim_pid"]
        arguments = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (shim, *children(shim)))
        shim_environment = Path(f"/proc/{shim}/environ").read_bytes()

        assert CANARY.encode() not in files + arguments + shim_environment
        assert harness.engine.logs(spec.name).lines[0] == "the password is ***"

    def test_main_program_ending_ends_the_others(self, harness):
        spec = harness.start(shell("(setsid sleep 300 &); sleep 300 & exit 0"))

        harness.wait_for_exit(spec.name)

        assert living(spec) == []

    def test_program_is_no_child_of_the_engine(self, harness):
        before = set(children(os.getpid()))

        spec = harness.start(READY_ALONE)
        running = set(children(os.getpid()))
        harness.engine.kill(spec.name)

        assert running == before == set(children(os.getpid()))


class TestRefusals:
    @pytest.mark.parametrize(
        ("command", "sentence"),
        [
            (("no-such-program",), "The program 'no-such-program' is not installed on this node."),
            (("/no/such/program",), "The program '/no/such/program' does not exist on this node."),
            (("../../../../../../etc/passwd",), "not a program"),
            (("/etc",), "The program '/etc' does not exist on this node."),
            ((), "There is no command to run."),
            (("sh", "-c", "a\0b"), "A command, a variable or its value holds a NUL character."),
        ],
    )
    def test_program_that_cannot_run_is_refused_for_good(self, harness, command, sentence):
        error = refusal_of(harness, command=command)

        assert (error.reason, error.permanent) == (Reason.REFUSED, True)
        assert sentence in str(error)

    def test_script_without_its_interpreter_is_refused(self, harness):
        script = harness.root / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)

        error = refusal_of(harness, command=(str(script),))
        script.unlink()

        assert (error.reason, error.permanent) == (Reason.REFUSED, True)
        assert "what it needs to run is missing" in str(error)

    def test_failed_start_says_why_and_can_be_repaired(self, harness):
        script = harness.root / "script"
        script.write_text("not a program")
        script.chmod(0o755)
        spec = harness.spec(command=(str(script),))
        with pytest.raises(EngineError, match="not made for this machine"):
            harness.engine.ensure(spec)
        seen = harness.look(spec.name)

        script.write_text("#!/bin/sh\nexec sleep 300\n")
        again = harness.engine.ensure(spec)
        script.unlink()

        assert seen.state is State.CREATED
        assert "Could not start (program)" in seen.detail
        assert again.is_running

    @pytest.mark.parametrize("env", [{"A=B": "c"}, {"": "c"}, {"A": "b\0c"}])
    def test_impossible_variables_are_refused(self, harness, env):
        assert refusal_of(harness, env=env).reason is Reason.REFUSED

    @pytest.mark.parametrize("kind", ["../server", "Server", "", "a" * 60])
    def test_name_that_is_no_name_is_refused(self, harness, kind):
        with pytest.raises(EngineError, match="no name for a workload"):
            harness.engine.ensure(harness.spec(ALONE, kind=kind))

        assert not list(harness.root.rglob("data"))

    @needs_root
    def test_root_must_name_a_user(self, harness):
        engine = ProcessEngine(node="n", options={"root": str(harness.root)})

        with pytest.raises(EngineError, match="runs as root and names no user"):
            engine.ensure(harness.spec(ALONE))

    def test_unknown_user_is_refused(self, harness):
        engine = ProcessEngine(node="n", options={"root": str(harness.root), "user": "no-such-user"})

        with pytest.raises(EngineError, match="no user 'no-such-user'"):
            engine.ensure(harness.spec(ALONE))

    @needs_root
    def test_closed_directory_above_the_data_is_explained(self, harness):
        harness.root.chmod(0o700)

        error = refusal_of(harness)

        assert "'nobody' may not enter the data directory" in str(error)

    def test_node_without_a_directory_is_refused(self):
        with pytest.raises(EngineError, match="names no directory"):
            ProcessEngine(node="n", options={})

    @pytest.mark.parametrize("name", ["SIGNONSENSE", "TERM", "SIG_DFL", "15", ""])
    def test_unknown_signal_is_refused(self, harness, name):
        spec = harness.start(READY_ALONE)

        with pytest.raises(EngineError, match="is not a signal"):
            harness.engine.stop(spec.name, signal=name)


class TestConsole:
    @pytest.mark.parametrize("line", ["say a\nstop", "say a\rstop", "a\0b"])
    def test_two_lines_in_one_are_refused(self, harness, line):
        spec = harness.start(READY_ALONE)

        with pytest.raises(EngineError, match="one line at a time"):
            harness.engine.send_input(spec.name, line)

    def test_long_line_is_refused(self, harness):
        spec = harness.start(READY_ALONE)

        with pytest.raises(EngineError, match="4095 bytes"):
            harness.engine.send_input(spec.name, "x" * 4096)

    def test_program_that_does_not_read_never_blocks_the_caller(self, harness):
        spec = harness.start(READY_ALONE)

        def flood():
            for _ in range(100):
                harness.engine.send_input(spec.name, "x" * 4000)

        with pytest.raises(EngineError, match="does not read") as refused:
            flood()

        assert (refused.value.reason, refused.value.permanent) == (Reason.TIMED_OUT, False)

    def test_line_sent_to_an_earlier_run_does_not_reach_the_next(self, harness):
        spec = harness.start(READY_ALONE)
        harness.engine.send_input(spec.name, "for the first")
        harness.engine.kill(spec.name)

        harness.engine.ensure(replace(spec, command=("sh", "-c", 'read -r line; echo "got $line"')))
        harness.engine.send_input(spec.name, "for the second")
        harness.wait_for_exit(spec.name)

        assert harness.engine.logs(spec.name).lines[-1] == "got for the second"


class TestFoundAgain:
    def test_program_whose_shim_was_killed_is_still_seen_and_stopped(self, harness):
        spec = harness.start(SLEEPER)

        os.kill(status_of(harness, spec)["shim_pid"], signal.SIGKILL)
        wait_until(lambda: harness.look(spec.name).detail, what="the shim's end")
        seen = harness.look(spec.name)
        harness.engine.stop(spec.name)
        harness.wait_for_exit(spec.name)

        assert seen.is_running
        assert "looks after it was killed" in seen.detail
        ended = harness.look(spec.name)
        assert (ended.state, ended.exit_code, ended.engine_restarted) == (State.EXITED, None, False)

    @pytest.mark.parametrize("program", [STUBBORN, ESCAPES], ids=["stubborn", "escapes"])
    def test_program_whose_shim_was_killed_is_killed_whole(self, harness, program):
        spec = harness.start(program)
        os.kill(status_of(harness, spec)["shim_pid"], signal.SIGKILL)

        harness.engine.kill(spec.name)

        assert living(spec) == []
        assert harness.look(spec.name).exit_code == -9

    def test_leftovers_of_a_lost_run_are_ended_before_the_next(self, harness):
        spec = harness.start(ESCAPES)
        status = status_of(harness, spec)
        os.kill(status["shim_pid"], signal.SIGKILL)
        os.kill(status["pid"], signal.SIGKILL)
        harness.wait_for_exit(spec.name)
        assert living(spec)

        harness.engine.ensure(replace(spec, generation=2, command=("sleep", "300")))

        assert len(living(spec)) == 1

    def test_escaped_grandchild_is_killed(self, harness):
        spec = harness.start(ESCAPES)
        before = len(living(spec))

        harness.engine.kill(spec.name)

        assert (before, living(spec)) == (2, [])

    def test_stopped_shim_does_not_keep_a_program_alive(self, harness, monkeypatch):
        monkeypatch.setattr("hub.engines.process.engine.END_SECONDS", 0.3)
        spec = harness.start(READY_ALONE)
        os.kill(status_of(harness, spec)["shim_pid"], signal.SIGSTOP)

        harness.engine.kill(spec.name)

        assert living(spec) == []
        assert harness.look(spec.name).exit_code == -9

    def test_restart_of_the_host_explains_an_exit(self, harness):
        spec = harness.start(READY_ALONE)
        status = status_of(harness, spec)
        home_of(harness, spec).write("status.json", status | {"boot_id": "another boot"})

        seen = harness.look(spec.name)
        harness.engine.stop(spec.name)
        harness.engine.kill(spec.name)
        still = Process(status["pid"], status["start"]).is_alive()
        home_of(harness, spec).write("status.json", status)

        assert (seen.state, seen.exit_code, seen.engine_restarted) == (State.EXITED, None, True)
        assert still, "a process of this boot was signalled for one of another"

    @pytest.mark.parametrize(("seconds_before_boot", "explained"), [(20.0, True), (4000.0, False)])
    def test_shutdown_of_the_host_explains_only_the_exits_at_its_end(self, harness, seconds_before_boot, explained):
        spec = harness.start(shell("exit 0"))
        harness.wait_for_exit(spec.name)
        record = {"boot_id": "another boot", "finished_at": boot_time() - seconds_before_boot}
        home_of(harness, spec).write("status.json", status_of(harness, spec) | record)

        assert harness.look(spec.name).engine_restarted is explained

    def test_reused_process_number_is_not_ours(self, harness):
        spec = harness.start(READY_ALONE)
        status = status_of(harness, spec)
        strangers = {"start": status["start"] - 1, "shim_start": status["shim_start"] - 1}
        home_of(harness, spec).write("status.json", status | strangers)

        seen = harness.look(spec.name)
        harness.engine.stop(spec.name, signal="SIGKILL")
        still = Process(status["pid"], status["start"]).is_alive()
        home_of(harness, spec).write("status.json", status)

        assert (seen.state, seen.exit_code) == (State.EXITED, None)
        assert still

    def test_zombie_counts_as_dead(self):
        pid = os.fork()
        if pid == 0:
            os._exit(0)

        wait_until(lambda: start_ticks(pid) is None, what="the zombie")
        os.waitpid(pid, 0)

    def test_process_whose_end_woke_us_is_not_taken_for_a_running_one(self):
        for _ in range(300):
            ends, ends_write = os.pipe()
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.close(ends_write)
            start = start_ticks(pid)
            os.read(ends, 1)
            seen = start is not None and is_executing(pid, start)
            os.close(ends)
            os.waitpid(pid, 0)

            assert not seen

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("spec.json", "{"),
            ("spec.json", "[]"),
            ("spec.json", "{}"),
            ("status.json", '{"generation": 1, "state": "exited"}'),
            ("disk.json", '{"bytes": "many", "at": 0}'),
        ],
    )
    def test_records_that_make_no_sense_do_not_break_the_list(self, harness, file, content):
        good, bad = harness.start(READY_ALONE), harness.start(READY_ALONE)
        path = home_of(harness, bad).path / file
        before = path.read_text() if path.exists() else "{}"
        path.write_text(content)

        listed = harness.engine.list_owned()
        path.write_text(before)

        assert good.name in [seen.name for seen in listed]

    def test_usage_of_a_program_whose_shim_was_killed_is_still_told(self, harness):
        spec = harness.start(BUSY)
        os.kill(status_of(harness, spec)["shim_pid"], signal.SIGKILL)
        wait_until(lambda: harness.look(spec.name).detail, what="the shim's end")

        used = harness.usage(spec)

        assert used.pids == 1
        assert (used.memory_bytes or 0) > 0


class TestAddresses:
    def test_server_comes_back_to_its_own_lingering_port(self, harness):
        port = free_port()
        spec = harness.start(READY_ALONE, ports=(PortBinding("game", "127.0.0.1", port, port),))
        harness.engine.kill(spec.name)

        with lingering_connection(port):
            assert harness.engine.ensure(spec).is_running

    def test_newcomer_does_not_get_a_lingering_port(self, harness):
        port = free_port()
        spec = harness.spec(READY_ALONE, ports=(PortBinding("game", "127.0.0.1", port, port),))

        with lingering_connection(port), pytest.raises(EngineError) as refused:
            harness.engine.ensure(spec)

        assert refused.value.reason is Reason.ADDRESS_TAKEN

    def test_leftover_of_the_last_run_does_not_hold_the_port(self, harness):
        port = free_port()
        spec = harness.start(READY_ALONE, ports=(PortBinding("game", "127.0.0.1", port, port),))
        os.kill(status_of(harness, spec)["shim_pid"], signal.SIGKILL)
        os.kill(status_of(harness, spec)["pid"], signal.SIGKILL)
        harness.wait_for_exit(spec.name)

        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", port))
            stranger.listen()
            with pytest.raises(EngineError) as refused:
                harness.engine.ensure(spec)

        assert (refused.value.reason, refused.value.port) == (Reason.ADDRESS_TAKEN, port)
        assert harness.engine.ensure(spec).is_running


class TestFilesLeft:
    def test_remove_leaves_no_process_file_or_group(self, harness):
        spec = harness.start(ESCAPES)

        harness.engine.remove(spec.name)

        assert living(spec) == []
        assert list((harness.root / "workloads").iterdir()) == []
        assert not [path for path in harness.engine.cgroups.group(spec.name).paths.values() if path.exists()]

    def test_remove_deletes_what_a_hostile_program_built(self, harness):
        spec = harness.start(
            shell("for i in 1 2 3 4 5 6 7 8 9; do mkdir d; cd d; ln -s / root; done; chmod 0 . ..; echo ready")
        )
        harness.wait_for_line(spec.name, "ready")

        harness.engine.remove(spec.name)

        assert list((harness.root / "workloads").iterdir()) == []
        assert Path("/etc/passwd").exists()

    def test_huge_removal_is_finished_later(self, harness, monkeypatch):
        spec = harness.start(shell("for i in 1 2 3 4 5 6 7 8; do mkdir $i; touch $i/a; done; echo ready"))
        harness.wait_for_line(spec.name, "ready")
        monkeypatch.setattr("hub.engines.process.engine.DELETE_SECONDS", -1.0)

        harness.engine.remove(spec.name)
        listed, left = harness.engine.list_owned(), list((harness.root / "workloads").iterdir())
        harness.engine.tidy()

        assert listed == []
        assert harness.engine.inspect(spec.name) is None
        assert left
        assert list((harness.root / "workloads").iterdir()) == []

    def test_existing_directories_keep_their_mode(self, harness):
        root = harness.root / "workloads"
        root.mkdir(mode=0o755)
        root.chmod(0o755)

        harness.start(READY_ALONE)

        assert root.stat().st_mode & 0o777 == 0o755

    def test_busy_workload_is_reported_not_waited_for(self, harness, monkeypatch):
        spec = harness.start(READY_ALONE)
        monkeypatch.setattr(ProcessEngine, "timeout_seconds", 0.1)
        lock = home_of(harness, spec).lock(1)
        began = time.monotonic()

        with pytest.raises(EngineError) as refused:
            harness.engine.kill(spec.name)
        os.close(lock)

        assert refused.value.reason is Reason.TIMED_OUT
        assert time.monotonic() - began < 30
        assert harness.look(spec.name).is_running

    def test_limits_may_change_with_the_generation(self, harness):
        spec = harness.start(READY_ALONE)
        harness.engine.kill(spec.name)

        harness.engine.ensure(replace(spec, generation=2, limits=replace(LIMITS, memory_mb=128)))

        assert harness.usage(spec).memory_limit_bytes == 128 * 1024**2
