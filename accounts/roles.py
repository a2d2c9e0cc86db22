"""Who may do what: the one table of roles and verbs.

A verb is `<noun>.<action>`. Asked without an object it means "may do so at all". With an object, a verb that has an
`_any` form is decided by that form, or by the rule that the noun's app registered (`accounts.grants`): then the plain
form says which roles may have such things of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import Group
from django.db import models

ADMIN, OPERATOR, VIEWER, PLAYER = "Admin", "Operator", "Viewer", "Player"
ROLES: Final = (ADMIN, OPERATOR, VIEWER, PLAYER)  # strongest first
STAFF_ROLES: Final = (ADMIN, OPERATOR, VIEWER)  # who may open the admin site


class Role(models.TextChoices):
    """The roles as choices for forms, filters and serializers."""

    ADMIN = ADMIN, "Admin"
    OPERATOR = OPERATOR, "Operator"
    VIEWER = VIEWER, "Viewer"
    PLAYER = PLAYER, "Player"


_EVERYBODY = frozenset(ROLES)
_OWNERS = frozenset({ADMIN, OPERATOR, PLAYER})
_WATCHERS = frozenset({ADMIN, OPERATOR, VIEWER})
_STAFF = frozenset({ADMIN, OPERATOR})
_ADMINS = frozenset({ADMIN})

VERBS: Final[dict[str, frozenset[str]]] = {
    # What each may have of his own, and everybody's of it.
    "servers.view": _EVERYBODY,
    "servers.create": _OWNERS,
    "servers.control": _OWNERS,  # start, stop, restart, kill
    "servers.console": _OWNERS,
    "servers.change": _OWNERS,  # rename, resize, variables, addresses
    "servers.reveal": _OWNERS,  # credentials in the clear
    "servers.share": _OWNERS,
    "servers.delete": _OWNERS,
    "servers.view_any": _WATCHERS,
    "servers.control_any": _STAFF,
    "servers.console_any": _STAFF,
    "servers.change_any": _STAFF,
    "servers.reveal_any": _STAFF,
    "servers.delete_any": _STAFF,
    "servers.create_any": _ADMINS,  # for another owner
    "servers.transfer": _ADMINS,
    "servers.suspend": _STAFF,
    "servers.purge": _ADMINS,
    "instances.view": _EVERYBODY,
    "instances.create": _OWNERS,
    "instances.control": _OWNERS,
    "instances.extend": _OWNERS,
    "instances.view_any": _WATCHERS,
    "instances.control_any": _STAFF,
    "instances.extend_any": _STAFF,
    "teams.view": _EVERYBODY,
    "teams.create": _OWNERS,
    "teams.change": _OWNERS,
    "teams.view_any": _WATCHERS,
    "teams.change_any": _STAFF,
    "teams.moderate": _STAFF,  # ban, unban, move people
    "teams.purge": _ADMINS,
    "devices.view": _WATCHERS,
    "devices.view_any": _WATCHERS,
    "devices.control": _STAFF,
    "devices.control_any": _STAFF,
    "devices.change": _STAFF,
    "tokens.own": _OWNERS,
    "tokens.view": _OWNERS,
    "tokens.change": _OWNERS,
    "tokens.view_any": _ADMINS,
    "tokens.change_any": _ADMINS,
    "operations.view": _EVERYBODY,
    "operations.view_any": _WATCHERS,
    # What the house offers.
    "templates.view": _EVERYBODY,
    "templates.change": _STAFF,
    "challenges.view": _WATCHERS,
    "challenges.change": _STAFF,
    "challenges.grant": _ADMINS,  # capabilities and privileged mode of containers
    "events.view": _EVERYBODY,
    "events.view_any": _WATCHERS,
    "events.read": _EVERYBODY,  # note that one has read an announcement
    "events.play": _OWNERS,  # register, answer, take hints, fetch files
    "events.moderate": _OWNERS,  # ban and unban teams: the administrator of an event
    "events.moderate_any": _STAFF,
    "events.reset": _OWNERS,  # a new password for a player: the administrator of an event
    "events.reset_any": _ADMINS,
    "events.change": _STAFF,
    "events.approve": _ADMINS,
    "events.broadcast": _ADMINS,  # tell everybody
    "bundles.view": _WATCHERS,
    "bundles.change": _STAFF,
    "publishers.change": _ADMINS,  # whose signature makes a file a bundle
    "deployments.view": _WATCHERS,
    "deployments.change": _STAFF,
    "metrics.view": _EVERYBODY,  # of what one may see; see monitoring.subjects
    "metrics.sample": _STAFF,  # measure now, store what others measured
    "errors.view": _WATCHERS,
    "errors.change": _STAFF,
    "alerts.view": _WATCHERS,
    "alerts.change": _STAFF,
    "channels.view": _STAFF,
    "channels.change": _ADMINS,  # they carry secrets, and lead outside
    # What it runs on.
    "regions.view": _EVERYBODY,
    "regions.change": _ADMINS,
    "nodes.view": _WATCHERS,
    "nodes.change": _ADMINS,
    "pools.view": _WATCHERS,
    "pools.change": _ADMINS,
    "addresses.view": _WATCHERS,
    "addresses.change": _ADMINS,
    "addresses.release_any": _STAFF,
    # The house itself.
    "users.view": _EVERYBODY,
    "users.view_any": _ADMINS,
    "users.change": _EVERYBODY,  # the own profile
    "users.change_any": _ADMINS,
    "users.create": _ADMINS,
    "users.suspend": _STAFF,  # an Operator: the Players of his regions (see accounts.grants)
    "users.suspend_any": _ADMINS,
    "users.reset": _STAFF,  # a new password, a lifted lock, a verified address
    "users.reset_any": _ADMINS,
    "users.purge": _ADMINS,
    "roles.view": _ADMINS,
    "roles.change": _ADMINS,
    "quotas.view": _EVERYBODY,
    "quotas.view_any": _ADMINS,
    "quotas.change": _ADMINS,
    "settings.view": _ADMINS,
    "settings.change": _ADMINS,
    "audit.view": _WATCHERS,
    "jobs.view": _ADMINS,
    "jobs.change": _ADMINS,  # send failed ones again, forget them
}

# Django admin: which noun decides about a model. Looking needs `<noun>.view_any` (or `.view`), the rest `.change_any`
# (or `.change`). What is not listed is the Admin's alone. The services that the admin calls check again.
MODEL_NOUNS: Final[dict[str, str]] = {
    "accounts.auditentry": "audit",
    "monitoring.alert": "alerts",
    "monitoring.alertrule": "alerts",
    "monitoring.mute": "alerts",
    "monitoring.channel": "channels",
    "monitoring.delivery": "channels",
    "nodes.region": "regions",
    "nodes.node": "nodes",
    "nodes.addresspool": "pools",
    "nodes.address": "addresses",
    "nodes.operation": "operations",
    "nodes.nodetask": "nodes",
    "nodes.nodereport": "nodes",
    "monitoring.errorgroup": "errors",
    "monitoring.errorreport": "errors",
    "servers.template": "templates",
    "servers.templatetrial": "templates",
    "servers.templatevariable": "templates",
    "servers.gameserver": "servers",
    "servers.serverlog": "servers",
    "servers.consolecommand": "servers",
    "challenges.announcement": "events",
    "challenges.announcementread": "events",
    "challenges.challenge": "challenges",
    "challenges.challengecontainer": "challenges",
    "challenges.challengefile": "challenges",
    "challenges.challengeport": "challenges",
    "challenges.deployrun": "events",
    "challenges.event": "events",
    "challenges.eventchallenge": "events",
    "challenges.filedownload": "events",
    "challenges.flag": "challenges",
    "challenges.hint": "challenges",
    "challenges.instance": "instances",
    "challenges.instancelog": "instances",
    "challenges.membership": "teams",
    "challenges.participation": "events",
    "challenges.scoreevent": "events",
    "challenges.submission": "events",
    "challenges.team": "teams",
    "devices.device": "devices",
    "devices.devicebeat": "devices",
    "devices.devicegroup": "devices",
    "devices.devicekey": "devices",
    "devices.devicelog": "devices",
    "devices.enrolmenttoken": "devices",
    "devices.bundle": "bundles",
    "devices.publisherkey": "publishers",
    "devices.devicesealingkey": "devices",
    "devices.deployment": "deployments",
    "devices.deploymenttarget": "deployments",
    "devices.targetevent": "deployments",
    "devices.deviceconfig": "devices",
    "devices.groupconfig": "devices",
    "devices.configrevision": "devices",
    "devices.manualcommand": "devices",
}


@dataclass(frozen=True)
class QuotaLimits:
    """What one owner may use at once; None is unlimited."""

    servers: int | None = None
    memory_mb: int | None = None
    cpu_percent: int | None = None
    disk_mb: int | None = None


UNLIMITED: Final = QuotaLimits()
NOTHING: Final = QuotaLimits(servers=0, memory_mb=0, cpu_percent=0, disk_mb=0)
QUOTA_DEFAULTS: Final[dict[str, QuotaLimits]] = {
    ADMIN: UNLIMITED,
    OPERATOR: QuotaLimits(servers=20, memory_mb=65_536, cpu_percent=1_600, disk_mb=500_000),
    VIEWER: NOTHING,
    PLAYER: QuotaLimits(servers=5, memory_mb=16_384, cpu_percent=400, disk_mb=100_000),
}


def object_form(verb: str) -> str | None:
    """The verb that allows this on anybody's object, or None when the noun has no owners."""
    form = f"{verb}_any"
    return form if form in VERBS else None


def verbs_of(roles: frozenset[str]) -> frozenset[str]:
    """All verbs of a set of roles."""
    return frozenset(verb for verb, allowed in VERBS.items() if allowed & roles)


def strongest(roles: frozenset[str]) -> str:
    """The strongest of a set of roles, "" for none."""
    return next((role for role in ROLES if role in roles), "")


def sync_roles(using: str = "default") -> None:
    """Make the four groups exist; their names are fixed and what they may do stands in this module."""
    groups = Group.objects.using(using)
    for name in ROLES:
        groups.get_or_create(name=name)
