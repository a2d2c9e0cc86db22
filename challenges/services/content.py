"""Make, change and publish challenges with their containers, flags, hints and files."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.base import File
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.models import User
from accounts.permissions import require
from challenges import flags
from challenges.choices import CHALLENGE_TRANSITIONS, ChallengeKind, ChallengeState
from challenges.instances import expiry
from challenges.models import Challenge, ChallengeContainer, ChallengeFile, ChallengePort, Flag, Hint, Instance
from hub.exceptions import Conflict, Invalid

from .common import assign, clean, free_slug, told

if TYPE_CHECKING:
    from accounts.actors import Asker

SLUG_LENGTH = 60
MOST_CONTAINERS, MOST_PORTS, MOST_FLAGS, MOST_HINTS, MOST_FILES = 8, 16, 20, 20, 50
Rows = Iterable[Mapping[str, Any]]

_CONTAINER_FACTS = sorted(
    field.attname for field in ChallengeContainer._meta.concrete_fields if field.name not in ("id", "position")
)
_PORT_FACTS = ("name", "ports__name", "ports__number", "ports__protocol", "ports__is_public")
_PLANT_FACTS = ("container__name", "plant_env", "plant_path")


def create_challenge(
    *, actor: Asker, containers: Rows = (), flags: Rows = (), hints: Rows = (), **values: Any
) -> Challenge:
    """Make a challenge, as a draft."""
    require(actor, "challenges.change")
    challenge = Challenge(**values)
    challenge.slug = challenge.slug or free_slug(Challenge, challenge.name, SLUG_LENGTH)
    with transaction.atomic():
        challenge.flag_secret = _new_secret()
        clean(challenge, with_constraints=False)
        _store(challenge)
        _set_parts(challenge, containers, flags, hints)
        audit.record(actor, "challenge.created", challenge, slug=challenge.slug)
    return challenge


def update_challenge(
    challenge: Challenge,
    *,
    actor: Asker,
    containers: Rows | None = None,
    flags: Rows | None = None,
    hints: Rows | None = None,
    **changes: Any,
) -> Challenge:
    """Change a challenge; lists that are given replace those that were there. A flag without content keeps its own."""
    require(actor, "challenges.change", challenge)
    with transaction.atomic():
        locked = _lock(challenge)
        before = assign(locked, changes)
        clean(locked, with_constraints=False)
        _store(locked)
        parts = [
            name for name, rows in (("containers", containers), ("flags", flags), ("hints", hints)) if rows is not None
        ]
        _set_parts(locked, containers, flags, hints)
        _check_complete(locked)
        audit.record(actor, "challenge.changed", locked, replaced=parts, **audit.changes(told(before), told(changes)))
    return locked


def delete_challenge(challenge: Challenge, *, actor: Asker) -> None:
    """Remove a challenge that no event has ever offered."""
    require(actor, "challenges.change", challenge)
    with transaction.atomic():
        locked = _lock(challenge)
        if locked.entries.exists():
            raise Conflict("An event offers it. Take it out there first.", code="challenge_in_use")
        expiry.forget_copies(Instance.objects.filter(challenge=locked))
        audit.record(actor, "challenge.deleted", locked, slug=locked.slug)
        for file in locked.files.all():
            _forget(file)
        locked.delete()


def set_state(challenge: Challenge, state: str, *, actor: Asker) -> Challenge:
    """Move a challenge from draft to test to published, or back."""
    require(actor, "challenges.change", challenge)
    with transaction.atomic():
        locked = _lock(challenge)
        before = locked.state
        CHALLENGE_TRANSITIONS.check(before, state)
        locked.state = state
        _check_complete(locked)
        locked.save(update_fields=["state", "updated_at"])
        if before != state:
            audit.record(actor, "challenge.moved", locked, before={"state": before}, after={"state": state})
    return locked


def grant_powers(challenge: Challenge, *, actor: Asker) -> Challenge:
    """Allow the capabilities or the privileged mode that the containers of a challenge ask for, as they are now."""
    require(actor, "challenges.grant", challenge)
    with transaction.atomic():
        locked = _lock(challenge)
        if not locked.wants_powers:
            raise Conflict("Its containers ask for nothing.", code="nothing_to_grant")
        locked.powers_granted_by = actor if isinstance(actor, User) else None
        locked.powers_granted_at = timezone.now()
        locked.save(update_fields=["powers_granted_by", "powers_granted_at"])
        audit.record(actor, "challenge.powers_granted", locked, wanted=_powers(locked))
    return locked


def revoke_powers(challenge: Challenge, *, actor: Asker) -> Challenge:
    """Take that back."""
    require(actor, "challenges.grant", challenge)
    with transaction.atomic():
        locked = _lock(challenge)
        if locked.has_powers:
            _take_powers(locked)
            audit.record(actor, "challenge.powers_revoked", locked)
    return locked


def add_file(challenge: Challenge, upload: File, *, actor: Asker, name: str = "") -> ChallengeFile:
    """Keep a file for teams, with its checksum. One of the same name has to go first."""
    require(actor, "challenges.change", challenge)
    name = (name or str(upload.name or "")).replace("\\", "/").rpartition("/")[2].strip()[:150]
    if not name or not name.isprintable() or name in (".", ".."):
        raise Invalid("Name the file.", field="file")
    if (upload.size or 0) > settings.HUB_CHALLENGE_FILE_MB * 1024 * 1024:
        raise Invalid(f"A file has at most {settings.HUB_CHALLENGE_FILE_MB} MB.", field="file")
    with transaction.atomic():
        locked = _lock(challenge)
        if locked.files.filter(name=name).exists():
            raise Conflict("There is a file of this name. Remove it first.", code="file_exists")
        if locked.files.count() >= MOST_FILES:
            raise Invalid(f"A challenge has at most {MOST_FILES} files.", field="file")
        digest = hashlib.sha256()
        for chunk in upload.chunks():
            digest.update(chunk)
        file = ChallengeFile(challenge=locked, name=name, size_bytes=upload.size or 0, sha256=digest.hexdigest())
        upload.seek(0)
        file.content.save(name, upload, save=False)
        try:
            file.save()
            audit.record(actor, "challenge.file_added", locked, file=name, sha256=file.sha256, bytes=file.size_bytes)
        except BaseException:
            file.content.delete(save=False)
            raise
    return file


def remove_file(file: ChallengeFile, *, actor: Asker) -> None:
    """Remove a file; what is on the disk goes once that is certain."""
    require(actor, "challenges.change", file.challenge)
    with transaction.atomic():
        audit.record(actor, "challenge.file_removed", file.challenge, file=file.name, sha256=file.sha256)
        _forget(file)
        file.delete()


def _forget(file: ChallengeFile) -> None:
    storage, name = file.content.storage, str(file.content.name)
    transaction.on_commit(lambda: storage.delete(name))


def _lock(challenge: Challenge) -> Challenge:
    return Challenge.objects.select_for_update(no_key=True).get(pk=challenge.pk)


def _new_secret() -> str:
    return flags.new_secret()


def _set_parts(challenge: Challenge, containers: Rows | None, flag_rows: Rows | None, hints: Rows | None) -> None:
    before = _what_runs(challenge) if challenge.has_powers else None
    if containers is not None:
        _set_containers(challenge, list(containers))
    if flag_rows is not None:
        _set_flags(challenge, list(flag_rows))
    if before is not None and _what_runs(challenge) != before:
        _take_powers(challenge)
    if hints is not None:
        _set_hints(challenge, list(hints))


def _set_containers(challenge: Challenge, rows: list[Mapping[str, Any]]) -> None:
    """Those that keep their name keep their row, because flags are planted by it."""
    _limit(rows, MOST_CONTAINERS, "containers")
    names = [str(row.get("name", "")) for row in rows]
    _refuse_twice(names, "containers")
    if rows and sum(bool(row.get("is_main", True)) for row in rows) != 1:
        raise Invalid("One container is the main one, the others are sidecars.", field="containers")
    challenge.containers.exclude(name__in=names).delete()
    challenge.containers.update(is_main=False)
    for position, row in enumerate(rows):
        values = dict(row)
        ports = list(values.pop("ports", ()))
        _limit(ports, MOST_PORTS, f"containers.{position}.ports")
        _refuse_twice([str(port.get("name", "")) for port in ports], f"containers.{position}.ports")
        container = challenge.containers.filter(name=values["name"]).first() or ChallengeContainer(challenge=challenge)
        assign(container, {"is_main": True, "position": position, **values})
        clean(container, prefix=f"containers.{position}.")
        container.save()
        container.ports.all().delete()
        for place, port in enumerate(ports):
            made = ChallengePort(container=container, **{"position": place, **port})
            clean(made, prefix=f"containers.{position}.ports.{place}.")
            made.save()


def _set_flags(challenge: Challenge, rows: list[Mapping[str, Any]]) -> None:
    """By their id where rows have one, else by their name: a flag keeps its row, which solves name, when renamed."""
    _limit(rows, MOST_FLAGS, "flags")
    known = {flag.pk: flag for flag in challenge.flags.all()}
    by_name = {flag.name: flag for flag in known.values()}
    found = [known.get(row["id"]) if row.get("id") else by_name.get(row.get("name", "flag")) for row in rows]
    names = [str(row.get("name") or (flag.name if flag else "flag")) for row, flag in zip(rows, found, strict=True)]
    _refuse_twice(names, "flags")
    kept = [flag.pk for flag in found if flag]
    if len(set(kept)) < len(kept):
        raise Invalid("Two are the same flag.", field="flags")
    challenge.flags.exclude(pk__in=kept).delete()
    seeds = {flag.seed or flag.name for flag in found if flag}
    for flag, name in zip(found, names, strict=True):
        if flag and flag.name != name:  # out of the way, so that two may change their names
            flag.seed = flag.seed or flag.name
            Flag.objects.filter(pk=flag.pk).update(name=f"~{flag.pk}")
    for position, row in enumerate(rows):
        values = {**row, "name": names[position]}
        values.pop("id", None)
        content, container = values.pop("content", ""), values.pop("container", None)
        flag = found[position]
        if flag is None:
            flag = Flag(challenge=challenge, seed=secrets.token_hex(8) if names[position] in seeds else "")
        assign(flag, {"position": position, **values})
        if content:
            flag.content = content
        if container is not None:
            flag.container = _container(challenge, container, f"flags.{position}.container")
        clean(flag, prefix=f"flags.{position}.")
        flag.save()


def _container(challenge: Challenge, name: str, field: str) -> ChallengeContainer | None:
    if not name:
        return None
    found = challenge.containers.filter(name=name).first()
    if found is None:
        raise Invalid("There is no container of this name.", field=field)
    return found


def _set_hints(challenge: Challenge, rows: list[Mapping[str, Any]]) -> None:
    """By their id where rows have one, else by their place: a hint that was taken stays taken when its words change."""
    _limit(rows, MOST_HINTS, "hints")
    known = list(challenge.hints.all())
    by_id = {hint.pk: hint for hint in known}
    named = [row["id"] for row in rows if row.get("id") in by_id]
    if len(set(named)) < len(named):
        raise Invalid("Two are the same hint.", field="hints")
    kept = set()
    for position, row in enumerate(rows):
        values = dict(row)
        if "id" in values:
            hint = by_id.get(values.pop("id")) or Hint(challenge=challenge)
        else:
            hint = known[position] if position < len(known) else Hint(challenge=challenge)
        assign(hint, {**values, "position": position})
        clean(hint, prefix=f"hints.{position}.")
        hint.save()
        kept.add(hint.pk)
    for hint in known:
        if hint.pk not in kept:
            Hint.objects.filter(pk=hint.pk).delete()


def _check_complete(challenge: Challenge) -> None:
    """What is in test or published can be solved, and run if it is to run."""
    if challenge.state == ChallengeState.DRAFT:
        return
    if not challenge.flags.exists():
        raise Invalid("It has no flag yet.", field="flags")
    if challenge.kind == ChallengeKind.CONTAINER and not challenge.containers.filter(is_main=True).exists():
        raise Invalid("It has no container yet.", field="containers")


def _powers(challenge: Challenge) -> list[str]:
    found = []
    for container in ChallengeContainer.objects.filter(challenge=challenge):
        words = [*container.capabilities, *(["privileged"] if container.is_privileged else [])]
        found += [f"{container.name} ({container.image}): {word}" for word in words]
    return sorted(found)


def _what_runs(challenge: Challenge) -> list[Any]:
    """All of its containers, with their ports and what is planted in them: a grant is for that and nothing else."""
    flags = challenge.flags.exclude(plant_env="", plant_path="")
    return [
        *challenge.containers.order_by("name").values_list(*_CONTAINER_FACTS),
        *challenge.containers.order_by("name", "ports__name").values_list(*_PORT_FACTS),
        *flags.order_by("container__name", "plant_env", "plant_path").values_list(*_PLANT_FACTS),
    ]


def _take_powers(challenge: Challenge) -> None:
    challenge.powers_granted_by = challenge.powers_granted_at = None
    challenge.save(update_fields=["powers_granted_by", "powers_granted_at"])


def _store(challenge: Challenge) -> None:
    try:
        with transaction.atomic():
            challenge.save()
    except IntegrityError:
        raise Invalid("Another challenge has this name.", field="name") from None


def _limit(rows: list[Any], most: int, field: str) -> None:
    if len(rows) > most:
        raise Invalid(f"At most {most}.", field=field)


def _refuse_twice(names: list[str], field: str) -> None:
    if len(set(names)) < len(names):
        raise Invalid("Two have the same name.", field=field)
