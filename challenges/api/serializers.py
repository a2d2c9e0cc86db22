"""Shapes of teams, events, challenges and announcements in the API. Flags are only ever written."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.permissions import can
from challenges import scoring
from challenges.choices import (
    ChallengeState,
    EventStatus,
    FlagKind,
    HintKind,
    Outcome,
)
from challenges.models import (
    Announcement,
    Challenge,
    ChallengeContainer,
    ChallengeFile,
    ChallengePort,
    Event,
    EventChallenge,
    FileDownload,
    Flag,
    Hint,
    Participation,
    Submission,
    Team,
)
from hub.nodes.models import Node, Region


def region_field() -> Any:
    return serializers.SlugRelatedField(
        slug_field="slug", queryset=Region.objects.all(), required=False, allow_null=True
    )


class TeamSerializer(serializers.ModelSerializer[Team]):
    """A team. Its join code is shown to its members and to those who may change it."""

    region = region_field()
    captain = serializers.CharField(source="captain.username", read_only=True)
    members = serializers.SerializerMethodField()
    join_code = serializers.SerializerMethodField()
    is_banned = serializers.BooleanField(read_only=True)

    class Meta:
        model = Team
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "name",
            "description",
            "region",
            "captain",
            "members",
            "max_members",
            "join_code",
            "is_personal",
            "is_locked",
            "is_banned",
            "ban_reason",
            "created_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = ("id", "is_personal", "ban_reason", "created_at")

    def get_members(self, team: Team) -> list[str]:
        return [membership.user.username for membership in team.memberships.all()]

    def get_join_code(self, team: Team) -> str | None:
        user = self.context["request"].user
        is_member = any(membership.user_id == user.pk for membership in team.memberships.all())
        return team.join_code if is_member or can(user, "teams.change", team) else None


class TeamCreateSerializer(serializers.ModelSerializer[Team]):
    """What a team is made from; it begins unlocked."""

    region = region_field()

    class Meta:
        model = Team
        fields: ClassVar[tuple[str, ...]] = ("name", "description", "region", "max_members")


class TeamUpdateSerializer(TeamCreateSerializer):
    """What may be changed."""

    class Meta:
        model = Team
        fields: ClassVar[tuple[str, ...]] = ("name", "description", "region", "max_members", "is_locked")
        extra_kwargs: ClassVar[dict[str, Any]] = {"name": {"required": False}}


class JoinSerializer(serializers.Serializer[Any]):
    """The code that a captain has told."""

    code = serializers.CharField(max_length=20)


class PersonSerializer(serializers.Serializer[Any]):
    """Somebody by user name."""

    username = serializers.CharField(max_length=150)


class PlayerPasswordSerializer(PersonSerializer):
    """A player of the event, and his new password."""

    password = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)


class MaybePersonSerializer(serializers.Serializer[Any]):
    """Somebody by user name, or nobody."""

    username = serializers.CharField(max_length=150, allow_null=True)


class BanReasonSerializer(serializers.Serializer[Any]):
    """Why; those whom it concerns read it."""

    reason = serializers.CharField(max_length=300)


class ChallengeEventSerializer(serializers.ModelSerializer[Event]):
    """An event; `state` is its status as the clock has moved it on."""

    region = region_field()
    node = serializers.SlugRelatedField(slug_field="name", queryset=Node.objects.all(), required=False, allow_null=True)
    state = serializers.ChoiceField(choices=EventStatus.choices, read_only=True)
    is_frozen = serializers.BooleanField(read_only=True)

    class Meta:
        model = Event
        fields: ClassVar[tuple[str, ...]] = (
            "slug",
            "name",
            "description",
            "kind",
            "participation",
            "region",
            "is_public",
            "state",
            "status_reason",
            "starts_at",
            "ends_at",
            "freeze_at",
            "is_frozen",
            "max_participants",
            "max_team_size",
            "submissions_per_minute",
            "node",
            "address_policy",
            "max_instances_per_team",
            "max_instances",
            "instance_minutes",
            "extend_minutes",
            "extend_window_minutes",
            "max_extensions",
            "warn_minutes",
            "stops_on_solve",
            "created_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = ("slug", "status_reason", "created_at")


class ParticipationSerializer(serializers.ModelSerializer[Participation]):
    """A team in an event."""

    team = serializers.IntegerField(source="team_id", read_only=True)
    name = serializers.CharField(source="team.name", read_only=True)
    is_banned = serializers.BooleanField(read_only=True)

    class Meta:
        model = Participation
        fields: ClassVar[tuple[str, ...]] = ("team", "name", "is_banned", "ban_reason", "created_at")
        read_only_fields = fields


class SubmissionSerializer(serializers.ModelSerializer[Submission]):
    """An answer and what came of it, without its words."""

    event = serializers.SlugField(source="participation.event.slug", read_only=True)
    challenge = serializers.SlugField(source="entry.challenge.slug", read_only=True)
    team = serializers.IntegerField(source="participation.team_id", read_only=True)
    team_name = serializers.CharField(source="participation.team.name", read_only=True)

    class Meta:
        model = Submission
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "event",
            "challenge",
            "team",
            "team_name",
            "user_name",
            "outcome",
            "attempt",
            "ip",
            "user_agent",
            "created_at",
        )
        read_only_fields = fields


class EventTeamSerializer(serializers.Serializer[Any]):
    """A team of the event."""

    team = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class EventBanSerializer(EventTeamSerializer):
    """A team of the event, and why."""

    reason = serializers.CharField(max_length=300)


class AwardSerializer(EventBanSerializer):
    """Points for a team, or less than none."""

    points = serializers.IntegerField(min_value=-1_000_000, max_value=1_000_000)


class CardSerializer(serializers.Serializer[Any]):
    """One challenge on the board; of a locked one only category and value are told."""

    entry_id = serializers.IntegerField()
    slug = serializers.CharField(allow_blank=True)
    name = serializers.CharField()
    category = serializers.CharField()
    difficulty = serializers.CharField(allow_blank=True)
    kind = serializers.CharField(allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField())
    points = serializers.IntegerField()
    solves = serializers.IntegerField()
    is_solved = serializers.BooleanField()
    is_locked = serializers.BooleanField()
    found = serializers.IntegerField(help_text="Flags that the team has found.")
    attempts_remaining = serializers.IntegerField(allow_null=True)


class StandingSerializer(serializers.Serializer[Any]):
    """One line of the scoreboard."""

    place = serializers.IntegerField()
    team_id = serializers.IntegerField()
    team = serializers.CharField()
    points = serializers.IntegerField()
    solves = serializers.IntegerField()
    last_at = serializers.DateTimeField(allow_null=True)


class ScoreboardSerializer(serializers.Serializer[Any]):
    """The scoreboard; frozen, it stands as it did at the freeze."""

    is_frozen = serializers.BooleanField()
    standings = StandingSerializer(many=True)


class ScoreStepSerializer(serializers.Serializer[Any]):
    """What a team had from a moment on."""

    at = serializers.DateTimeField()
    points = serializers.IntegerField()


class ScoreHistorySerializer(serializers.Serializer[Any]):
    """The score of one team over time."""

    team = serializers.CharField()
    place = serializers.IntegerField()
    steps = ScoreStepSerializer(many=True)


class ScoreLineSerializer(serializers.Serializer[Any]):
    """One thing that changed a team's score."""

    at = serializers.DateTimeField()
    kind = serializers.CharField()
    label: Any = serializers.CharField(allow_blank=True)
    user_name = serializers.CharField()
    points = serializers.IntegerField()
    total = serializers.IntegerField()


class ScoreSerializer(serializers.Serializer[Any]):
    """A team's own score, line by line."""

    total = serializers.IntegerField()
    lines = ScoreLineSerializer(many=True)


class ContainerPortSerializer(serializers.ModelSerializer[ChallengePort]):
    """A named port of a container."""

    class Meta:
        model = ChallengePort
        fields: ClassVar[tuple[str, ...]] = ("name", "number", "protocol", "is_public")


class ContainerSerializer(serializers.ModelSerializer[ChallengeContainer]):
    """A container of a challenge."""

    ports = ContainerPortSerializer(many=True, required=False)
    command = serializers.ListField(child=serializers.CharField(max_length=2000), required=False, max_length=100)
    env = serializers.DictField(child=serializers.CharField(max_length=4000, allow_blank=True), required=False)
    writable_paths = serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=50)
    capabilities = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=40)

    class Meta:
        model = ChallengeContainer
        exclude: ClassVar[tuple[str, ...]] = ("id", "challenge", "position")
        extra_kwargs: ClassVar[dict[str, Any]] = {"ready_timeout_seconds": {"max_value": 3600}}


class ContainerNameField(serializers.SlugRelatedField[ChallengeContainer]):
    """A container by its name; which one is meant is found by the service, among those sent along."""

    def to_internal_value(self, data: Any) -> Any:
        return serializers.CharField(max_length=40, allow_blank=True).run_validation(data)


class FlagSerializer(serializers.ModelSerializer[Flag]):
    """A flag: what it is, is written and never read. One that is there is known by its `id`, else by its name; without
    content it keeps its own."""

    id = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)

    content = serializers.CharField(write_only=True, required=False, max_length=500)
    container: Any = ContainerNameField(
        slug_field="name", queryset=ChallengeContainer.objects.none(), required=False, allow_null=True
    )
    kind = serializers.ChoiceField(choices=FlagKind.choices, required=False)

    class Meta:
        model = Flag
        fields: ClassVar[tuple[str, ...]] = ("id", "name", "kind", "content", "container", "plant_env", "plant_path")


class HintSerializer(serializers.ModelSerializer[Hint]):
    """A hint, in the order of the list. One that is there is known by its `id`, else by its place: by id a hint that
    teams have taken stays theirs when others are taken out or moved."""

    id = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)

    class Meta:
        model = Hint
        fields: ClassVar[tuple[str, ...]] = ("id", "title", "content", "kind", "cost")


class FileSerializer(serializers.ModelSerializer[ChallengeFile]):
    """A file with its checksum."""

    class Meta:
        model = ChallengeFile
        fields: ClassVar[tuple[str, ...]] = ("id", "name", "size_bytes", "sha256")


class ChallengeSerializer(serializers.ModelSerializer[Challenge]):
    """A challenge of the library. Lists that are sent replace those that were there."""

    containers = ContainerSerializer(many=True, required=False)
    flags = FlagSerializer(many=True, required=False)
    hints = HintSerializer(many=True, required=False)
    files = FileSerializer(many=True, read_only=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=20)
    has_powers = serializers.BooleanField(read_only=True)
    curve = serializers.SerializerMethodField()

    class Meta:
        model = Challenge
        fields: ClassVar[tuple[str, ...]] = (
            "slug",
            "name",
            "kind",
            "state",
            "category",
            "description",
            "author",
            "difficulty",
            "tags",
            "points",
            "scoring",
            "minimum_points",
            "decay",
            "curve",
            "first_blood_bonus",
            "max_attempts",
            "flag_logic",
            "allows_egress",
            "has_powers",
            "containers",
            "flags",
            "hints",
            "files",
            "created_at",
            "updated_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = ("slug", "state", "created_at", "updated_at")
        extra_kwargs: ClassVar[dict[str, Any]] = {"decay": {"max_value": 1_000_000}}

    def get_curve(self, challenge: Challenge) -> list[int]:
        """The value after the first, second, … solve."""
        return scoring.curve(challenge.scoring, challenge.points, challenge.minimum_points, challenge.decay)


class ChallengeStateSerializer(serializers.Serializer[Any]):
    """Where a challenge goes."""

    state = serializers.ChoiceField(choices=ChallengeState.choices)


class EntrySerializer(serializers.ModelSerializer[EventChallenge]):
    """A challenge in an event, as its organisers see it."""

    event: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    challenge: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    requires = serializers.PrimaryKeyRelatedField(
        many=True, queryset=EventChallenge.objects.all(), required=False, help_text="Ids of what it builds on."
    )
    allowed_teams = serializers.PrimaryKeyRelatedField(many=True, queryset=Team.objects.all(), required=False)

    class Meta:
        model = EventChallenge
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "event",
            "challenge",
            "visibility",
            "position",
            "points_override",
            "max_attempts",
            "release_at",
            "requires",
            "allowed_teams",
        )


class EntryCreateSerializer(EntrySerializer):
    """Which challenge is offered where."""

    event: Any = serializers.SlugRelatedField(slug_field="slug", queryset=Event.objects.all())
    challenge: Any = serializers.SlugRelatedField(slug_field="slug", queryset=Challenge.objects.all())

    class Meta(EntrySerializer.Meta):
        validators: ClassVar[list[Any]] = []


class PlayHintSerializer(serializers.Serializer[Any]):
    """A hint as a team sees it: its content only once it was taken."""

    id = serializers.IntegerField()
    title = serializers.CharField()
    kind = serializers.ChoiceField(choices=HintKind.choices)
    cost = serializers.IntegerField()
    is_taken = serializers.BooleanField()
    content = serializers.CharField(allow_null=True)


class SolverSerializer(serializers.Serializer[Any]):
    """A team that was among the first to solve it."""

    team = serializers.CharField()
    at = serializers.DateTimeField()


class PlaySerializer(serializers.Serializer[Any]):
    """A challenge as a team plays it."""

    id = serializers.IntegerField()
    event = serializers.CharField()
    slug = serializers.CharField()
    name = serializers.CharField()
    category = serializers.CharField()
    description = serializers.CharField()
    author = serializers.CharField(allow_blank=True)
    difficulty = serializers.CharField()
    kind = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    points = serializers.IntegerField()
    solves = serializers.IntegerField()
    is_solved = serializers.BooleanField()
    flags = serializers.IntegerField(help_text="How many it has, where all are needed.")
    found = serializers.IntegerField()
    attempts_remaining = serializers.IntegerField(allow_null=True)
    hints = PlayHintSerializer(many=True)
    files = FileSerializer(many=True)
    first_solvers = SolverSerializer(many=True, help_text="Frozen like the scoreboard.")


class FlagAnswerSerializer(serializers.Serializer[Any]):
    """What a team takes for the flag."""

    answer = serializers.CharField(max_length=500)


class AnsweredSerializer(serializers.Serializer[Any]):
    """What came of it."""

    outcome = serializers.ChoiceField(choices=Outcome.choices)
    message = serializers.CharField()
    attempts_remaining = serializers.IntegerField(allow_null=True)
    is_first_blood = serializers.BooleanField(
        allow_null=True, help_text="null while the scoreboard is frozen: it is told when it moves on."
    )


class TakeHintSerializer(serializers.Serializer[Any]):
    """Which hint."""

    hint = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class AnnouncementSerializer(serializers.ModelSerializer[Announcement]):
    """What organisers tell; `event` null: everybody."""

    event: Any = serializers.SlugRelatedField(
        slug_field="slug", queryset=Event.objects.all(), required=False, allow_null=True
    )
    region = region_field()
    is_read = serializers.SerializerMethodField()

    class Meta:
        model = Announcement
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "event",
            "region",
            "title",
            "message",
            "ui_type",
            "has_sound",
            "author_name",
            "is_read",
            "created_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = ("id", "author_name", "created_at")

    @extend_schema_field(serializers.BooleanField())
    def get_is_read(self, announcement: Announcement) -> bool:
        return bool(getattr(announcement, "is_read", False))


class UnreadSerializer(serializers.Serializer[Any]):
    """How much somebody has not read."""

    unread_count = serializers.IntegerField()


class OrganisersSerializer(serializers.Serializer[Any]):
    """Those who run an event, by user name."""

    usernames = serializers.ListField(child=serializers.CharField(max_length=150), max_length=50)


class FileUploadSerializer(serializers.Serializer[Any]):
    """A file, as a form; its own name unless another is given."""

    file = serializers.FileField(max_length=200)
    name = serializers.CharField(max_length=150, required=False)


class DownloadSerializer(serializers.ModelSerializer[FileDownload]):
    """That somebody fetched a file."""

    file: Any = serializers.CharField(source="file.name", read_only=True)
    event: Any = serializers.CharField(source="entry.event.slug", default=None, read_only=True, allow_null=True)
    team: Any = serializers.CharField(source="team.name", default=None, read_only=True, allow_null=True)

    class Meta:
        model = FileDownload
        fields: ClassVar[tuple[str, ...]] = ("id", "file", "event", "team", "user_name", "ip", "created_at")
        read_only_fields = fields
