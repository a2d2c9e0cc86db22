"""Bundles, the keys of those who publish them, and the keys by which devices read what is sealed."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from hub.secrets import EncryptedTextField

from .choices import BundleKind, BundleStatus
from .querysets import BundleQuerySet, PublisherKeyQuerySet


class PublisherKey(models.Model):
    """A key whose signature makes a file a bundle. The private half is never here."""

    name = models.CharField(max_length=80, unique=True)
    fingerprint = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the key in DER.")
    algorithm = models.CharField(max_length=30, editable=False)
    public_key = models.TextField(help_text="PEM; Ed25519 or P-256.")
    is_enabled = models.BooleanField(default=True, help_text="Else it signs nothing any more; what it signed stays.")
    created_by = models.CharField(max_length=150, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PublisherKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "publisher's key"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("devices:publisher_list")


class Bundle(models.Model):
    """One version of what devices run. Name and version are taken before the first byte arrives."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    version = models.CharField(max_length=64)
    kind = models.CharField(max_length=7, choices=BundleKind.choices, default=BundleKind.ARCHIVE)
    status = models.CharField(max_length=9, choices=BundleStatus.choices, default=BundleStatus.UPLOADING)
    description = models.CharField(max_length=2000, blank=True)
    device_types = ArrayField(
        models.CharField(max_length=50), default=list, blank=True, help_text="Types it is for; empty: all."
    )
    manifest = models.JSONField(default=dict, blank=True)
    model_name = models.CharField(max_length=120, blank=True)
    model_size_mb = models.FloatField(null=True, blank=True)

    size_bytes = models.BigIntegerField(validators=[MinValueValidator(1)])
    received_bytes = models.BigIntegerField(default=0, editable=False)
    sha256 = models.CharField(max_length=64, blank=True)
    sha1 = models.CharField(max_length=40, blank=True, editable=False)
    md5 = models.CharField(max_length=32, blank=True, editable=False)

    publisher = models.ForeignKey(PublisherKey, on_delete=models.PROTECT, null=True, blank=True, related_name="bundles")
    signed = models.JSONField(null=True, blank=True, editable=False, help_text="The signature file, for devices.")

    is_sealed = models.BooleanField(default=True, help_text="Stored and sent encrypted.")
    content_key = EncryptedTextField(purpose="bundle.content_key", blank=True, default="")
    stored_name = models.CharField(max_length=80, blank=True, editable=False)
    stored_bytes = models.BigIntegerField(null=True, blank=True, editable=False)
    stored_sha256 = models.CharField(max_length=64, blank=True, editable=False)

    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    uploaded_by_name = models.CharField(max_length=150, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    touched_at = models.DateTimeField(db_default=Now(), editable=False, help_text="When bytes of it came last.")
    ready_at = models.DateTimeField(null=True, blank=True, editable=False)
    first_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="From then on it is fixed.")
    invalidated_at = models.DateTimeField(null=True, blank=True, editable=False)
    invalidated_by = models.CharField(max_length=150, blank=True, editable=False)
    invalid_reason = models.CharField(max_length=300, blank=True)

    objects = BundleQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="bundle_version_once"),
            models.CheckConstraint(
                condition=Q(received_bytes__gte=0, received_bytes__lte=F("size_bytes")), name="bundle_received"
            ),
            models.CheckConstraint(
                condition=Q(status=BundleStatus.UPLOADING) | ~Q(stored_name=""), name="bundle_ready_is_stored"
            ),
        ]
        indexes = [models.Index(fields=["-created_at"], name="bundle_newest")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def get_absolute_url(self) -> str:
        return reverse("devices:bundle_detail", args=[self.pk])

    @property
    def is_ready(self) -> bool:
        return self.status == BundleStatus.READY

    @property
    def is_fixed(self) -> bool:
        """Whether it was used, so that nothing about it may change."""
        return self.first_used_at is not None

    @property
    def percent(self) -> int | None:
        """How much of the upload has arrived; None when it has ended."""
        if self.status != BundleStatus.UPLOADING:
            return None
        return int(100 * self.received_bytes / self.size_bytes) if self.size_bytes else 100

    def suits(self, device_type: str) -> bool:
        """Whether it is meant for devices of this type."""
        return not self.device_types or device_type in self.device_types


class DeviceSealingKey(models.Model):
    """The X25519 key to which content keys are wrapped for a device; needed where the device's own only signs."""

    device = models.OneToOneField(
        "devices.Device", on_delete=models.CASCADE, primary_key=True, related_name="sealing_key"
    )
    public_key = models.CharField(max_length=44, help_text="32 bytes in base64.")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "device's sealing key"

    def __str__(self) -> str:
        return f"sealing key of {self.device_id}"
