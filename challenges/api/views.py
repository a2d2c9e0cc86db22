"""Challenges, and what organisers tell, over HTTP: parse, call one service, answer."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from challenges import lists, services
from challenges.models import (
    Announcement,
    AnnouncementRead,
    Challenge,
    Event,
    EventChallenge,
    FileDownload,
    Submission,
    Team,
)
from challenges.presentation import as_download, play_of
from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.idempotency import idempotent
from hub.api.shapes import parse, show
from hub.api.views import HubViewSet
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound

from . import filters
from . import serializers as shapes
from .instances import InstanceAnswerSerializer, TestCopySerializer

SLUG = r"[-a-zA-Z0-9_]+"
NUMBER = r"[0-9]{1,9}"
LATEST = 500
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
FILE = OpenApiParameter("file", OpenApiTypes.UUID, OpenApiParameter.PATH)


def _seen(event: Event, request: Request) -> Event:
    """The event that a body names; one that the asker may not see is answered like one that is not there."""
    if not Event.objects.visible_to(request.user).filter(pk=event.pk).exists():
        raise Invalid(f"Object with slug={event.slug} does not exist.", field="event")
    return event


class SubmissionViewSet(HubViewSet):
    """Answers of teams and what came of them, newest first. None shows its words."""

    queryset = Submission.objects.select_related("participation__team", "participation__event", "entry__challenge")
    serializer_class = shapes.SubmissionSerializer
    filterset_class = filters.SubmissionFilter
    ordering_fields = orders_of(lists.SUBMISSIONS)
    verbs: ClassVar[dict[str, str]] = {"*": "events.view_any"}

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """Who sees one follows the queryset."""


class ChallengeViewSet(HubViewSet):
    """The library of challenges, for those who run events. No answer shows a flag."""

    queryset = Challenge.objects.prefetch_related("containers__ports", "flags__container", "hints", "files")
    serializer_class = shapes.ChallengeSerializer
    filterset_class = filters.ChallengeFilter
    ordering_fields = orders_of(lists.CHALLENGES, "created_at")
    lookup_field = "slug"
    lookup_value_regex = SLUG
    version_fields = ("name", "state", "updated_at")
    verbs: ClassVar[dict[str, str]] = {
        "list": "challenges.view",
        "retrieve": "challenges.view",
        "downloads": "challenges.view",
        "grant": "challenges.grant",
        "revoke": "challenges.grant",
        "*": "challenges.change",
    }

    @extend_schema(summary="Make a challenge, as a draft", responses={201: shapes.ChallengeSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        made = services.create_challenge(actor=request.user, **parse(shapes.ChallengeSerializer, request))
        return Response(self._shown(made.slug), status=201, headers={"Location": f"{request.path}/{made.slug}"})

    @extend_schema(request=shapes.ChallengeSerializer, responses=shapes.ChallengeSerializer)
    @conditional
    def partial_update(self, request: Request, slug: str) -> Response:
        """Lists that are sent replace those that were there; a flag without content keeps its own."""
        challenge = self.get_object()
        asked = shapes.ChallengeSerializer(challenge, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        services.update_challenge(challenge, actor=request.user, **asked.validated_data)
        return Response(self._shown(slug))

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, slug: str) -> Response:
        """409 `challenge_in_use` when an event offers it."""
        services.delete_challenge(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(
        summary="Move it from draft to test to published, or back",
        request=shapes.ChallengeStateSerializer,
        responses=shapes.ChallengeSerializer,
    )
    @action(detail=True, methods=["post"])
    def state(self, request: Request, slug: str) -> Response:
        asked = parse(shapes.ChallengeStateSerializer, request)
        services.set_state(self.get_object(), asked["state"], actor=request.user)
        return Response(self._shown(slug))

    @extend_schema(
        summary="Allow the capabilities that its containers ask for", request=None, responses=shapes.ChallengeSerializer
    )
    @action(detail=True, methods=["post"])
    def grant(self, request: Request, slug: str) -> Response:
        """As they are now: any change of the containers takes it back."""
        services.grant_powers(self.get_object(), actor=request.user)
        return Response(self._shown(slug))

    @extend_schema(summary="Take that back", request=None, responses=shapes.ChallengeSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, slug: str) -> Response:
        services.revoke_powers(self.get_object(), actor=request.user)
        return Response(self._shown(slug))

    @extend_schema(
        summary="Launch a test copy with the flags of any team, or be told of the one there is",
        request=TestCopySerializer,
        responses={200: InstanceAnswerSerializer, 201: InstanceAnswerSerializer},
    )
    @action(detail=True, methods=["post"], url_path="test-copy")
    def test_copy(self, request: Request, slug: str) -> Response:
        """409 `not_in_test` for a draft, or for one with nothing to run. Teams do not see test copies."""
        asked, challenge = parse(TestCopySerializer, request), self.get_object()
        team = Team.objects.visible_to(request.user).filter(pk=asked["team"]).first()
        if team is None:
            raise Invalid("There is no such team.", field="team")
        launched = services.launch_test(challenge, actor=request.user, team=team)
        answer = show(InstanceAnswerSerializer, vars(launched), request)
        return Response(answer, status=201 if launched.is_new else 200)

    @extend_schema(
        summary="Add a file for teams",
        request={"multipart/form-data": shapes.FileUploadSerializer},
        responses={201: shapes.FileSerializer},
    )
    @action(detail=True, methods=["post"], parser_classes=[MultiPartParser])
    def files(self, request: Request, slug: str) -> Response:
        """409 `file_exists` when there is one of this name: remove it first. What there is stands in the challenge."""
        challenge, asked = self.get_object(), parse(shapes.FileUploadSerializer, request)
        made = services.add_file(challenge, asked["file"], actor=request.user, name=asked.get("name", ""))
        return Response(shapes.FileSerializer(made).data, status=201)

    @extend_schema(summary="Remove a file", responses={204: None}, parameters=[FILE])
    @action(detail=True, methods=["delete"], url_path=rf"files/(?P<file>{UUID})")
    def remove_file(self, request: Request, slug: str, file: str) -> Response:
        found = self.get_object().files.filter(pk=file).first()
        if found is None:
            raise NotFound("There is no such file.")
        services.remove_file(found, actor=request.user)
        return Response(status=204)

    @extend_schema(summary="Who fetched its files last", responses=shapes.DownloadSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def downloads(self, request: Request, slug: str) -> Response:
        """The newest 500, in the events that one sees."""
        events = Event.objects.visible_to(request.user).order_by().values("pk")
        rows = FileDownload.objects.filter(file__challenge=self.get_object(), entry__event__in=events)
        rows = rows.select_related("file", "team", "entry__event")[:LATEST]
        return Response(shapes.DownloadSerializer(rows, many=True).data)

    def _shown(self, slug: str) -> Any:
        fresh = self.get_queryset().get(slug=slug)
        return self.get_serializer(fresh).data


class EntryViewSet(HubViewSet):
    """Challenges in events: offered by organisers, played by teams."""

    queryset = EventChallenge.objects.select_related("event__region", "challenge").prefetch_related(
        "requires", "allowed_teams"
    )
    serializer_class = shapes.EntrySerializer
    filterset_class = filters.EntryFilter
    ordering_fields = ("position", "created_at")
    lookup_value_regex = NUMBER
    verbs: ClassVar[dict[str, str]] = {
        "list": "events.view_any",
        "retrieve": "events.view",
        "submit": "events.play",
        "hint": "events.play",
        "file": "events.play",
        "*": "events.change",
    }

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """What is seen follows the event; the services say who may change it."""
        if request.method not in SAFE_METHODS and self.action not in ("submit", "hint"):
            super().check_object_permissions(request, obj)

    @extend_schema(
        summary="Offer a challenge in an event",
        request=shapes.EntryCreateSerializer,
        responses={201: shapes.EntrySerializer},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        asked = parse(shapes.EntryCreateSerializer, request)
        entry = services.add_entry(
            _seen(asked.pop("event"), request), asked.pop("challenge"), actor=request.user, **asked
        )
        return Response(
            shapes.EntrySerializer(entry).data, status=201, headers={"Location": f"{request.path}/{entry.pk}"}
        )

    @extend_schema(summary="Show a challenge as one's team plays it", responses=shapes.PlaySerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Without a team in the event: as those see it who look after it."""
        entry = self.get_object()
        participation = services.participation_of(entry.event, request.user)
        return Response(shapes.PlaySerializer(play_of(entry.event, entry, participation)).data)

    @extend_schema(request=shapes.EntrySerializer, responses=shapes.EntrySerializer)
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        entry = self.get_object()
        asked = shapes.EntrySerializer(entry, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        changed = services.update_entry(entry, actor=request.user, **asked.validated_data)
        return Response(shapes.EntrySerializer(changed).data)

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        """409 `entry_played` when a team has answered it: hide it then."""
        services.remove_entry(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(summary="Answer it", request=shapes.FlagAnswerSerializer, responses=shapes.AnsweredSerializer)
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, pk: str) -> Response:
        """429 after too many answers in a minute; a wrong answer is a 200 that says so."""
        asked, agent = parse(shapes.FlagAnswerSerializer, request), request.headers.get("User-Agent", "")
        try:
            answered = services.answer_entry(int(pk), actor=request.user, answer=asked["answer"], user_agent=agent)
        except (Conflict, NotAllowed):
            self.get_object()  # a 404 for those who do not even see it
            raise
        return Response(vars(answered))

    @extend_schema(
        summary="Take a hint for its cost", request=shapes.TakeHintSerializer, responses=shapes.PlaySerializer
    )
    @action(detail=True, methods=["post"])
    def hint(self, request: Request, pk: str) -> Response:
        """Once for the whole team; again it costs nothing. 409 `too_few_points`."""
        asked, entry = parse(shapes.TakeHintSerializer, request), self.get_object()
        services.unlock_hint(entry.event, entry.challenge.slug, asked["hint"], actor=request.user)
        participation = services.participation_of(entry.event, request.user)
        return Response(shapes.PlaySerializer(play_of(entry.event, entry, participation)).data)

    @extend_schema(
        summary="Fetch a file of it",
        parameters=[FILE],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True, methods=["get"], url_path=rf"files/(?P<file>{UUID})")
    def file(self, request: Request, pk: str, file: str) -> HttpResponseBase:
        """For those whose team plays it; who fetches it is noted."""
        entry = self.get_object()
        return as_download(services.fetch_file(entry.event, entry.challenge.slug, file, actor=request.user))


class AnnouncementViewSet(HubViewSet):
    """What organisers tell the participants of events, or everybody."""

    queryset = Announcement.objects.select_related("event__region", "region")
    serializer_class = shapes.AnnouncementSerializer
    filterset_class = filters.AnnouncementFilter
    ordering_fields = ("created_at",)
    lookup_value_regex = NUMBER
    verbs: ClassVar[dict[str, str]] = {
        "list": "events.view",
        "retrieve": "events.view",
        "read": "events.read",
        "unread": "events.view",
        "*": "events.change",
    }

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """Who reads it follows the queryset, who may withdraw it the event: see the service."""

    def get_queryset(self) -> QuerySet[Any]:
        seen = AnnouncementRead.objects.filter(user=self.request.user.pk).values("announcement")
        visible: Any = super().get_queryset()
        return visible.with_read(seen)

    @extend_schema(summary="Tell the participants of an event, or everybody")
    @idempotent
    def create(self, request: Request) -> Response:
        asked = parse(shapes.AnnouncementSerializer, request)
        event: Event | None = asked.pop("event", None)
        if event is not None:
            _seen(event, request)
        told = services.announce(actor=request.user, event=event, **asked)
        answer = shapes.AnnouncementSerializer(told, context={"request": request}).data
        return Response(answer, status=201, headers={"Location": f"{request.path}/{told.pk}"})

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        services.withdraw_announcement(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(summary="How many one has not read yet", responses=shapes.UnreadSerializer)
    @action(detail=False, methods=["get"], pagination_class=None, filterset_class=None, filter_backends=())
    def unread(self, request: Request) -> Response:
        return Response({"unread_count": services.unread_count(request.user)})

    @extend_schema(summary="Note that one has read it", request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def read(self, request: Request, pk: str) -> Response:
        services.mark_read(self.get_object(), actor=request.user)
        return Response(status=204)
