"""Each limit exceeded in a real container, and what a workload finds closed around it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hub.engines.base import Enforcement, EngineError, Limits, Reason
from hub.engines.docker import volumes
from hub.testing import wait_until

from .docker_helpers import Lab

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LIMITS = Limits(memory_mb=64, cpu_percent=100, disk_mb=64)
MIB = 1024**2


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.close()


def test_more_memory_than_allowed_is_an_oom_kill_by_name(lab: Lab):
    spec = lab.script("tail /dev/zero")

    lab.engine.ensure(spec)
    lab.wait_for_exit(spec.name)

    seen = lab.look(spec.name)
    assert (seen.oom_killed, seen.exit_code, seen.engine_restarted) == (True, -signal.SIGKILL, False)


def test_memory_in_tmp_counts(lab: Lab):
    spec = lab.script(
        "dd if=/dev/zero of=/tmp/full bs=1M count=48; echo written; tail /dev/zero",
        limits=replace(LIMITS, memory_mb=32, tmp_mb=64),
    )

    lab.engine.ensure(spec)
    lab.wait_for_exit(spec.name)

    assert lab.look(spec.name).oom_killed


def test_no_more_processes_than_allowed(lab: Lab):
    lines = lab.output_of(
        "i=0; while [ $i -lt 30 ]; do sleep 20 & i=$((i+1)); done; echo survived",
        limits=replace(LIMITS, pids=10),
    )

    assert any("can't fork" in line for line in lines)
    assert "survived" not in lines


def test_no_more_cpu_than_allowed(lab: Lab):
    spec = lab.script("echo ready; while :; do :; done", limits=replace(LIMITS, cpu_percent=25))
    lab.engine.ensure(spec)
    lab.wait_for_line(spec.name, "ready")

    before = lab.usage(spec)
    time.sleep(2.0)
    after = lab.usage(spec)

    share = (after.cpu_seconds_total - before.cpu_seconds_total) / (after.at - before.at).total_seconds()
    assert 0.02 < share < 0.32


def test_no_more_in_tmp_than_allowed(lab: Lab):
    lines = lab.output_of(
        "dd if=/dev/zero of=/tmp/full bs=1M count=20 2>/dev/null; stat -c %s /tmp/full",
        limits=replace(LIMITS, tmp_mb=8),
    )

    assert lines == [str(8 * MIB)]


def test_no_more_open_files_than_allowed(lab: Lab):
    lines = lab.output_of("ulimit -n; ulimit -Hn; ulimit -c", limits=replace(LIMITS, open_files=77))

    assert lines == ["77", "77", "0"]


def test_one_file_cannot_outgrow_the_disk_limit(lab: Lab):
    spec = lab.script("exec dd if=/dev/zero of=/data/full bs=1M count=50", limits=replace(LIMITS, disk_mb=16))
    lab.engine.ensure(spec)
    lab.wait_for_exit(spec.name)

    seen = lab.look(spec.name)

    assert seen.exit_code == -signal.SIGXFSZ
    assert "larger than its disk limit" in seen.detail


def test_too_much_data_is_seen_and_blocks_the_next_start(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    script = "for i in 1 2 3 4; do dd if=/dev/zero of=/data/$i bs=1M count=6; done; echo ready; sleep 300"
    spec = lab.script(script, limits=replace(LIMITS, disk_mb=16))
    lab.engine.ensure(spec)
    lab.wait_for_line(spec.name, "ready")

    used = lab.usage(spec).disk_bytes
    lab.engine = lab.reopen()
    seen = lab.look(spec.name)
    lab.engine.kill(spec.name)
    with pytest.raises(EngineError) as refused:
        lab.engine.ensure(spec)

    assert used >= 24 * MIB
    assert "24 MB; the limit is 16 MB" in seen.detail
    assert refused.value.reason is Reason.DISK_FULL
    assert not lab.look(spec.name).is_running


def test_data_is_counted_once_a_minute(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    spec = lab.script("echo ready; sleep 300")
    lab.engine.ensure(spec)
    lab.engine.usage()
    counted = []
    monkeypatch.setattr(volumes, "measure", lambda path, seconds: counted.append(path))

    lab.reopen().usage()

    assert counted == []


def test_workload_has_no_rights(lab: Lab):
    lines = lab.output_of("id -u; id -g; grep -E 'Cap(Eff|Prm|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status")

    assert lines[:2] == ["1000", "1000"]
    assert dict(line.split() for line in lines[2:]) == {
        "CapPrm:": "0000000000000000",
        "CapEff:": "0000000000000000",
        "CapBnd:": "0000000000000000",
        "NoNewPrivs:": "1",
        "Seccomp:": "2",
    }


def test_workload_writes_to_its_data_and_tmp_only(lab: Lab):
    places = "/ /bin /etc /data /tmp /dev /proc /sys /run /var /dev/shm"
    lines = lab.output_of(f"for d in {places}; do (echo x > $d/probe) 2>/dev/null && echo $d; done")

    assert lines == ["/data", "/tmp", "/dev/shm"]


def test_workload_may_run_programs_from_tmp_but_not_as_somebody_else(lab: Lab):
    lines = lab.output_of("cp /bin/busybox /tmp/id; chmod 4755 /tmp/id; /tmp/id -u; grep ' /tmp ' /proc/mounts")

    assert lines[0] == "1000"
    assert {"nosuid", "nodev"} <= set(lines[1].split()[3].split(","))


def test_workload_may_listen_on_a_low_port(lab: Lab):
    lines = lab.output_of("timeout 1 nc -l -p 80; echo $?")

    assert "143" in lines, "nc waited until it was ended"


def test_main_program_is_not_the_first_process(lab: Lab):
    """An init reaps what a program leaves behind, and passes signals on."""
    lines = lab.output_of("cat /proc/1/comm; echo $$")

    assert lines[0] == "docker-init"
    assert lines[1] != "1"


def test_image_keeps_its_own_user_and_its_data(lab: Lab):
    script = (
        "id -u; ls -ldn /data /data/seed | awk '{print $3}'; cat /data/seed; echo more >> /data/seed && echo written"
    )

    lines = lab.output_of(script, image_name="opinionated")

    assert lines == ["1234", "1234", "1234", "from the image", "written"]


def test_volume_that_an_image_declares_is_memory(lab: Lab):
    spec = lab.script("sleep 300", image_name="opinionated")
    lab.engine.ensure(spec)

    container = lab.container(spec)

    assert [mount["Destination"] for mount in container["Mounts"]] == ["/data"]
    assert "/cache" in container["HostConfig"]["Tmpfs"]
    assert "Health" not in container["State"]


def test_data_survives_another_generation_and_belongs_to_the_workload(lab: Lab):
    spec = lab.script("touch /data/mine; echo ready; sleep 300")
    lab.engine.ensure(spec)
    lab.wait_for_line(spec.name, "ready")
    lab.engine.kill(spec.name)

    again = replace(spec, generation=2, command=("sh", "-c", "ls -ln /data | awk 'NR==2 {print $3, $9}'"))
    lab.engine.ensure(again)
    lab.wait_for_exit(spec.name)

    assert list(lab.engine.logs(spec.name).lines) == ["1000 mine"]


def test_home_is_where_the_data_is(lab: Lab):
    assert lab.output_of("echo $HOME; pwd") == ["/data", "/data"]
    assert lab.output_of("echo $HOME", data_path="") == ["/tmp"]


def test_output_is_capped(lab: Lab):
    spec = lab.script("sleep 300")
    lab.engine.ensure(spec)

    logs = lab.container(spec)["HostConfig"]["LogConfig"]

    assert logs["Type"] == "local"
    assert (logs["Config"]["max-size"], logs["Config"]["max-file"]) == ("5m", "2")


def test_secrets_are_in_no_label(lab: Lab):
    spec = lab.script("sleep 300", env={"PASSWORD": "canary-4711"}, secrets=("canary-4711", "canary-4712"))
    lab.engine.ensure(spec)

    assert "canary" not in str(lab.container(spec)["Config"]["Labels"])


def test_every_limit_of_this_node_is_told(lab: Lab):
    told = lab.engine.limits()

    assert told["disk"] is Enforcement.WATCHED
    assert {told[name] for name in ("memory", "cpu", "pids", "files")} == {Enforcement.ENFORCED}


def test_swap_is_limited_with_the_memory(lab: Lab):
    spec = lab.script("sleep 300", limits=replace(LIMITS, swap_mb=32))
    lab.engine.ensure(spec)

    host = lab.container(spec)["HostConfig"]

    assert (host["Memory"], host["MemorySwap"]) == (64 * MIB, 96 * MIB)


def test_usage_counts_memory_network_and_processes(lab: Lab):
    spec = lab.script("dd if=/dev/zero of=/data/file bs=1M count=20 2>/dev/null; echo ready; sleep 300")
    lab.engine.ensure(spec)
    lab.wait_for_line(spec.name, "ready")

    used = wait_until(lambda: lab.engine.usage().get(spec.name), what="usage")

    assert used.memory_bytes < 20 * MIB, "what the kernel may drop does not count"
    assert used.memory_limit_bytes == 64 * MIB
    assert 2 <= used.pids <= 4
    assert used.net_in_bytes_total is not None
    assert used.net_out_bytes_total is not None
    assert used.block_write_bytes_total is not None
    assert used.disk_bytes >= 20 * MIB
