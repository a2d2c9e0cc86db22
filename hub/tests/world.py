"""A small hub with one row of each kind and a person in each role, for tests that go over all routes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.invites import create_invite
from accounts.models import ApiToken, AuditEntry, Invite, RequestEntry, User
from accounts.tests.factories import UserFactory, token_for
from challenges.models import Announcement, DeployRun, EventChallenge, Instance, Submission, Team
from challenges.tests.factories import (
    ChallengeFactory,
    ContainerFactory,
    EntryFactory,
    EventFactory,
    HintFactory,
    TeamFactory,
    participate,
)
from devices.bundles.services import add_publisher
from devices.deployments.services import Chosen, create_deployment
from devices.models import (
    Bundle,
    Deployment,
    Device,
    DeviceGroup,
    DeviceLog,
    EnrolmentToken,
    ManualCommand,
    PublisherKey,
)
from devices.services import create_token
from devices.tests.deployment_helpers import PUBLISHER, make_bundle
from devices.tests.factories import DeviceFactory, DeviceGroupFactory, make_key
from devices.tests.signing import pem_of
from hub.nodes.models import Address, AddressPool, Node, NodeTask, Operation
from hub.nodes.tests.factories import NodeFactory
from monitoring.alerts.models import Alert, AlertRule, Channel, Delivery, Mute
from monitoring.models import ErrorGroup
from servers.models import GameServer, Template
from servers.tests.factories import TemplateFactory, VariableFactory, make_node, make_server

BUNDLE_ID = "7d3f0b52-1c2e-4a8f-9b61-2f6a0e4c9d10"  # known, so that a query may name it
ROLES = ("admin", "operator", "viewer", "owner", "stranger", "nobody")


@dataclass(frozen=True)
class World:
    """`owner` and `stranger` are Players; server, token and operation are the owner's."""

    people: dict[str, Any]
    node: Node
    cluster: Node
    pool: AddressPool
    address: Address
    template: Template
    server: GameServer
    token: ApiToken
    invite: Invite
    request_entry: RequestEntry
    operation: Operation
    audit_entry: AuditEntry
    task: NodeTask
    error: ErrorGroup
    rule: AlertRule
    alert: Alert
    mute: Mute
    delivery: Delivery
    device: Device
    device_group: DeviceGroup
    enrolment_token: EnrolmentToken
    device_log: DeviceLog
    device_command: ManualCommand
    publisher: PublisherKey
    bundle: Bundle
    deployment: Deployment
    team: Team
    entry: EventChallenge
    announcement: Announcement
    instance: Instance
    deploy_run: DeployRun
    submission: Submission

    def person(self, role: str) -> User:
        user: User | None = self.people[role]
        if user is None:
            raise LookupError(f"{role} has no account")
        return user


def make_world(**of_server: Any) -> World:
    """Make everybody and everything, by the services themselves where they exist."""
    people: dict[str, Any] = {
        "admin": UserFactory(username="chief", role="Admin"),
        "operator": UserFactory(username="operator", role="Operator"),
        "viewer": UserFactory(username="viewer", role="Viewer"),
        "owner": UserFactory(username="owner"),
        "stranger": UserFactory(username="stranger"),
        "nobody": None,
    }
    owner = people["owner"]
    node = make_node(name="local")
    template = TemplateFactory(slug="sample", name="Sample", process_command=[])
    VariableFactory(template=template, key="MOTD")
    server = make_server(owner=owner, node=node, template=template, name="survival", **of_server)
    # So long ago that it may be moved.
    Address.objects.filter(holder=server.pk).update(leased_at=timezone.now() - timedelta(hours=1))
    free = Address.objects.filter(node=node, holder=None)
    token, _ = token_for(owner, name="backup script")
    return World(
        people=people,
        node=node,
        cluster=NodeFactory(name="cluster", engine="kubernetes", region=node.region, options={}),
        pool=AddressPool.objects.get(node=node),
        address=free.order_by("port")[0],
        template=template,
        server=server,
        token=token,
        invite=create_invite(actor=SYSTEM, note="A guest")[0],
        request_entry=RequestEntry.objects.create(at=timezone.now(), method="GET", path="/servers", status=200, ms=3),
        operation=Operation.objects.get(workload_id=server.pk),
        audit_entry=AuditEntry.objects.filter(action="server.created")[0],
        error=ErrorGroup.objects.create(
            fingerprint="f1",
            error_type="ValueError",
            source="web",
            place="servers/",
            first_seen_at=timezone.now(),
            last_seen_at=timezone.now(),
        ),
        task=NodeTask.objects.create(node=node, verb="look", actor_name="chief"),
        **make_alert(node),
        **make_devices(),
        **make_deployment(),
        **make_event(owner, node),
    )


def make_devices() -> dict[str, Any]:
    """A device that waits, in a group, with a line of its log and a command, and an enrolment token into the group."""
    group = DeviceGroupFactory(slug="canaries", name="Canaries")
    device = DeviceFactory(region=None, name="gateway", status="pending")
    device.groups.add(group)
    make_key(device, state="proposed")
    token, _ = create_token(actor=SYSTEM, name="batch", expires_at=timezone.now() + timedelta(days=1), group=group)
    line = DeviceLog.objects.create(device=device, at=timezone.now(), level="ERROR", message="The link is down.")
    command = ManualCommand.objects.create(
        device=device, name="diagnose", created_by="operator", expires_at=timezone.now() + timedelta(days=1)
    )
    return {
        "device": device,
        "device_group": group,
        "enrolment_token": token,
        "device_log": line,
        "device_command": command,
    }


def make_deployment() -> dict[str, Any]:
    """A publisher, a bundle, and its deployment to a device that nobody has heard of yet."""
    publisher = add_publisher(actor=SYSTEM, name="factory", public_key=pem_of(PUBLISHER))
    bundle = make_bundle("1.0", id=BUNDLE_ID)
    device = DeviceFactory(region=None, name="camera")
    deployment = create_deployment(bundle, Chosen(devices=[device.pk]), actor=SYSTEM).deployment
    return {"publisher": publisher, "bundle": bundle, "deployment": deployment}


def make_event(owner: User, node: Node) -> dict[str, Any]:
    """A running event with two challenges, a hint and an instance, in which the owner's team takes part."""
    event = EventFactory(name="Night of flags", slug="night-of-flags")
    challenge = ChallengeFactory(name="Leaky shop", slug="leaky-shop")
    HintFactory(id=7007, challenge=challenge)
    team = TeamFactory(id=7007, name="Owls", captain=owner, join_code="K7QX4M")
    participation = participate(event, team)
    announcement = Announcement.objects.create(event=event, title="Pizza", message="In the hall.", author_name="chief")
    jar = ChallengeFactory(name="Cookie jar", slug="cookie-jar", kind="container")
    ContainerFactory(challenge=jar)
    instance = Instance.objects.create(
        name="Cookie jar · Owls",
        node=node,
        event=event,
        challenge=jar,
        team=team,
        memory_mb=256,
        disk_mb=256,
        expires_at=timezone.now() + timedelta(minutes=10),
    )
    entry = EntryFactory(event=event, challenge=challenge)
    other = EntryFactory(event=event, challenge=jar, position=1)
    submission = Submission.objects.create(
        participation=participation, entry=other, user=owner, user_name=owner.username, outcome="incorrect", attempt=1
    )
    return {
        "team": team,
        "entry": entry,
        "submission": submission,
        "announcement": announcement,
        "instance": instance,
        "deploy_run": DeployRun.objects.create(event=event, challenge=jar, actor_name="operator", waiting=[team.pk]),
    }


def make_alert(node: Node) -> dict[str, Any]:
    """A rule, what it fires, a mute that is over, and a channel with a message that did not arrive."""
    now = timezone.now()
    rule = AlertRule.objects.create(slug="own", name="Own rule", condition="hub-disk", threshold=99)
    alert = Alert.objects.create(
        rule=rule,
        rule_name=rule.name,
        severity="critical",
        subject=f"node:{node.name}",
        subject_name=node.name,
        state="firing",
        text="Its disk is nearly full.",
        value=99.5,
        worst_value=99.5,
        began_at=now,
        fired_at=now,
        announced_at=now,
        seen_at=now,
    )
    mute = Mute.objects.create(reason="Was muted", rule=rule, starts_at=now - timedelta(hours=2), ends_at=now)
    channel = Channel.objects.create(name="ops", kind="webhook", target="https://example.org/hook", secret="shared")
    message = {"event": "fired", "title": "Own rule", "text": "Nearly full", "severity": "critical", "url": "/"}
    delivery = Delivery.objects.create(channel=channel, alert=alert, event="fired", message=message, state="failed")
    return {"rule": rule, "alert": alert, "mute": mute, "delivery": delivery}
