"""The fake engine does what a test tells it to."""

import threading
import uuid

import pytest

from hub.engines.base import EngineError, Limits, PullProgress, Reason, State, WorkloadSpec
from hub.engines.fake import Behaviour, FakeEngine, FakeImage


@pytest.fixture
def engine():
    FakeEngine.reset()
    yield FakeEngine(node="n1", options={})
    FakeEngine.reset()


def a_spec(**changes) -> WorkloadSpec:
    values = {
        "kind": "server",
        "id": uuid.uuid4(),
        "generation": 1,
        "owner": "ada",
        "command": ("game",),
        "limits": Limits(memory_mb=64, cpu_percent=100, disk_mb=64),
    }
    return WorkloadSpec(**{**values, **changes})


def unavailable() -> EngineError:
    return EngineError("no answer", reason=Reason.UNAVAILABLE)


def test_engines_of_a_node_share_its_state(engine):
    spec = a_spec()
    engine.ensure(spec)

    assert FakeEngine(node="n1", options={}).inspect(spec.name) == engine.inspect(spec.name)
    assert FakeEngine(node="n2", options={}).inspect(spec.name) is None


def test_verb_fails_as_often_as_told(engine):
    spec = a_spec()
    engine.fail("ensure", unavailable(), times=2)

    for _ in range(2):
        with pytest.raises(EngineError, match="no answer"):
            engine.ensure(spec)

    assert engine.ensure(spec).is_running


def test_verb_may_fail_after_it_took_effect(engine):
    spec = a_spec()
    engine.fail("ensure", EngineError("lost", reason=Reason.TIMED_OUT), after=True)

    with pytest.raises(EngineError, match="lost"):
        engine.ensure(spec)

    assert engine.inspect(spec.name).is_running


def test_engine_that_is_down_fails_at_every_verb_until_it_heals(engine):
    engine.fail("*", unavailable(), times=None)

    for call in (engine.list_owned, engine.usage, lambda: engine.kill("x"), lambda: engine.probe_address("::1", 1)):
        with pytest.raises(EngineError, match="no answer"):
            call()
    engine.heal()

    assert engine.list_owned() == []


def test_hanging_verb_waits_until_it_is_let_go(engine):
    spec = a_spec()
    gate = engine.hang("ensure")
    caller = threading.Thread(target=engine.ensure, args=(spec,))
    caller.start()

    while_hanging = engine.list_owned()
    gate.set()
    caller.join(60)

    assert while_hanging == []
    assert engine.inspect(spec.name).is_running


def test_hanging_verb_times_out(engine, monkeypatch):
    monkeypatch.setattr(FakeEngine, "timeout_seconds", 0.01)
    engine.hang("inspect")

    with pytest.raises(EngineError) as refused:
        engine.inspect("x")

    assert refused.value.reason is Reason.TIMED_OUT


def test_crash_is_seen_with_its_cause(engine):
    spec = a_spec()
    engine.ensure(spec)

    engine.crash(spec.name, code=-9, oom=True)

    seen = engine.inspect(spec.name)
    assert (seen.state, seen.exit_code, seen.oom_killed) == (State.EXITED, -9, True)


def test_restart_of_the_engine_explains_the_exits(engine):
    running, ended = a_spec(), a_spec()
    engine.ensure(running)
    engine.ensure(ended)
    engine.crash(ended.name, code=1)

    engine.restart_engine()

    assert engine.inspect(running.name).engine_restarted
    assert not engine.inspect(ended.name).engine_restarted


def test_workload_can_vanish(engine):
    spec = a_spec()
    engine.ensure(spec)

    engine.lose(spec.name)

    assert engine.inspect(spec.name) is None
    assert spec.name in engine.state.data


def test_program_behaves_as_told(engine):
    spec = a_spec()
    engine.behave(Behaviour(output=("loading",), exits_at_start=2), spec.name)

    assert engine.ensure(spec).exit_code == 2
    assert list(engine.logs(spec.name).lines) == ["loading"]
    assert engine.ensure(a_spec()).is_running


def test_calls_input_and_signals_are_remembered(engine):
    spec = a_spec()
    engine.ensure(spec)

    engine.send_input(spec.name, "save-all")
    engine.stop(spec.name, signal="SIGINT")

    assert engine.input_of(spec.name) == ["save-all"]
    assert [call.verb for call in engine.calls()] == ["ensure", "send_input", "stop"]
    assert engine.calls("stop")[0].kwargs == {"signal": "SIGINT"}
    assert engine.inspect(spec.name).exit_code == -2


class TestImages:
    def test_image_must_be_pulled_first(self, engine):
        spec = a_spec(image="game:1")
        with pytest.raises(EngineError) as refused:
            engine.ensure(spec)

        digest = engine.pull("game:1", progress=lambda event: True)

        assert refused.value.reason is Reason.IMAGE_MISSING
        assert engine.ensure(spec).image_digest == digest != ""

    def test_pull_reports_the_scripted_steps(self, engine):
        steps = (PullProgress("layer 1", 10), PullProgress("layer 2", 90))
        engine.state.images["game:1"] = FakeImage("sha256:abc", steps)
        told = []

        def progress(event: PullProgress) -> bool:
            told.append(event)
            return True

        digest = engine.pull("game:1", progress=progress)

        assert (digest, tuple(told)) == ("sha256:abc", steps)

    def test_pull_is_given_up_between_two_steps(self, engine):
        told = []

        def give_up(event: PullProgress) -> bool:
            told.append(event)
            return False

        with pytest.raises(EngineError) as refused:
            engine.pull("game:1", progress=give_up)

        assert refused.value.reason is Reason.CANCELLED
        assert len(told) == 1
        assert "game:1" not in engine.state.local_images

    def test_missing_image_is_permanent(self, engine):
        engine.state.images["game:1"] = FakeImage("", missing=True)

        with pytest.raises(EngineError) as refused:
            engine.pull("game:1", progress=lambda event: True)

        assert (refused.value.reason, refused.value.permanent) == (Reason.IMAGE_MISSING, True)

    def test_pull_that_takes_too_long_times_out(self, engine):
        engine.slow("pull.step", 0.05, times=None)

        with pytest.raises(EngineError) as refused:
            engine.pull("game:1", progress=lambda event: True, deadline_seconds=0.02)

        assert refused.value.reason is Reason.TIMED_OUT
