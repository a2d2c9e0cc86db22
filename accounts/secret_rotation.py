"""Seal every secret in the database under the newest key, so that older keys can leave `HUB_SECRET_KEYS` or Vault.

What is done already is not looked at again, so a run that was stopped goes on where it was. Each value is replaced only
if it is still the one that was read: who changes a secret meanwhile sealed it under the newest key himself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Cast

from hub.secrets import EncryptedTextField, Sealed, SecretError, newest, seal, unseal

from . import audit, mfa
from .actors import Actor
from .permissions import require

BATCH = 200


@dataclass
class Rotated:
    """How many values of one column were sealed anew, and which rows could not be opened."""

    place: str
    count: int = 0
    unreadable: tuple[str, ...] = ()


def rotate_all(*, actor: Actor) -> Iterator[Rotated]:
    """Go through every column that holds secrets; each batch is committed with its audit entry."""
    require(actor, "settings.change")
    for model in apps.get_models():
        for field in model._meta.local_fields:
            if isinstance(field, EncryptedTextField):
                yield _rotate_column(model, field, actor)
    yield _rotate_factors(actor)


def _rotate_column(model: type[models.Model], field: EncryptedTextField, actor: Actor) -> Rotated:
    done = Rotated(f"{model._meta.label_lower}.{field.name}")
    rows = model._base_manager.annotate(raw=Cast(F(field.name), models.TextField()))
    rows = rows.exclude(raw=None).exclude(raw="").exclude(raw__startswith=newest()).order_by("pk")
    last: Any = None
    while batch := list((rows if last is None else rows.filter(pk__gt=last)).values_list("pk", "raw")[:BATCH]):
        last = batch[-1][0]
        with transaction.atomic():
            count = sum(_reseal_row(model, field, pk, raw, done) for pk, raw in batch)
            _record(actor, done, count)
    return done


def _reseal_row(model: type[models.Model], field: EncryptedTextField, pk: Any, raw: str, done: Rotated) -> int:
    try:
        fresh = seal(unseal(raw, purpose=field.purpose), purpose=field.purpose)
    except SecretError:
        done.unreadable += (str(pk),)
        return 0
    same = model._base_manager.filter(pk=pk, **{field.name: Sealed(raw, field.purpose)})
    return same.update(**{field.name: Sealed(fresh, field.purpose)})


def _rotate_factors(actor: Actor) -> Rotated:
    """Second factors keep their secrets inside JSON; these are few, and each row is locked while it is rewritten."""
    done = Rotated("mfa.authenticator.data")
    for pk in Authenticator.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            factor = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if factor is not None:
                _record(actor, done, _reseal_factor(factor, done))
    return done


def _reseal_factor(factor: Authenticator, done: Rotated) -> int:
    """Reseal the values that `mfa.HubMfaAdapter` sealed; those from before it are sealed for the first time."""
    try:
        fresh = {
            name: mfa.reseal(value) if name in mfa.SEALED_NAMES and not value.startswith(newest()) else value
            for name, value in factor.data.items()
        }
    except SecretError:
        done.unreadable += (str(factor.pk),)
        return 0
    if fresh == factor.data:
        return 0
    factor.data = fresh
    factor.save(update_fields=["data"])
    return 1


def _record(actor: Actor, done: Rotated, count: int) -> None:
    done.count += count
    if count:
        audit.record(
            actor, "secrets.rotated", None, place=done.place, values=count, key_id=newest()[1:-1].removeprefix(".")
        )
