"""The accounts API: parse, call one service, answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from accounts import lists, services, tokens
from accounts.models import ApiToken, AuditEntry, RequestEntry, User
from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.views import HubViewSet
from hub.exceptions import Invalid

from . import filters
from .people import PeopleActions
from .serializers import (
    AuditEntrySerializer,
    MeSerializer,
    NewTokenSerializer,
    ProfileSerializer,
    QuotaSerializer,
    RegionsSerializer,
    RequestEntrySerializer,
    RoleSerializer,
    SuspensionSerializer,
    TokenCreateSerializer,
    TokenRotateSerializer,
    TokenSerializer,
    TokenUpdateSerializer,
    UserCreateSerializer,
    UserSerializer,
)


def _parsed(serializer: type[Serializer[Any]], request: Request, *, partial: bool = False) -> dict[str, Any]:
    """The validated input of a request."""
    parsed = serializer(data=request.data, partial=partial)
    parsed.is_valid(raise_exception=True)
    values: dict[str, Any] = parsed.validated_data
    return values


def _asker(request: Request) -> User:
    """The person of an authenticated request."""
    user = request.user
    if isinstance(user, AnonymousUser):  # the view's permission classes let nobody anonymous come here
        raise TypeError("an authenticated request is needed")
    return user


@extend_schema_view(
    list=extend_schema(summary="List users (others than oneself: Admin only)"),
    retrieve=extend_schema(summary="Show a user"),
)
class UserViewSet(PeopleActions, HubViewSet):
    """Users, their roles, regions and quotas."""

    queryset = User.objects.all()
    serializer_class = UserSerializer
    filterset_class = filters.UserFilter
    ordering_fields = orders_of(lists.USERS)
    version_fields = (*services.PROFILE_FIELDS, "username", "role", "is_active", "suspended_at")
    ordering = ("username",)
    lookup_value_regex = r"\d+"
    verbs = {
        "list": "users.view",
        "retrieve": "users.view",
        "me": "users.view",
        "create": "users.create",
        "partial_update": "users.change",
        "role": "roles.change",
        "regions": "roles.change",
        "quota": "quotas.change",
        "password": "users.reset",
        "verify": "users.reset",
        "unlock": "users.reset",
        "log_out": "users.reset",
        "remove_factors": "users.reset",
        "purge": "users.purge",
        "invite": "users.create",
        "*": "users.suspend",
    }

    def get_queryset(self) -> QuerySet[User]:
        users: QuerySet[User] = super().get_queryset()
        return users.with_access().select_related("quota")  # type: ignore[attr-defined]  # our queryset, seen as Django's

    @extend_schema(summary="Create a user", request=UserCreateSerializer, responses={201: UserSerializer})
    def create(self, request: Request) -> Response:
        values = _parsed(UserCreateSerializer, request)
        user = services.create_user(values.pop("username"), actor=_asker(request), **values)
        return self._answer(user, status.HTTP_201_CREATED)

    @extend_schema(summary="Change a user's profile", request=ProfileSerializer, responses=UserSerializer)
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        values = _parsed(ProfileSerializer, request, partial=True)
        return self._answer(services.update_profile(self.get_object(), actor=_asker(request), **values))

    @extend_schema(methods=["get"], summary="Show oneself and what one may do", responses=MeSerializer)
    @extend_schema(
        methods=["patch"], summary="Change one's own profile", request=ProfileSerializer, responses=MeSerializer
    )
    @action(detail=False, methods=["get", "patch"])
    def me(self, request: Request) -> Response:
        user = _asker(request)
        if request.method == "PATCH":
            services.update_profile(user, actor=user, **_parsed(ProfileSerializer, request, partial=True))
        return Response(MeSerializer(user).data)

    @extend_schema(summary="Give a user a role", request=RoleSerializer, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def role(self, request: Request, pk: str) -> Response:
        values = _parsed(RoleSerializer, request)
        return self._answer(services.set_role(self.get_object(), values["role"], actor=_asker(request)))

    @extend_schema(summary="Limit an Operator to regions", request=RegionsSerializer, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def regions(self, request: Request, pk: str) -> Response:
        values = _parsed(RegionsSerializer, request)
        return self._answer(services.set_regions(self.get_object(), values["regions"], actor=_asker(request)))

    @extend_schema(summary="Set a user's own limits", request=QuotaSerializer, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def quota(self, request: Request, pk: str) -> Response:
        user = self.get_object()
        services.set_quota(user, actor=_asker(request), **_parsed(QuotaSerializer, request))
        return self._answer(user)

    @extend_schema(summary="Suspend an account", request=SuspensionSerializer, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        values = _parsed(SuspensionSerializer, request)
        return self._answer(services.suspend_user(self.get_object(), reason=values["reason"], actor=_asker(request)))

    @extend_schema(summary="Lift a suspension", request=None, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def unsuspend(self, request: Request, pk: str) -> Response:
        return self._answer(services.unsuspend_user(self.get_object(), actor=_asker(request)))

    @extend_schema(summary="Close an account", request=None, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def deactivate(self, request: Request, pk: str) -> Response:
        return self._answer(services.deactivate_user(self.get_object(), actor=_asker(request)))

    @extend_schema(summary="Open a closed account", request=None, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: str) -> Response:
        return self._answer(services.activate_user(self.get_object(), actor=_asker(request)))

    def _answer(self, user: User, code: int = status.HTTP_200_OK) -> Response:
        fresh = User.objects.with_access().select_related("quota").get(pk=user.pk)
        self.shown = fresh
        return Response(UserSerializer(fresh).data, status=code)


@extend_schema_view(
    list=extend_schema(summary="List one's tokens (an Admin: everybody's)"),
    retrieve=extend_schema(summary="Show a token, without its secret"),
)
class TokenViewSet(HubViewSet):
    """API tokens. The secret is in the answer that made it, and nowhere else."""

    queryset = ApiToken.objects.select_related("user")
    serializer_class = TokenSerializer
    filterset_class = filters.TokenFilter
    ordering_fields = ("name", "created", "expiry", "last_used_at")
    version_fields = ("name", "is_enabled", "scopes", "allowed_networks", "device_groups", "expiry")
    ordering = ("name", "id")
    lookup_value_regex = r"\d+"
    verbs = {"list": "tokens.view", "retrieve": "tokens.view", "create": "tokens.own", "*": "tokens.change"}

    @extend_schema(summary="Make a token", request=TokenCreateSerializer, responses={201: NewTokenSerializer})
    def create(self, request: Request) -> Response:
        values = _parsed(TokenCreateSerializer, request)
        asker = _asker(request)
        owner = _owner(values.pop("user", ""), asker)
        return _with_secret(*tokens.create_token(owner, actor=asker, **values))

    @extend_schema(summary="Switch a token off or on", request=TokenUpdateSerializer, responses=TokenSerializer)
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        values = _parsed(TokenUpdateSerializer, request)
        self.shown = tokens.set_token_enabled(self.get_object(), values["is_enabled"], actor=_asker(request))
        return Response(TokenSerializer(self.shown).data)

    @extend_schema(summary="Revoke a token", responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        tokens.revoke_token(self.get_object(), actor=_asker(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Replace a token by a new one of the same rights",
        request=TokenRotateSerializer,
        responses={201: NewTokenSerializer},
    )
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        overlap = timedelta(seconds=_parsed(TokenRotateSerializer, request)["overlap_seconds"])
        return _with_secret(*tokens.rotate_token(self.get_object(), actor=_asker(request), overlap=overlap))


@extend_schema_view(
    list=extend_schema(summary="Read the audit trail"), retrieve=extend_schema(summary="Show an audit entry")
)
class AuditViewSet(HubViewSet):
    """The audit trail, newest first. Read only."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = filters.AuditFilter
    ordering_fields = orders_of(lists.AUDIT, "at")
    ordering = ("-id",)
    lookup_value_regex = r"\d+"
    verbs = {"*": "audit.view"}


@extend_schema_view(
    list=extend_schema(summary="Read the log of requests"), retrieve=extend_schema(summary="Show a request of the log")
)
class RequestViewSet(HubViewSet):
    """Every request, newest first. Read only."""

    queryset = RequestEntry.objects.all()
    serializer_class = RequestEntrySerializer
    filterset_class = filters.RequestFilter
    ordering_fields = orders_of(lists.REQUESTS, "at")
    ordering = ("-id",)
    lookup_value_regex = r"\d+"
    verbs = {"*": "settings.view"}


def _owner(username: str, asker: User) -> User:
    """Whose token it is to be. Whether the asker may is checked by the service; here he learns no stranger's name."""
    if not username or username == asker.username:
        return asker
    found = User.objects.visible_to(asker).filter(username=username).first()
    if found is None:
        raise Invalid("There is no such user.", field="user")
    return found


def _with_secret(token: ApiToken, plain: str) -> Response:
    answer = {**TokenSerializer(token).data, "token": plain}
    return Response(answer, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})
