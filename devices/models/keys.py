"""Keys of devices, tokens that let strangers enrol, and assertions that were used."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from hub.nodes.models import Region

from ..choices import KeyAlgorithm, KeyState
from ..querysets import DeviceKeyQuerySet, EnrolmentTokenQuerySet
from ..validators import validate_tag
from .devices import Device, DeviceGroup

MOST_ENROLMENTS = 100_000


class DeviceKey(models.Model):
    """A public key of a device; what signs with it is that device. A key is known once, also after its end."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="keys")
    fingerprint = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the key in DER, in hex.")
    algorithm = models.CharField(max_length=20, choices=KeyAlgorithm.choices)
    bits = models.PositiveSmallIntegerField()
    public_key = models.TextField(help_text="PEM")
    state = models.CharField(max_length=10, choices=KeyState.choices, default=KeyState.PROPOSED)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    activated_at = models.DateTimeField(null=True, blank=True)
    retires_at = models.DateTimeField(null=True, blank=True, help_text="Until then a retiring key is still taken.")
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_reason = models.CharField(max_length=200, blank=True)

    objects = DeviceKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["device"], condition=Q(state="active"), name="devices_key_one_active"),
            models.UniqueConstraint(fields=["device"], condition=Q(state="next"), name="devices_key_one_next"),
            models.UniqueConstraint(fields=["device"], condition=Q(state="proposed"), name="devices_key_one_proposed"),
        ]

    def __str__(self) -> str:
        return f"{self.fingerprint[:16]} ({self.state})"


class EnrolmentToken(models.Model):
    """Lets devices enrol without anybody accepting each: so many, until then, into that group and region.

    The secret is shown once; only its digest is kept.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=12, editable=False, help_text="How it begins.")
    region = models.ForeignKey(Region, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    group = models.ForeignKey(DeviceGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    tags = ArrayField(models.CharField(max_length=40, validators=[validate_tag]), default=list, blank=True)
    most_uses = models.PositiveIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(MOST_ENROLMENTS)]
    )
    uses = models.PositiveIntegerField(default=0, editable=False)
    expires_at = models.DateTimeField()
    created_by = models.CharField(max_length=150, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = EnrolmentTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(uses__lte=F("most_uses")), name="devices_token_uses"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("devices:token_list")

    @property
    def state(self) -> str:
        """Whether somebody can enrol with it, and if not, why."""
        if self.revoked_at is not None:
            return "revoked"
        if self.uses >= self.most_uses:
            return "used"
        return "expired" if self.expires_at <= timezone.now() else "open"

    @property
    def region_slug(self) -> str | None:
        return self.region.slug if self.region else None


class SpentAssertion(models.Model):
    """An assertion that was traded for a token, kept until it would have run out, so that it works once."""

    key = models.ForeignKey(DeviceKey, on_delete=models.CASCADE, related_name="+")
    jti = models.CharField(max_length=128)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "jti"], name="devices_assertion_once")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.expires_at}"
