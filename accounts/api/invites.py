"""Invitations: those that were made, and taking one back. `users/invite` makes them."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import invites, lists
from accounts.models import Invite
from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.views import HubViewSet

from . import filters
from .auth import asker
from .serializers import InviteRowSerializer


@extend_schema_view(
    list=extend_schema(summary="List invitations"),
    retrieve=extend_schema(summary="Show an invitation, without its link"),
)
class InviteViewSet(HubViewSet):
    """Invitations without their links: those are in the answer that made them and nowhere else."""

    queryset = Invite.objects.select_related("created_by", "used_by")
    serializer_class = InviteRowSerializer
    filterset_class = filters.InviteFilter
    ordering_fields = orders_of(lists.INVITES)
    version_fields = ("used_at",)
    ordering = ("-created_at",)
    lookup_value_regex = r"\d+"
    verbs: ClassVar[dict[str, str]] = {"*": "users.create"}

    @extend_schema(summary="Take back an invitation that nobody used", responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        invites.revoke_invite(self.get_object(), actor=asker(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
