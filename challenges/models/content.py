"""A challenge: its text, containers with their ports, flags, hints and files."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinLengthValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.urls import reverse

from challenges import content_rules, storage
from challenges.choices import (
    DESCRIPTION_LENGTHS,
    NAME_LENGTHS,
    ChallengeKind,
    ChallengeState,
    Difficulty,
    FlagKind,
    FlagLogic,
    HealthKind,
    HintKind,
    PortProtocol,
    Scoring,
)
from challenges.querysets import ChallengeQuerySet
from hub.secrets import EncryptedTextField

MOST_POINTS = 1_000_000
POINTS = [MinValueValidator(1), MaxValueValidator(MOST_POINTS)]


class Challenge(models.Model):
    """A task with its answer, apart from any event; one that runs something has containers."""

    name = models.CharField(max_length=NAME_LENGTHS[1], validators=[MinLengthValidator(NAME_LENGTHS[0])])
    slug = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=10, choices=ChallengeKind.choices, default=ChallengeKind.STATIC)
    state = models.CharField(max_length=10, choices=ChallengeState.choices, default=ChallengeState.DRAFT)
    category = models.CharField(max_length=50, default="web", help_text="web, reverse, pwn, crypto, … or one's own.")
    description = models.TextField(
        max_length=DESCRIPTION_LENGTHS[1],
        validators=[MinLengthValidator(DESCRIPTION_LENGTHS[0])],
        help_text="Markdown.",
    )
    author = models.CharField(max_length=100, blank=True)
    difficulty = models.CharField(max_length=10, choices=Difficulty.choices, default=Difficulty.MEDIUM)
    tags = models.JSONField(default=list, blank=True)

    points = models.PositiveIntegerField(default=100, validators=POINTS, help_text="Value before the first solve.")
    scoring = models.CharField(max_length=12, choices=Scoring.choices, default=Scoring.STATIC)
    minimum_points = models.PositiveIntegerField(default=1, validators=POINTS, help_text="It never falls below.")
    decay = models.PositiveIntegerField(
        default=0,
        help_text="Linear: points lost with each solve. Logarithmic: after how many more solves it is at its least.",
    )
    first_blood_bonus = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(MOST_POINTS)])
    max_attempts = models.PositiveIntegerField(default=0, help_text="Wrong answers of one team; 0 for no limit.")
    flag_logic = models.CharField(max_length=4, choices=FlagLogic.choices, default=FlagLogic.ANY)
    flag_secret = EncryptedTextField(purpose="challenge.flag_secret", blank=True, default="")

    allows_egress = models.BooleanField(default=False, help_text="Its containers may reach the internet.")
    powers_granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The Admin who allowed capabilities or privileged mode; any change of them takes it back.",
    )
    powers_granted_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ChallengeQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="challenge_name_once")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("challenges:challenge_detail", args=[self.slug])

    def clean(self) -> None:
        content_rules.clean_challenge(self)

    @property
    def is_container(self) -> bool:
        return self.kind == ChallengeKind.CONTAINER

    @property
    def wants_powers(self) -> bool:
        """Whether a container of it asks for more than containers usually get."""
        return any(container.capabilities or container.is_privileged for container in self.containers.all())

    @property
    def scoring_words(self) -> str:
        """How its value falls, with its numbers."""
        least = min(self.minimum_points, self.points)
        if self.scoring == Scoring.LINEAR:
            return f"Falls by {self.decay} with each solve after the first, to {least} at least"
        if self.scoring == Scoring.LOGARITHMIC:
            return f"Falls slowly, then faster, to {least} at solve number {self.decay + 1}"
        return str(Scoring(self.scoring).label)

    @property
    def has_powers(self) -> bool:
        """Whether an Admin has granted what its containers ask for."""
        return self.powers_granted_at is not None


class ChallengeContainer(models.Model):
    """One container of a challenge: the main one, or a sidecar that only the others of the same instance reach."""

    challenge = models.ForeignKey(Challenge, on_delete=models.CASCADE, related_name="containers")
    name = models.SlugField(max_length=40, help_text="Also its host name for the other containers.")
    is_main = models.BooleanField(default=True)
    image = models.CharField(max_length=200)
    command = models.JSONField(default=list, blank=True, help_text="Empty: what the image says.")
    env = models.JSONField(default=dict, blank=True, help_text="Environment; no flags, they are planted by themselves.")
    writable_paths = models.JSONField(
        default=list, blank=True, help_text="Directories in memory; the rest of the file system is read-only."
    )
    is_read_only = models.BooleanField(default=True, help_text="Off: the whole file system of the image is writable.")
    memory_mb = models.PositiveIntegerField(default=256, validators=[MinValueValidator(16), MaxValueValidator(65_536)])
    cpu_percent = models.PositiveIntegerField(default=50, validators=[MinValueValidator(5), MaxValueValidator(1_600)])
    disk_mb = models.PositiveIntegerField(default=256, validators=[MinValueValidator(16), MaxValueValidator(100_000)])
    pids = models.PositiveIntegerField(default=128, validators=[MinValueValidator(8), MaxValueValidator(4096)])
    capabilities = models.JSONField(default=list, blank=True, help_text="Beyond none, such as NET_ADMIN.")
    is_privileged = models.BooleanField(default=False)
    health_kind = models.CharField(max_length=5, choices=HealthKind.choices, default=HealthKind.TCP)
    health_port = models.CharField(max_length=40, blank=True, help_text="Name of a port; empty: the first.")
    health_path = models.CharField(max_length=200, default="/", blank=True)
    ready_timeout_seconds = models.PositiveSmallIntegerField(default=120, validators=[MinValueValidator(5)])
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-is_main", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["challenge", "name"], name="container_name_once"),
            models.UniqueConstraint(fields=["challenge"], condition=Q(is_main=True), name="one_main_container"),
        ]

    def __str__(self) -> str:
        return f"{self.challenge.slug}/{self.name}"

    def clean(self) -> None:
        content_rules.clean_container(self)


class ChallengePort(models.Model):
    """A named port of a container; teams reach those that are public."""

    container = models.ForeignKey(ChallengeContainer, on_delete=models.CASCADE, related_name="ports")
    name = models.SlugField(max_length=40)
    number = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(65_535)])
    protocol = models.CharField(max_length=5, choices=PortProtocol.choices, default=PortProtocol.HTTP)
    is_public = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["container", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["container", "name"], name="port_name_once"),
            models.UniqueConstraint(fields=["container", "number", "protocol"], name="port_number_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.number}/{self.protocol}"


class Flag(models.Model):
    """One right answer. For a flag of each team `content` is a template whose `flag_placeholder` is replaced."""

    challenge = models.ForeignKey(Challenge, on_delete=models.CASCADE, related_name="flags")
    name = models.SlugField(max_length=40, default="flag")
    seed = models.CharField(
        max_length=60,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="What a flag of each team is made from; empty: its name. A new name changes nobody's flag.",
    )
    kind = models.CharField(max_length=12, choices=FlagKind.choices, default=FlagKind.STATIC)
    content = EncryptedTextField(purpose="challenge.flag_content")
    container = models.ForeignKey(
        ChallengeContainer, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="Or the main."
    )
    plant_env = models.CharField(max_length=60, blank=True, help_text="Environment variable that gets it.")
    plant_path = models.CharField(max_length=200, blank=True, help_text="File that holds it.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["challenge", "name"], name="flag_name_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        content_rules.clean_flag(self)


class Hint(models.Model):
    """A help that a team may take, perhaps for points."""

    challenge = models.ForeignKey(Challenge, on_delete=models.CASCADE, related_name="hints")
    title = models.CharField(max_length=80, blank=True)
    content = models.TextField(max_length=5000, help_text="Markdown.")
    kind = models.CharField(max_length=10, choices=HintKind.choices, default=HintKind.BACKGROUND)
    cost = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(MOST_POINTS)])
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.title or f"Hint {self.position + 1}"


class ChallengeFile(models.Model):
    """A file that teams may fetch, with its checksum."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    challenge = models.ForeignKey(Challenge, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(max_length=150)
    content = models.FileField(storage=storage.challenge_files, upload_to=storage.place, max_length=300)
    size_bytes = models.PositiveBigIntegerField(editable=False)
    sha256 = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "created_at"]
        constraints = [models.UniqueConstraint(fields=["challenge", "name"], name="file_name_once")]

    def __str__(self) -> str:
        return self.name
