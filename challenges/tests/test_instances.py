"""A team's own copy of a challenge: one for each, by the event's rules, with its flag and address, until its end."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges import flags, services
from challenges.jobs import settle_instances
from challenges.models import Event, Instance, Participation, ScoreEvent
from challenges.services import deploys
from hub.engines.base import EngineError, Reason
from hub.engines.fake import Behaviour, FakeEngine, FakeImage
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed, NotFound
from hub.nodes import ips, janitor
from hub.nodes.choices import PoolKind
from hub.nodes.models import Address, Operation
from hub.nodes.sweep import sweep
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.testing import run_commit_hooks, run_jobs

from .arena import Arena, leased_ips, make_arena, organiser_of, runnable
from .factories import EntryFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _engine() -> Iterator[None]:
    FakeEngine.reset()
    yield
    FakeEngine.reset()


@pytest.fixture
def arena() -> Arena:
    return make_arena()


@pytest.fixture
def operator() -> Any:
    return UserFactory(role="Operator")


def clock(instance: Instance, **by: float) -> None:
    """Let time pass for one instance."""
    Instance.objects.filter(pk=instance.pk).update(expires_at=instance.expires_at - timedelta(**by))


# Launch.


def test_launch_runs_and_tells_the_team_how_to_reach_it(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))

    arena.work()

    instance = arena.fresh(instance)
    assert instance.observed_status == "running"
    assert [line.line for line in instance.connections] == ["http://192.168.250.100:8080/"]
    assert timedelta(minutes=59) < instance.expires_at - timezone.now() <= timedelta(minutes=60)


def test_second_click_of_a_team_mate_answers_the_same_instance(arena: Arena):
    mate = UserFactory()
    team = TeamFactory(members=[mate])
    participate(arena.event, team)
    challenge = runnable(arena.event)

    first = services.launch_instance(arena.event, challenge.slug, actor=team.captain)
    second = services.launch_instance(arena.event, challenge.slug, actor=mate)

    assert (first.is_new, second.is_new, second.operation) == (True, False, None)
    assert first.instance == second.instance


def test_each_team_has_its_own_address_and_flag_planted_by_variable_and_file(arena: Arena):
    challenge = runnable(arena.event)
    made = [arena.launch(team, challenge) for team in arena.teams]

    arena.work()

    specs = [arena.engine.state.workloads[one.engine_name].spec for one in made]
    wanted = [flags.flag_for(challenge.flags.get(), team, arena.event) for team in arena.teams]
    assert len(set(wanted)) == 2
    assert [spec.env["FLAG"] for spec in specs] == wanted
    assert [spec.files for spec in specs] == [{"/flag": f"{flag}\n"} for flag in wanted]
    assert [list(spec.secrets) for spec in specs] == [[flag] for flag in wanted]
    assert leased_ips(arena.node) == ["192.168.250.100", "192.168.250.101"]
    assert [spec.egress for spec in specs] == [False, False]


def test_instances_of_a_team_share_its_address_on_ports_that_do_not_meet(arena: Arena):
    made = [arena.launch(arena.teams[0], runnable(arena.event)) for _ in range(2)]

    lines = [one.connections[0].line for one in made]

    assert lines == ["http://192.168.250.100:8080/", "http://192.168.250.100:20000/"]


def test_event_may_give_each_instance_an_address_of_its_own():
    arena = make_arena(address_policy="instance")

    made = [arena.launch(arena.teams[0], runnable(arena.event)) for _ in range(2)]

    assert [one.connections[0].ip for one in made] == ["192.168.250.100", "192.168.250.101"]


def test_several_containers_are_one_workload_on_a_subnet_of_their_own(arena: Arena):
    PoolFactory(
        node=arena.node, kind=PoolKind.SUBNETS, first_ip="10.210.0.0", last_ip="10.210.0.64", prefix_length=29,
        first_port=None, last_port=None,
    )  # fmt: skip
    instance = arena.launch(arena.teams[0], runnable(arena.event, sidecar=True))

    arena.work()

    assert arena.fresh(instance).observed_status == "running", arena.fresh(instance).status_reason
    spec = arena.engine.state.workloads[instance.engine_name].spec
    assert spec.subnet == "10.210.0.0/29"
    assert [sidecar.name for sidecar in spec.sidecars] == ["db"]
    assert [call.args[0] for call in arena.engine.calls("pull")] == ["kutanga/sample", "kutanga/db"]
    assert instance.memory_mb == 512


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"status": "paused"}, "event_paused"),
        ({"ends_at": timezone.now() - timedelta(minutes=1)}, "event_not_running"),
        ({"max_instances": 1}, "event_limit"),
        ({"max_instances_per_team": 1}, "team_limit"),
    ],
)
def test_launch_is_refused_when_the_event_does_not_permit_it(change: dict[str, Any], refusal: str):
    arena = make_arena()
    arena.launch(arena.teams[0], runnable(arena.event))
    Event.objects.filter(pk=arena.event.pk).update(**change)
    arena.event.refresh_from_db()

    with pytest.raises((Conflict, LimitReached)) as refused:
        arena.launch(arena.teams[0], runnable(arena.event))

    assert refused.value.code == refusal


def test_who_does_not_take_part_launches_nothing(arena: Arena):
    with pytest.raises(NotAllowed) as refused:
        arena.launch(TeamFactory(), runnable(arena.event))

    assert refused.value.code == "not_registered"


def test_banned_team_launches_nothing_and_loses_what_it_has(arena: Arena):
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    Participation.objects.filter(team=arena.teams[0]).update(banned_at=timezone.now())

    for verb in (services.extend_instance, services.reset_instance):
        with pytest.raises(NotAllowed) as refused:
            verb(arena.fresh(instance), actor=arena.teams[0].captain)
        assert refused.value.code == "team_banned"
    settle_instances()

    assert arena.fresh(instance).desired_status == "deleted"
    with pytest.raises(NotAllowed):
        arena.launch(arena.teams[0], runnable(arena.event))


@pytest.mark.parametrize("scope", ["event", "everywhere"])
def test_ban_ends_what_the_team_runs_at_once(arena: Arena, operator: Any, scope: str):
    challenge = runnable(arena.event)
    own, other = (arena.launch(team, challenge) for team in arena.teams)

    if scope == "event":
        services.ban_from_event(arena.teams[0].participations.get(), actor=operator, reason="Shared flags")
    else:
        services.ban_team(arena.teams[0], actor=operator, reason="Shared flags")

    own, other = arena.fresh(own), arena.fresh(other)
    assert (own.desired_status, own.end_reason, other.desired_status) == ("deleted", "The team is banned.", "running")


def test_nobody_launches_for_another_team_but_organisers(arena: Arena, operator: Any):
    challenge = runnable(arena.event)

    with pytest.raises(NotAllowed):
        services.launch_instance(arena.event, challenge.slug, actor=arena.teams[0].captain, team=arena.teams[1])
    made = services.launch_instance(arena.event, challenge.slug, actor=operator, team=arena.teams[1])

    assert made.instance.team == arena.teams[1]


def test_node_without_addresses_is_named_and_not_used():
    arena = make_arena()
    Event.objects.update(node=NodeFactory(region=arena.node.region))
    arena.event.refresh_from_db()

    with pytest.raises(Conflict) as refused:
        arena.launch(arena.teams[0], runnable(arena.event))

    assert refused.value.code == "no_node"


def test_powers_need_a_grant_and_a_node_that_is_marked(arena: Arena, operator: Any):
    challenge = runnable(arena.event, capabilities=["NET_ADMIN"])
    with pytest.raises(Conflict) as not_granted:
        arena.launch(arena.teams[0], challenge)
    services.grant_powers(challenge, actor=UserFactory(role="Admin"))
    with pytest.raises(Conflict) as not_marked:
        arena.launch(arena.teams[0], challenge)
    type(arena.node).objects.update(options={"allow_grants": True})
    arena.event.refresh_from_db()
    arena.node.refresh_from_db()
    arena.event.node = arena.node

    instance = arena.launch(arena.teams[0], challenge)
    engine = FakeEngine(node=arena.node.name, options=arena.node.options)
    arena.work(engine=engine)

    assert (not_granted.value.code, not_marked.value.code) == ("not_granted", "no_node")
    assert engine.state.workloads[instance.engine_name].spec.added_capabilities == ["NET_ADMIN"]


def test_failed_launch_tells_why_and_the_next_click_tries_again(arena: Arena):
    challenge = runnable(arena.event)
    arena.engine.state.images["kutanga/sample"] = FakeImage("sha256:x", missing=True)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()
    failed = arena.fresh(instance)
    arena.engine.state.images.clear()

    again = services.launch_instance(arena.event, challenge.slug, actor=arena.teams[0].captain)
    arena.work()

    assert (failed.observed_status, failed.status_reason) == (
        "failed",
        "No registry has the image kutanga/sample.",
    )
    assert again.instance == instance
    assert arena.fresh(instance).observed_status == "running"


def test_failed_launch_is_ended_when_nobody_tries_again(arena: Arena):
    challenge = runnable(arena.event)
    arena.engine.state.images["kutanga/sample"] = FakeImage("sha256:x", missing=True)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()
    settle_instances()
    early = arena.fresh(instance)
    Instance.objects.update(observed_at=timezone.now() - timedelta(minutes=16))

    settle_instances()
    arena.work()

    gone = arena.fresh(instance)
    assert (early.observed_status, gone.observed_status) == ("failed", "deleted")
    assert gone.end_reason == "It failed: No registry has the image kutanga/sample."
    assert leased_ips(arena.node) == []
    told = Instance.objects.all().last_end(arena.event, challenge.slug, arena.teams[0].captain)
    assert told == instance


def test_challenge_and_team_go_with_the_test_copies_that_are_gone(arena: Arena, operator: Any):
    challenge, team = runnable(), TeamFactory()
    copy = services.launch_test(challenge, actor=operator, team=team).instance
    arena.work()
    with pytest.raises(Conflict) as refused:
        services.delete_challenge(challenge, actor=operator)
    services.stop_instance(copy, actor=operator)
    arena.work()

    services.delete_challenge(challenge, actor=operator)
    services.delete_team(team, actor=operator)

    assert refused.value.code == "instance_there"
    assert not Instance.objects.filter(pk=copy.pk).exists()


def test_instances_of_an_event_keep_their_challenge(arena: Arena, operator: Any):
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()
    services.stop_instance(instance, actor=operator)
    arena.work()
    arena.event.entries.all().delete()

    with pytest.raises(Conflict) as refused:
        services.delete_challenge(challenge, actor=operator)

    assert refused.value.code == "instances_stay"


def test_output_of_the_instance_is_brought_to_its_team_without_the_flag(arena: Arena):
    challenge = runnable(arena.event)
    flag = flags.flag_for(challenge.flags.get(), arena.teams[0], arena.event)
    arena.engine.behave(Behaviour(output=("listening", f"flag is {flag}")))
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()

    services.read_log(instance, actor=arena.teams[0].captain)
    arena.work(1)
    log = services.read_log(instance, actor=arena.teams[0].captain)

    assert log.text == "listening\nflag is ***"
    with pytest.raises(NotFound):
        services.read_log(instance, actor=arena.teams[1].captain)


def test_no_flag_is_in_any_row_of_an_instance(arena: Arena):
    challenge = runnable(arena.event)
    flag = flags.flag_for(challenge.flags.get(), arena.teams[0], arena.event)
    arena.launch(arena.teams[0], challenge)
    arena.work()

    told = [
        *Instance.objects.values_list(),
        *Operation.objects.values_list(),
        *AuditEntry.objects.values_list(),
        *Address.objects.values_list(),
    ]

    assert flag not in str(told)


# Time.


def test_instance_is_removed_when_its_time_is_over_without_any_scheduler(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()
    clock(arena.fresh(instance), hours=2)

    arena.work()

    gone = arena.fresh(instance)
    assert (gone.observed_status, gone.end_reason) == ("deleted", "Its time was over.")
    assert arena.engine.list_owned() == []
    assert ips.count(arena.node)["quarantined"] == 1
    assert AuditEntry.objects.filter(action="instance.expired").count() == 1


def test_extension_adds_time_within_the_window_and_as_often_as_allowed():
    arena = make_arena(extend_minutes=30, extend_window_minutes=15, max_extensions=1)
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()
    captain = arena.teams[0].captain
    with pytest.raises(Conflict) as too_early:
        services.extend_instance(instance, actor=captain)
    clock(arena.fresh(instance), minutes=50)
    before = arena.fresh(instance).expires_at

    extended = services.extend_instance(instance, actor=captain)
    clock(arena.fresh(instance), minutes=30)
    with pytest.raises(Conflict) as too_often:
        services.extend_instance(instance, actor=captain)

    assert extended.expires_at - before == timedelta(minutes=30)
    assert (extended.extensions, extended.last_extended_by) == (1, captain.username)
    assert "less than 15 minutes" in str(too_early.value)
    assert "all that this event allows" in str(too_often.value)


@pytest.mark.parametrize("relabels", [True, False])
def test_extension_by_an_organiser_outlives_the_database(
    arena: Arena, operator: Any, monkeypatch: pytest.MonkeyPatch, relabels: bool
):
    """The label moves along, or says the farthest moment from the first."""
    monkeypatch.setattr(FakeEngine, "capabilities", replace(FakeEngine.capabilities, relabels=relabels))
    Event.objects.update(max_extensions=0)
    arena.event.refresh_from_db()
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()
    first = janitor.last_moment(arena.engine.list_owned()[0])

    extended = services.extend_instance(instance, actor=operator, minutes=30)
    arena.work(1)

    last = janitor.last_moment(arena.engine.list_owned()[0])
    assert last == (extended.expires_at if relabels else arena.event.ends_at)
    assert relabels == (first < last)
    assert len(arena.engine.calls("put_off")) == relabels


def test_no_extension_goes_beyond_the_event(operator: Any):
    arena = make_arena(ends_at=timezone.now() + timedelta(minutes=70))
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()

    extended = services.extend_instance(instance, actor=operator, minutes=600)

    assert extended.expires_at == arena.event.ends_at
    with pytest.raises(NotAllowed):
        services.extend_instance(instance, actor=arena.teams[0].captain, minutes=5)
    with pytest.raises(Conflict):
        services.extend_instance(instance, actor=operator, minutes=5)


def test_team_is_warned_before_the_end(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()
    calm = arena.fresh(instance).is_about_to_end

    clock(arena.fresh(instance), minutes=56)

    assert (calm, arena.fresh(instance).is_about_to_end) == (False, True)


def test_waiting_in_line_costs_no_time():
    arena = make_arena(addresses=1)
    arena.launch(arena.teams[0], runnable(arena.event))
    waiting = arena.launch(arena.teams[1], runnable(arena.event))

    arena.work()

    waiting = arena.fresh(waiting)
    assert (waiting.observed_status, waiting.expires_at) == ("queued", None)
    assert waiting.status_reason == "Waiting for a free address, place 1."


# Reset and stop.


@pytest.mark.parametrize("kind", ["redeploy", "restart"])
def test_reset_keeps_flag_address_and_time_left(arena: Arena, kind: str):
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()
    before = arena.fresh(instance)
    spec = arena.engine.state.workloads[instance.engine_name].spec
    pulls = len(arena.engine.calls("pull"))

    services.reset_instance(instance, actor=arena.teams[0].captain, kind=kind)
    arena.work(8)

    after, again = arena.fresh(instance), arena.engine.state.workloads[instance.engine_name].spec
    assert after.observed_status == "running"
    assert (after.expires_at, after.connections) == (before.expires_at, before.connections)
    assert (again.env, again.files, again.expires_at) == (spec.env, spec.files, spec.expires_at)
    assert again.generation == spec.generation + 1
    assert after.last_reset_by == arena.teams[0].captain.username
    assert len(arena.engine.calls("remove")) == (kind == "redeploy")
    asked = [call.args[0] for call in arena.engine.calls("pull")][pulls:]
    assert asked == (["kutanga/sample"] if kind == "redeploy" else [before.image_pinned])


def test_reset_of_another_kind_is_refused(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))

    with pytest.raises(Invalid):
        services.reset_instance(instance, actor=arena.teams[0].captain, kind="reboot")


def test_stop_without_removal_keeps_the_address_and_launch_wakes_it(arena: Arena):
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()

    services.stop_instance(instance, actor=arena.teams[0].captain, remove=False)
    arena.work()
    stopped = arena.fresh(instance)
    services.launch_instance(arena.event, challenge.slug, actor=arena.teams[0].captain)
    arena.work()

    assert (stopped.observed_status, len(stopped.connections)) == ("stopped", 1)
    assert arena.fresh(instance).observed_status == "running"


def test_stop_with_removal_lets_the_address_rest(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()

    services.stop_instance(instance, actor=arena.teams[0].captain)
    second = services.stop_instance(instance, actor=arena.teams[0].captain)
    arena.work()

    assert second is None
    assert arena.fresh(instance).observed_status == "deleted"
    assert ips.count(arena.node) == {"free": 30, "leased": 0, "quarantined": 1, "blocked": 0, "waiting": 0}


@pytest.mark.parametrize("verb", ["extend", "reset", "stop"])
def test_stranger_does_nothing_with_an_instance_and_does_not_learn_of_it(arena: Arena, verb: str):
    instance = arena.launch(arena.teams[0], runnable(arena.event))

    with pytest.raises(NotFound):
        getattr(services, f"{verb}_instance")(instance, actor=arena.teams[1].captain)

    assert list(Instance.objects.visible_to(arena.teams[1].captain)) == []
    assert list(Instance.objects.visible_to(arena.teams[0].captain)) == [instance]


def test_solved_challenge_stops_where_the_event_says_so():
    arena = make_arena(stops_on_solve=True)
    solved, open_one = runnable(arena.event), runnable(arena.event)
    made = [arena.launch(arena.teams[0], one) for one in (solved, open_one)]
    answer = flags.flag_for(solved.flags.get(), arena.teams[0], arena.event)
    services.submit_answer(arena.event, solved.slug, actor=arena.teams[0].captain, answer="no")
    before = arena.fresh(made[0]).desired_status

    services.submit_answer(arena.event, solved.slug, actor=arena.teams[0].captain, answer=answer)

    assert before == "running"
    assert [arena.fresh(one).desired_status for one in made] == ["deleted", "running"]
    assert arena.fresh(made[0]).end_reason == "The challenge is solved."


@pytest.mark.parametrize(("stops", "left"), [(True, "deleted"), (False, "running")])
def test_copy_launched_after_the_solve_is_found_where_the_event_says_so(stops: bool, left: str):
    arena = make_arena()
    challenge = runnable(arena.event)
    answer = flags.flag_for(challenge.flags.get(), arena.teams[0], arena.event)
    services.submit_answer(arena.event, challenge.slug, actor=arena.teams[0].captain, answer=answer)
    instance = arena.launch(arena.teams[0], challenge)
    Event.objects.update(stops_on_solve=stops)

    settle_instances()

    assert ScoreEvent.objects.filter(completes=True).count() == 1
    assert arena.fresh(instance).desired_status == left


# Organisers.


def test_deploy_for_all_goes_on_past_a_failure_and_tells_of_each(arena: Arena, operator: Any):
    challenge = runnable(arena.event)
    full = arena.teams[0]
    for _ in range(3):
        arena.launch(full, runnable(arena.event))

    run = arena.deploy(challenge, actor=operator)

    assert [each["team"] for each in run.results] == [full.pk, arena.teams[1].pk]
    assert (run.results[0]["error"]["code"], run.results[1]["error"]) == ("team_limit", None)
    assert (run.total, run.launched, run.waiting, run.finished_at is not None) == (2, 1, [], True)


def test_deploy_for_all_is_asked_for_in_a_moment_and_once(arena: Arena, operator: Any):
    challenge = runnable(arena.event)

    first, second = (services.deploy_for_all(arena.event, challenge.slug, actor=operator) for _ in range(2))
    before = Instance.objects.count()
    run_commit_hooks()
    run_jobs("default")
    later = services.deploy_for_all(arena.event, challenge.slug, actor=operator)

    assert (first, before, Instance.objects.count()) == (second, 0, 2)
    assert later != first


@pytest.mark.parametrize(("died", "left"), [(True, 0), (False, 1)])
def test_what_a_worker_leaves_of_a_deploy_is_taken_up(
    arena: Arena, operator: Any, monkeypatch: pytest.MonkeyPatch, died: bool, left: int
):
    monkeypatch.setattr(deploys, "AT_ONCE", 1)
    challenge, now = runnable(arena.event), timezone.now()
    run = services.deploy_for_all(arena.event, challenge.slug, actor=operator)
    token = uuid.uuid4()
    begun = deploys._claim(run.pk, token)
    deploys._launch_some(begun, token)
    until = now - timedelta(seconds=1) if died else now + timedelta(minutes=1)
    type(run).objects.update(lease_until=until, created_at=now - timedelta(minutes=5))

    services.resume_deploys()

    run.refresh_from_db()
    assert (len(run.waiting), run.launched, Instance.objects.count()) == (left, 2 - left, 2 - left)


def begins_later(arena: Arena) -> None:
    arena.event.starts_at = timezone.now() + timedelta(hours=1)
    arena.event.save()


def test_what_is_deployed_early_shows_to_its_team_when_the_challenge_does(arena: Arena, operator: Any):
    challenge, first, team = runnable(arena.event), EntryFactory(event=arena.event), arena.teams[0]
    begins_later(arena)
    arena.deploy(challenge, actor=operator)

    def seen() -> list[str]:
        return [one.challenge.slug for one in Instance.objects.visible_to(team.captain)]

    rows = Instance.objects.visible_to(team.captain)  # its SQL is kept, so the time in it is the database's
    before = seen()
    Event.objects.update(starts_at=timezone.now())
    begun = [one.challenge.slug for one in rows]
    entry = arena.event.entries.get(challenge=challenge)
    entry.requires.add(first)
    locked = seen()
    entry.requires.clear()
    arena.event.entries.update(release_at=timezone.now() + timedelta(minutes=5))

    assert (before, begun, locked, seen()) == ([], [challenge.slug], [], [])
    assert Instance.objects.visible_to(operator).count() == 2


def test_what_is_deployed_early_takes_no_place_that_the_team_cannot_see(arena: Arena, operator: Any):
    Event.objects.update(max_instances_per_team=1)
    arena.event.refresh_from_db()
    team, hidden, own = arena.teams[0], runnable(arena.event), runnable(arena.event)
    arena.event.entries.filter(challenge=hidden).update(visibility="hidden")

    arena.deploy(hidden, actor=operator)
    arena.launch(team, own)
    again = arena.deploy(hidden, actor=operator)
    arena.event.entries.update(visibility="visible")
    with pytest.raises(LimitReached):
        arena.launch(team, runnable(arena.event))

    assert again.launched == 2
    assert Instance.objects.wanted().filter(team=team).count() == 2


@pytest.mark.parametrize("verb", ["withdraw", "cancel"])
def test_what_was_deployed_goes_with_the_team_or_the_event_that_is_off(arena: Arena, operator: Any, verb: str):
    challenge = runnable(arena.event)
    begins_later(arena)
    arena.deploy(challenge, actor=operator)
    arena.work()

    if verb == "withdraw":
        services.withdraw(arena.event, actor=arena.teams[0].captain)
    else:
        services.cancel_event(arena.event, actor=operator, reason="Rain")
    arena.work()

    left = list(Instance.objects.alive().values_list("team", flat=True))
    assert left == ([arena.teams[1].pk] if verb == "withdraw" else [])
    with pytest.raises(Conflict, match="Cancel it instead"):
        services.delete_event(arena.event, actor=operator)


def test_forced_deploy_makes_anew_what_runs(arena: Arena, operator: Any):
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()

    arena.deploy(challenge, actor=operator)
    calm = arena.fresh(instance).generation
    arena.deploy(challenge, actor=operator, force=True)
    arena.work(8)

    again = arena.fresh(instance)
    assert (calm, again.generation, again.observed_status) == (1, 2, "running")


def test_kill_all_wants_the_phrase_and_removes_every_instance(arena: Arena, operator: Any):
    made = [arena.launch(team, runnable(arena.event)) for team in arena.teams]
    arena.work()
    with pytest.raises(Invalid):
        services.kill_all(arena.event, actor=operator, phrase="kill")
    with pytest.raises(NotAllowed):
        services.kill_all(arena.event, actor=arena.teams[0].captain, phrase=services.kill_phrase(arena.event))

    services.kill_all(arena.event, actor=operator, phrase=services.kill_phrase(arena.event))
    arena.work()

    assert {arena.fresh(one).observed_status for one in made} == {"deleted"}
    assert arena.engine.list_owned() == []


def test_kill_everything_ends_all_events_and_test_copies_unless_a_region_bounds_the_role(arena: Arena, operator: Any):
    challenge = runnable(arena.event)
    arena.launch(arena.teams[0], challenge)
    services.launch_test(challenge, actor=operator, team=arena.teams[1])
    bounded = UserFactory(role="Operator", regions=[arena.node.region.slug])
    phrase = services.kill_phrase(None)
    with pytest.raises(NotAllowed, match="ends at regions"):
        services.kill_all(None, actor=bounded, phrase=phrase)
    with pytest.raises(Invalid, match="kill everything"):
        services.kill_all(None, actor=operator, phrase=services.kill_phrase(arena.event))

    results = services.kill_all(None, actor=operator, phrase=phrase)

    assert [result.is_done for result in results] == [True, True]
    assert not Instance.objects.wanted().exists()


def test_many_are_extended_at_once_with_a_result_for_each(arena: Arena, operator: Any):
    made = [arena.launch(team, runnable(arena.event)) for team in arena.teams]
    arena.work()
    before = arena.fresh(made[0]).expires_at

    results = services.act_on_many([one.pk for one in made], "extend", actor=operator, minutes=10)

    assert [one.is_done for one in results] == [True, True]
    assert arena.fresh(made[0]).expires_at - before == timedelta(minutes=10)


def test_organiser_named_on_the_event_sees_its_instances_whatever_his_regions(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    other = UserFactory(role="Operator", regions=["moon"])
    before = list(Instance.objects.visible_to(other))

    organiser_of(arena.event, other)
    other = type(other).objects.get(pk=other.pk)

    assert (before, list(Instance.objects.visible_to(other))) == ([], [instance])
    assert services.stop_instance(instance, actor=other) is not None


def test_end_of_the_event_removes_every_instance(arena: Arena):
    made = [arena.launch(team, runnable(arena.event)) for team in arena.teams]
    arena.work()

    services.end_event(arena.event, actor=UserFactory(role="Admin"))
    arena.work()

    assert {arena.fresh(one).observed_status for one in made} == {"deleted"}


def test_clock_ends_instances_with_the_event_even_if_nobody_carries_the_end_out(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()
    Event.objects.update(ends_at=timezone.now() - timedelta(seconds=1))

    arena.work()

    assert arena.fresh(instance).observed_status == "deleted"


def test_test_copy_has_the_flags_of_the_team_that_was_chosen(operator: Any):
    arena = make_arena()
    challenge = runnable()
    team = arena.teams[0]
    with pytest.raises(NotFound):
        services.launch_test(challenge, actor=team.captain, team=team)

    copy = services.launch_test(challenge, actor=operator, team=team).instance
    again = services.launch_test(challenge, actor=operator, team=team)
    arena.work()

    spec = arena.engine.state.workloads[copy.engine_name].spec
    assert again.instance == copy
    assert spec.env["FLAG"] == flags.flag_for(challenge.flags.get(), team, None)
    assert list(Instance.objects.visible_to(team.captain)) == [], "the team does not know of it"


# Faults.


def test_everything_is_found_again_after_redis_was_emptied_and_the_engine_restarted(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()
    before = arena.fresh(instance)
    arena.engine.restart_engine()

    sweep(arena.node)
    arena.work()

    after = arena.fresh(instance)
    assert (after.observed_status, after.restart_count) == ("running", 0)
    assert (after.connections, after.expires_at) == (before.connections, before.expires_at)


def test_empty_database_leaves_nothing_running_that_carries_our_labels(arena: Arena):
    """As after a restore of an older copy: nobody could reach these, and nobody would ever end them."""
    made = [arena.launch(team, runnable(arena.event)) for team in arena.teams]
    arena.work()
    held = len(arena.engine.list_owned())
    Instance.objects.all().delete()

    report = sweep(arena.node, engine=arena.engine)

    assert held == len(made)
    assert sorted(report.orphans_removed) == sorted(one.engine_name for one in made)
    assert arena.engine.list_owned() == []
    assert AuditEntry.objects.filter(action="workload.orphan_removed").count() == len(made)


def test_engine_that_is_down_is_a_state_with_a_reason_and_not_an_error(arena: Arena):
    arena.engine.fail("*", EngineError("Docker does not answer.", reason=Reason.UNAVAILABLE), times=None)
    instance = arena.launch(arena.teams[0], runnable(arena.event))

    arena.work(2)
    told = arena.fresh(instance).status_reason
    arena.engine.heal()
    arena.work()

    assert told == "Docker does not answer. The hub tries again."
    assert arena.fresh(instance).observed_status == "running"


def test_stranger_on_the_port_moves_the_instance_and_its_line(arena: Arena):
    arena.engine.state.occupied.add(("192.168.250.100", 8080))
    instance = arena.launch(arena.teams[0], runnable(arena.event))

    arena.work()

    instance = arena.fresh(instance)
    assert instance.observed_status == "running"
    assert [line.line for line in instance.connections] == ["http://192.168.250.100:20000/"]


@pytest.mark.django_db(transaction=True)
def test_hundred_clicks_make_one_instance():
    arena = make_arena(teams=1)
    challenge, captain = runnable(arena.event), arena.teams[0].captain
    barrier = threading.Barrier(5)

    def click(_: int) -> list[Any]:
        try:
            barrier.wait(60)
            return [services.launch_instance(arena.event, challenge.slug, actor=captain) for _ in range(20)]
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        answers = [one for part in pool.map(click, range(5)) for one in part]

    assert {one.instance.pk for one in answers} == set(Instance.objects.values_list("pk", flat=True))
    assert sum(one.is_new for one in answers) == 1
    assert Operation.objects.count() == 1
    assert len(leased_ips(arena.node)) == 1


@pytest.mark.django_db(transaction=True)
def test_limit_of_a_team_holds_under_clicks_at_once():
    arena = make_arena(teams=1, max_instances_per_team=2)
    challenges, captain = [runnable(arena.event) for _ in range(6)], arena.teams[0].captain
    barrier = threading.Barrier(6)

    def click(number: int) -> bool:
        try:
            barrier.wait(60)
            services.launch_instance(arena.event, challenges[number].slug, actor=captain)
        except LimitReached:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(click, range(6)))

    assert sum(answers) == Instance.objects.count() == 2
