"""Rows of challenges in the admin. What changes something goes through the services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin, SettledAdmin
from hub.exceptions import Invalid

from . import admin_parts, part_forms, services
from .choices import CHALLENGE_MOVES, ChallengeState
from .models import (
    Announcement,
    AnnouncementRead,
    Challenge,
    ChallengeContainer,
    ChallengeFile,
    ChallengePort,
    DeployRun,
    Event,
    EventChallenge,
    FileDownload,
    Flag,
    Hint,
    Instance,
    InstanceLog,
    Membership,
    Participation,
    ScoreEvent,
    Submission,
    Team,
)


@admin.register(Challenge)
class ChallengeAdmin(SettledAdmin[Challenge]):
    """The library of challenges with all they are made of; of flags everything but what they are."""

    list_display = ["name", "category", "kind", "state", "difficulty", "points", "scoring", "updated_at"]
    list_filter = ["state", "kind", "category", "difficulty"]
    search_fields = ["name", "slug", "author"]
    exclude = ["flag_secret"]
    readonly_fields = ["slug", "state", "powers_granted_by", "powers_granted_at", "created_at", "updated_at"]
    actions = ["publish", "test", "withdraw"]
    inlines = admin_parts.INLINES

    def save_model(self, request: HttpRequest, obj: Challenge, form: Any, change: bool) -> None:
        """Together with the parts, because a published challenge is complete at every moment: see below."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        challenge = Challenge.objects.get(pk=form.instance.pk)
        try:
            lists = part_forms.lists_of(formsets)
            if changes or lists:
                services.update_challenge(challenge, actor=request.user, **changes, **lists)
        except Invalid as refusal:
            raise part_forms.told_where(refusal) from None
        for formset in formsets:
            if formset.model is ChallengeFile:
                admin_parts.store_files(challenge, formset, request.user)
            admin_parts.note(formset)

    @admin.action(description=CHALLENGE_MOVES[ChallengeState.PUBLISHED])
    def publish(self, request: HttpRequest, queryset: QuerySet[Challenge]) -> None:
        self._move(request, queryset, ChallengeState.PUBLISHED)

    @admin.action(description=CHALLENGE_MOVES[ChallengeState.TEST])
    def test(self, request: HttpRequest, queryset: QuerySet[Challenge]) -> None:
        self._move(request, queryset, ChallengeState.TEST)

    @admin.action(description=CHALLENGE_MOVES[ChallengeState.DRAFT])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Challenge]) -> None:
        self._move(request, queryset, ChallengeState.DRAFT)

    def _move(self, request: HttpRequest, queryset: QuerySet[Challenge], state: str) -> None:
        self.for_each(request, queryset, lambda one: services.set_state(one, state, actor=request.user))


@admin.register(ChallengeContainer)
class ChallengeContainerAdmin(ReadOnlyAdmin[ChallengeContainer]):
    """What challenges run."""

    list_display = ["__str__", "is_main", "image", "memory_mb", "cpu_percent", "is_privileged"]
    list_filter = ["is_main", "is_privileged"]
    list_select_related = ["challenge"]
    search_fields = ["challenge__name", "image"]


@admin.register(ChallengePort)
class ChallengePortAdmin(ReadOnlyAdmin[ChallengePort]):
    """The named ports of their containers."""

    list_display = ["__str__", "container", "is_public"]
    list_filter = ["protocol", "is_public"]
    list_select_related = ["container__challenge"]
    search_fields = ["container__challenge__name", "name"]


@admin.register(Flag)
class FlagAdmin(ReadOnlyAdmin[Flag]):
    """That there are flags and how they are planted, never what they are."""

    list_display = ["challenge", "name", "kind", "plant_env", "plant_path"]
    list_filter = ["kind"]
    list_select_related = ["challenge"]
    search_fields = ["challenge__name", "name"]
    exclude = ["content"]


@admin.register(Hint)
class HintAdmin(ReadOnlyAdmin[Hint]):
    """Hints and their costs."""

    list_display = ["challenge", "__str__", "kind", "cost", "position"]
    list_filter = ["kind"]
    list_select_related = ["challenge"]
    search_fields = ["challenge__name", "title"]


@admin.register(ChallengeFile)
class ChallengeFileAdmin(ReadOnlyAdmin[ChallengeFile]):
    """Files with their checksums."""

    list_display = ["challenge", "name", "size_bytes", "sha256", "created_at"]
    list_select_related = ["challenge"]
    search_fields = ["challenge__name", "name", "=sha256"]
    exclude = ["content"]


@admin.register(Event)
class EventAdmin(SettledAdmin[Event]):
    """Events and their rules."""

    list_display = ["name", "status", "kind", "participation", "region", "starts_at", "ends_at"]
    list_filter = ["status", "kind", "participation", "region"]
    list_select_related = ["region"]
    search_fields = ["name", "slug"]
    date_hierarchy = "starts_at"
    raw_id_fields = ["organisers"]
    readonly_fields = ["slug", "status", "status_reason", "ended_at", "administrator", "created_by", "created_at"]
    actions = ["approve", "pause", "resume"]
    service = staticmethod(services.update_event)

    @admin.action(description="Approve")
    def approve(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        self.for_each(request, queryset, lambda one: services.approve_event(one, actor=request.user))

    @admin.action(description="Pause")
    def pause(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        self.for_each(request, queryset, lambda one: services.pause_event(one, actor=request.user))

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        self.for_each(request, queryset, lambda one: services.resume_event(one, actor=request.user))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        return Event.objects.visible_to(request.user)


@admin.register(EventChallenge)
class EventChallengeAdmin(SettledAdmin[EventChallenge]):
    """What each event offers, from when on, to whom, and after which others."""

    list_display = ["event", "challenge", "visibility", "position", "points_override", "release_at"]
    list_filter = ["visibility"]
    list_select_related = ["event__region", "challenge"]
    search_fields = ["event__name", "challenge__name"]
    raw_id_fields = ["requires", "allowed_teams"]
    readonly_fields = ["event", "challenge", "created_at"]
    service = staticmethod(services.update_entry)

    def get_queryset(self, request: HttpRequest) -> QuerySet[EventChallenge]:
        return EventChallenge.objects.filter(event__in=Event.objects.visible_to(request.user))


@admin.register(Team)
class TeamAdmin(SettledAdmin[Team]):
    """Teams; their join codes are for their members."""

    list_display = ["name", "captain", "region", "is_personal", "is_locked", "banned_at", "created_at"]
    list_filter = ["is_personal", "is_locked", "region"]
    list_select_related = ["captain", "region"]
    search_fields = ["name", "captain__username"]
    exclude = ["join_code"]
    readonly_fields = ["captain", "is_personal", "banned_at", "ban_reason", "created_at"]
    service = staticmethod(services.update_team)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        return Team.objects.visible_to(request.user)


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin[Membership]):
    """Who is in which team."""

    list_display = ["team", "user", "is_personal", "joined_at"]
    list_select_related = ["team__region", "user"]
    search_fields = ["team__name", "user__username"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return Membership.objects.filter(team__in=Team.objects.visible_to(request.user))


@admin.register(Participation)
class ParticipationAdmin(ReadOnlyAdmin[Participation]):
    """Which team takes part where."""

    list_display = ["event", "team", "registered_by", "banned_at", "created_at"]
    list_select_related = ["event__region", "team", "registered_by"]
    search_fields = ["event__name", "team__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Participation]:
        return Participation.objects.filter(event__in=Event.objects.visible_to(request.user))


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin[Submission]):
    """Answers given and what came of them, without their words."""

    list_display = ["participation", "entry", "user_name", "outcome", "attempt", "ip", "created_at"]
    list_filter = ["outcome"]
    list_select_related = ["participation__team", "participation__event", "entry__challenge", "entry__event"]
    search_fields = ["user_name", "participation__team__name", "=ip"]
    exclude = ["answer"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Submission]:
        return Submission.objects.visible_to(request.user)


@admin.register(ScoreEvent)
class ScoreEventAdmin(ReadOnlyAdmin[ScoreEvent]):
    """All that counts, in its order; only ever added to."""

    list_display = ["event", "team", "kind", "entry", "points", "user_name", "created_at"]
    list_filter = ["kind"]
    list_select_related = ["event__region", "team", "entry__challenge", "entry__event"]
    search_fields = ["event__name", "team__name", "user_name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScoreEvent]:
        return ScoreEvent.objects.filter(event__in=Event.objects.visible_to(request.user))


@admin.register(FileDownload)
class FileDownloadAdmin(ReadOnlyAdmin[FileDownload]):
    """Who fetched which file."""

    list_display = ["file", "team", "user_name", "ip", "created_at"]
    list_select_related = ["file", "team"]
    search_fields = ["file__name", "team__name", "user_name", "=ip"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[FileDownload]:
        return FileDownload.objects.filter(Q(team=None) | Q(team__in=Team.objects.visible_to(request.user)))


@admin.register(Announcement)
class AnnouncementAdmin(ReadOnlyAdmin[Announcement]):
    """What organisers have told."""

    list_display = ["title", "event", "region", "ui_type", "author_name", "created_at"]
    list_filter = ["ui_type"]
    list_select_related = ["event__region", "region"]
    search_fields = ["title", "event__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Announcement]:
        return Announcement.objects.visible_to(request.user)


@admin.register(AnnouncementRead)
class AnnouncementReadAdmin(ReadOnlyAdmin[AnnouncementRead]):
    """Who has read it."""

    list_display = ["announcement", "user", "at"]
    list_select_related = ["announcement", "user"]
    search_fields = ["announcement__title", "user__username"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AnnouncementRead]:
        return AnnouncementRead.objects.filter(announcement__in=Announcement.objects.visible_to(request.user))


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin[Instance]):
    """What teams run. Launched on the pages of challenges; here are all its facts, and the verbs for many at once."""

    list_display = ["name", "event", "challenge", "team", "node", "observed_status", "expires_at", "created_at"]
    list_filter = ["observed_status", "desired_status", "event", "node"]
    list_select_related = ["event", "challenge", "team", "node__region"]
    search_fields = ["name", "=id", "team__name", "challenge__name"]
    date_hierarchy = "created_at"
    actions = ["extend", "redeploy", "stop"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Instance]:
        return Instance.objects.visible_to(request.user)

    @admin.action(description="Extend by the event's rules")
    def extend(self, request: HttpRequest, queryset: QuerySet[Instance]) -> None:
        self.for_each(request, queryset, lambda one: services.extend_instance(one, actor=request.user))

    @admin.action(description="Reset: make all of it anew")
    def redeploy(self, request: HttpRequest, queryset: QuerySet[Instance]) -> None:
        self.for_each(request, queryset, lambda one: services.reset_instance(one, actor=request.user))

    @admin.action(description="Stop and remove")
    def stop(self, request: HttpRequest, queryset: QuerySet[Instance]) -> None:
        self.for_each(request, queryset, lambda one: services.stop_instance(one, actor=request.user))


@admin.register(DeployRun)
class DeployRunAdmin(ReadOnlyAdmin[DeployRun]):
    """Challenges launched for every team of an event: how far each is, and what came of each team."""

    list_display = ["event", "challenge", "is_forced", "actor_name", "created_at", "finished_at"]
    list_filter = ["event", "is_forced"]
    list_select_related = ["event", "challenge"]
    exclude = ["lease_token"]
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeployRun]:
        return DeployRun.objects.visible_to(request.user)


@admin.register(InstanceLog)
class InstanceLogAdmin(ReadOnlyAdmin[InstanceLog]):
    """The newest output of each instance, flags masked."""

    list_display = ["instance", "captured_at", "wanted_until"]
    list_select_related = ["instance"]
    search_fields = ["instance__name", "=instance__id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[InstanceLog]:
        return InstanceLog.objects.filter(instance__in=Instance.objects.visible_to(request.user))
