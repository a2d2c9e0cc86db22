"""What may be done about a user besides his row: passwords, verification, locks, invitations, purge."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import invites, lockout, second_factor, services, sessions
from hub.api.views import HubViewSet

from .auth import asker, parsed
from .serializers import (
    InvitedSerializer,
    InviteSerializer,
    PasswordSerializer,
    PurgedSerializer,
    PurgeSerializer,
    UserSerializer,
)
from .sessions import EndedSerializer


class PeopleActions(HubViewSet):
    """Mixed into the users' view set, whose `verbs` name these actions."""

    @extend_schema(summary="Give a user a new password", request=PasswordSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def password(self, request: Request, pk: str) -> Response:
        values = parsed(PasswordSerializer, request)
        services.reset_password(self.get_object(), values["password"], actor=asker(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="Vouch for a user's e-mail address", request=None, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, pk: str) -> Response:
        user = services.verify_user(self.get_object(), actor=asker(request))
        return Response(UserSerializer(user).data)

    @extend_schema(summary="Lift the lock after wrong passwords", request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def unlock(self, request: Request, pk: str) -> Response:
        lockout.unlock(self.get_object(), actor=asker(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="Log a user out everywhere", request=None, responses=EndedSerializer)
    @action(detail=True, methods=["post"], url_path="log-out")
    def log_out(self, request: Request, pk: str) -> Response:
        return Response({"ended": sessions.end_all(self.get_object(), actor=asker(request))})

    @extend_schema(summary="Take away a user's second factors", request=None, responses={204: None})
    @action(detail=True, methods=["post"], url_path="remove-factors")
    def remove_factors(self, request: Request, pk: str) -> Response:
        second_factor.remove_factors(self.get_object(), actor=asker(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="Delete every account but Admins", request=PurgeSerializer, responses=PurgedSerializer)
    @action(detail=False, methods=["post"])
    def purge(self, request: Request) -> Response:
        return Response(services.purge_users(parsed(PurgeSerializer, request)["phrase"], actor=asker(request)))

    @extend_schema(summary="Invite somebody by link", request=InviteSerializer, responses={201: InvitedSerializer})
    @action(detail=False, methods=["post"])
    def invite(self, request: Request) -> Response:
        invite, link = invites.create_invite(actor=asker(request), **parsed(InviteSerializer, request))
        answer = {"link": link, "role": invite.role, "note": invite.note, "expires_at": invite.expires_at}
        return Response(InvitedSerializer(answer).data, status=201, headers={"Cache-Control": "no-store"})
