"""Teams and events over HTTP: parse, call one service, answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.http import Http404, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.auth import asker
from accounts.models import User
from accounts.permissions import can
from challenges import lists, scoring, services
from challenges.models import Event, Participation, Team
from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.idempotency import idempotent
from hub.api.shapes import parse
from hub.api.views import HubViewSet
from hub.exceptions import Invalid, NotFound

from . import filters
from . import serializers as shapes
from .views import NUMBER, SLUG

moved = extend_schema(request=None, responses=shapes.ChallengeEventSerializer)
given_reason = extend_schema(request=shapes.BanReasonSerializer, responses=shapes.ChallengeEventSerializer)
of_member = extend_schema(request=shapes.PersonSerializer, responses=shapes.TeamSerializer)


def person(username: str, otherwise: str) -> User:
    """Somebody by his name; nobody is answered like somebody whom it does not concern."""
    found = User.objects.filter(username=username).first()
    if found is None:
        raise NotFound(otherwise, field="user")
    return found


class TeamViewSet(HubViewSet):
    """Teams: one's own, and those that staff looks after."""

    queryset = Team.objects.select_related("captain", "region").prefetch_related("memberships__user")
    serializer_class = shapes.TeamSerializer
    filterset_class = filters.TeamFilter
    ordering_fields = orders_of(lists.TEAMS)
    lookup_value_regex = NUMBER
    version_fields = ("name", "description", "region_id", "max_members", "is_locked", "captain_id")
    verbs: ClassVar[dict[str, str]] = {
        "list": "teams.view",
        "retrieve": "teams.view",
        "create": "teams.create",
        "join": "teams.create",
        "leave": "teams.create",
        "ban": "teams.moderate",
        "unban": "teams.moderate",
        "move": "teams.moderate",
        "*": "teams.change",
    }

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """Whoever sees a team may try to leave it."""
        if self.action != "leave":
            super().check_object_permissions(request, obj)

    @extend_schema(
        summary="Make a team and lead it", request=shapes.TeamCreateSerializer, responses={201: shapes.TeamSerializer}
    )
    @idempotent
    def create(self, request: Request) -> Response:
        team = services.create_team(actor=request.user, **parse(shapes.TeamCreateSerializer, request))
        return Response(self._shown(team), status=201, headers={"Location": f"{request.path}/{team.pk}"})

    @extend_schema(request=shapes.TeamUpdateSerializer, responses=shapes.TeamSerializer)
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        team = self.get_object()
        asked = shapes.TeamUpdateSerializer(team, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        return Response(self._shown(services.update_team(team, actor=request.user, **asked.validated_data)))

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        """409 `team_has_played` when its results stand in an event."""
        services.delete_team(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(
        summary="Join the team that has this code",
        request=shapes.JoinSerializer,
        responses={200: shapes.TeamSerializer, 404: None},
    )
    @action(detail=False, methods=["post"])
    def join(self, request: Request) -> Response:
        """429 after ten wrong codes."""
        team = services.join_team(parse(shapes.JoinSerializer, request)["code"], actor=request.user)
        return Response(self._shown(team))

    @extend_schema(summary="Leave it", request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def leave(self, request: Request, pk: str) -> Response:
        """409 `captain_leaves`: hand it over first. The last one takes it along."""
        services.leave_team(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(summary="Make another join code", request=None, responses=shapes.TeamSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-code")
    def rotate_code(self, request: Request, pk: str) -> Response:
        return Response(self._shown(services.rotate_code(self.get_object(), actor=request.user)))

    @of_member
    @extend_schema(summary="Take somebody out of it")
    @action(detail=True, methods=["post"])
    def kick(self, request: Request, pk: str) -> Response:
        team, somebody = self.get_object(), self._person(request, "This person is not in the team.")
        services.kick_member(team, somebody, actor=request.user)
        return Response(self._shown(team))

    @of_member
    @extend_schema(summary="Make another member its captain")
    @action(detail=True, methods=["post"], url_path="hand-over")
    def hand_over(self, request: Request, pk: str) -> Response:
        team, somebody = self.get_object(), self._person(request, "This person is not in the team.")
        return Response(self._shown(services.hand_over(team, somebody, actor=request.user)))

    @of_member
    @extend_schema(summary="Put somebody into it, out of the team he is in")
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str) -> Response:
        team, somebody = self.get_object(), self._person(request, "There is nobody of this name.")
        services.move_member(somebody, team, actor=request.user)
        return Response(self._shown(team))

    @extend_schema(summary="Let it play nowhere", request=shapes.BanReasonSerializer, responses=shapes.TeamSerializer)
    @action(detail=True, methods=["post"])
    def ban(self, request: Request, pk: str) -> Response:
        asked = parse(shapes.BanReasonSerializer, request)
        return Response(self._shown(services.ban_team(self.get_object(), actor=request.user, **asked)))

    @extend_schema(summary="Let it play again", request=None, responses=shapes.TeamSerializer)
    @action(detail=True, methods=["post"])
    def unban(self, request: Request, pk: str) -> Response:
        return Response(self._shown(services.unban_team(self.get_object(), actor=request.user)))

    def _person(self, request: Request, otherwise: str) -> User:
        return person(parse(shapes.PersonSerializer, request)["username"], otherwise)

    def _shown(self, team: Team) -> Any:
        return self.get_serializer(self.queryset.all().get(pk=team.pk)).data


@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class EventViewSet(HubViewSet):
    """Events: their states, teams, boards and scores."""

    queryset = Event.objects.select_related("region", "node")
    serializer_class = shapes.ChallengeEventSerializer
    filterset_class = filters.EventFilter
    ordering_fields = orders_of(lists.EVENTS, "created_at")
    lookup_field = "slug"
    lookup_value_regex = SLUG
    version_fields = ("name", "status", "updated_at")
    verbs: ClassVar[dict[str, str]] = {
        "list": "events.view",
        "retrieve": "events.view",
        "board": "events.view",
        "scoreboard": "events.view",
        "history": "events.view",
        "score": "events.play",
        "enter": "events.play",
        "withdraw": "events.play",
        "teams": "events.moderate",
        "ban_team": "events.moderate",
        "unban_team": "events.moderate",
        "reset_password": "events.reset",
        "approve": "events.approve",
        "reject": "events.approve",
        "*": "events.change",
    }

    def get_object(self) -> Any:
        """What a crowd looks at again and again is found by a statement that is kept."""
        if self.action not in ("board", "scoreboard", "history", "score"):
            return super().get_object()
        self.shown = event = services.find_event(self.request.user, self.kwargs["slug"])
        if event is None:
            raise Http404
        return event

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """Who sees an event follows the queryset, who plays it his participation."""
        playing = self.action in ("enter", "withdraw")
        if self.action in ("teams", "organisers") or (request.method not in SAFE_METHODS and not playing):
            super().check_object_permissions(request, obj)

    @extend_schema(summary="Make an event", responses={201: shapes.ChallengeEventSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """A draft; scheduled at once when one may approve."""
        event = services.create_event(actor=request.user, **parse(shapes.ChallengeEventSerializer, request))
        answer = shapes.ChallengeEventSerializer(event).data
        return Response(answer, status=201, headers={"Location": f"{request.path}/{event.slug}"})

    @extend_schema(request=shapes.ChallengeEventSerializer, responses=shapes.ChallengeEventSerializer)
    @conditional
    def partial_update(self, request: Request, slug: str) -> Response:
        event = self.get_object()
        asked = shapes.ChallengeEventSerializer(event, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        changed = services.update_event(event, actor=request.user, **asked.validated_data)
        return Response(shapes.ChallengeEventSerializer(changed).data)

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, slug: str) -> Response:
        """409 `event_has_teams`: cancel it then."""
        services.delete_event(self.get_object(), actor=request.user)
        return Response(status=204)

    @moved
    @extend_schema(summary="Ask for approval")
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, slug: str) -> Response:
        return self._move(request, services.submit_for_approval)

    @moved
    @extend_schema(summary="Approve a draft")
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, slug: str) -> Response:
        return self._move(request, services.approve_event)

    @given_reason
    @extend_schema(summary="Send a draft back")
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, slug: str) -> Response:
        return self._move(request, services.reject_event, **parse(shapes.BanReasonSerializer, request))

    @moved
    @extend_schema(summary="Begin before its time")
    @action(detail=True, methods=["post"])
    def start(self, request: Request, slug: str) -> Response:
        return self._move(request, services.start_event)

    @moved
    @extend_schema(summary="Hold the play")
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, slug: str) -> Response:
        return self._move(request, services.pause_event)

    @moved
    @extend_schema(summary="Go on")
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, slug: str) -> Response:
        return self._move(request, services.resume_event)

    @moved
    @extend_schema(summary="End it now")
    @action(detail=True, methods=["post"])
    def end(self, request: Request, slug: str) -> Response:
        return self._move(request, services.end_event)

    @given_reason
    @extend_schema(summary="Call it off before it has begun")
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, slug: str) -> Response:
        return self._move(request, services.cancel_event, **parse(shapes.BanReasonSerializer, request))

    @extend_schema(summary="Enter it with one's team", request=None, responses=shapes.ParticipationSerializer)
    @action(detail=True, methods=["post"])
    def enter(self, request: Request, slug: str) -> Response:
        """Once for all members; again changes nothing."""
        entered = services.register(self.get_object(), actor=request.user)
        return Response(shapes.ParticipationSerializer(entered).data)

    @extend_schema(summary="Leave it before it begins", request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, slug: str) -> Response:
        services.withdraw(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(summary="The challenges, as one's team sees them", responses=shapes.CardSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def board(self, request: Request, slug: str) -> Response:
        event = self.get_object()
        participation = self._seen_as(request, event)
        return Response([vars(card) for card in services.cards(event, participation)])

    @extend_schema(summary="Who stands where", responses=shapes.ScoreboardSerializer)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def scoreboard(self, request: Request, slug: str) -> HttpResponse:
        """A few seconds old at most."""
        event = self.get_object()
        rows = scoring.board_as_json(event, is_live=can(request.user, "events.change", event))
        is_frozen = b"true" if event.is_frozen else b"false"
        return HttpResponse(b'{"is_frozen":%b,"standings":%b}' % (is_frozen, rows), content_type="application/json")

    @extend_schema(summary="The first ten over time", responses=shapes.ScoreHistorySerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def history(self, request: Request, slug: str) -> Response:
        """What each had after every change; frozen like the scoreboard."""
        event = self.get_object()
        lines = scoring.history(event, is_live=can(request.user, "events.change", event))
        return Response(
            [{**line, "steps": [{"at": at, "points": points} for at, points in line["steps"]]} for line in lines]
        )

    @extend_schema(summary="The own score, line by line", responses=shapes.ScoreSerializer)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def score(self, request: Request, slug: str) -> Response:
        event = self.get_object()
        participation = services.participation_of(event, request.user)
        if participation is None:
            raise NotFound("You take no part in this event.")
        rows = scoring.lines(participation)
        return Response({"total": rows[-1].total if rows else 0, "lines": [vars(each) for each in rows]})

    @extend_schema(summary="The teams of an event", responses=shapes.ParticipationSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def teams(self, request: Request, slug: str) -> Response:
        entered = self.get_object().participations.select_related("team", "event")
        return Response(shapes.ParticipationSerializer(entered, many=True).data)

    @extend_schema(
        summary="Take a team out of it", request=shapes.EventBanSerializer, responses=shapes.ParticipationSerializer
    )
    @action(detail=True, methods=["post"], url_path="ban-team")
    def ban_team(self, request: Request, slug: str) -> Response:
        asked = parse(shapes.EventBanSerializer, request)
        banned = services.ban_from_event(self._of(asked["team"]), actor=request.user, reason=asked["reason"])
        return Response(shapes.ParticipationSerializer(banned).data)

    @extend_schema(
        summary="Let a team play on", request=shapes.EventTeamSerializer, responses=shapes.ParticipationSerializer
    )
    @action(detail=True, methods=["post"], url_path="unban-team")
    def unban_team(self, request: Request, slug: str) -> Response:
        asked = parse(shapes.EventTeamSerializer, request)
        playing = services.unban_from_event(self._of(asked["team"]), actor=request.user)
        return Response(shapes.ParticipationSerializer(playing).data)

    @extend_schema(
        summary="Give a player a new password", request=shapes.PlayerPasswordSerializer, responses={204: None}
    )
    @action(detail=True, methods=["post"], url_path="reset-password")
    def reset_password(self, request: Request, slug: str) -> Response:
        """Of the players of its teams, from its announcement to its end; 429 after ten an hour."""
        services.reset_player(
            self.get_object(), actor=asker(request), **parse(shapes.PlayerPasswordSerializer, request)
        )
        return Response(status=204)

    @extend_schema(
        summary="Give a team points, or take some", request=shapes.AwardSerializer, responses=shapes.ScoreSerializer
    )
    @action(detail=True, methods=["post"])
    def award(self, request: Request, slug: str) -> Response:
        asked = parse(shapes.AwardSerializer, request)
        participation = self._of(asked.pop("team"))
        services.award_points(participation, actor=request.user, **asked)
        rows = scoring.lines(participation, is_live=True)
        return Response({"total": rows[-1].total, "lines": [vars(each) for each in rows]})

    @extend_schema(
        summary="Let a participant look after its teams",
        request=shapes.MaybePersonSerializer,
        responses=shapes.ChallengeEventSerializer,
    )
    @action(detail=True, methods=["post"])
    def administrator(self, request: Request, slug: str) -> Response:
        event, name = self.get_object(), parse(shapes.MaybePersonSerializer, request)["username"]
        somebody = User.objects.filter(username=name).first() if name is not None else None
        if name is not None and somebody is None:
            raise Invalid("This person takes no part in the event.", field="user")
        return Response(
            shapes.ChallengeEventSerializer(services.set_administrator(event, somebody, actor=request.user)).data
        )

    @extend_schema(summary="Who runs it", responses=shapes.OrganisersSerializer)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def organisers(self, request: Request, slug: str) -> Response:
        return self._organisers(self.get_object())

    @organisers.mapping.put
    @extend_schema(
        summary="Say who runs it", request=shapes.OrganisersSerializer, responses=shapes.OrganisersSerializer
    )
    def set_organisers(self, request: Request, slug: str) -> Response:
        """In place of those there were: Operators and Admins."""
        event, names = self.get_object(), set(parse(shapes.OrganisersSerializer, request)["usernames"])
        people = list(User.objects.filter(username__in=names))
        if unknown := names - {each.username for each in people}:
            raise Invalid(f"{min(unknown)} has no role that runs events.", field="usernames")
        services.update_event(event, actor=request.user, organisers=people)
        return self._organisers(event)

    def _organisers(self, event: Event) -> Response:
        names = event.organisers.order_by("username").values_list("username", flat=True)
        return Response({"usernames": list(names)})

    def _of(self, team: int) -> Participation:
        event = self.get_object()
        found = Participation.objects.filter(event=event, team=team).select_related("team", "event__region").first()
        if found is None:
            raise NotFound("This team takes no part in the event.", field="team")
        return found

    def _seen_as(self, request: Request, event: Event) -> Participation | None:
        participation = services.participation_of(event, request.user)
        if participation is None and not can(request.user, "events.view_any"):
            raise NotFound("You take no part in this event.")
        return participation

    def _move(self, request: Request, move: Callable[..., Event], **values: Any) -> Response:
        return Response(shapes.ChallengeEventSerializer(move(self.get_object(), actor=request.user, **values)).data)
