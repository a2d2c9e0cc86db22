"""Register, log in, refresh, log out: the API's own door, by signed tokens."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib.auth.models import AnonymousUser, update_last_login
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import jwt, own_data, registering, signing_in
from accounts.models import User
from hub.api.throttles import ThrottledView
from hub.exceptions import NotAllowed

from .serializers import MeSerializer

NEVER_KEPT = {"Cache-Control": "no-store"}


class LoginSerializer(serializers.Serializer[Any]):
    """Name or e-mail address, password, and the second factor of who has one."""

    username = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)
    code = serializers.CharField(
        max_length=20, required=False, allow_blank=True, help_text="Of the authenticator app, or a recovery code."
    )


class RefreshSerializer(serializers.Serializer[Any]):
    """The refresh token of the last answer."""

    refresh = serializers.CharField(max_length=2000)


class RegisterSerializer(serializers.Serializer[Any]):
    """A new account."""

    username = serializers.CharField(max_length=150)
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)
    invite = serializers.CharField(
        max_length=100, required=False, help_text="The last part of an invitation's link, where one is needed."
    )
    region = serializers.CharField(
        max_length=50, required=False, allow_blank=True, help_text="The slug of the region where one plays."
    )

    def get_fields(self) -> dict[str, Any]:
        """With what other apps let a person ask for in the same step."""
        asked = {name: field for wish in registering.WISHES for name, field in wish.fields().items()}
        return super().get_fields() | {
            name: serializers.CharField(
                max_length=field.max_length, required=False, allow_blank=True, help_text=str(field.help_text)
            )
            for name, field in asked.items()
        }


class RegisteredSerializer(serializers.Serializer[Any]):
    """The same whether the address was free or not: its owner gets a mail either way."""

    username = serializers.CharField()
    detail = serializers.CharField()


class DeleteSerializer(serializers.Serializer[Any]):
    """The password once more, because nothing brings the account back."""

    password = serializers.CharField(max_length=1024, trim_whitespace=False)


class TokenPairSerializer(serializers.Serializer[Any]):
    """An access token for `Authorization: Bearer`, and a refresh token that works once."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds that the access token works.")
    token_type = serializers.CharField(default="Bearer")


@method_decorator(sensitive_post_parameters(), name="dispatch")
class DoorView(ThrottledView):
    """Open to everybody; what comes in the header is not looked at, so an expired access token does no harm."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class RegisterView(DoorView):
    """Make an account."""

    @extend_schema(summary="Register", request=RegisterSerializer, responses={201: RegisteredSerializer})
    def post(self, request: Request) -> Response:
        values = parsed(RegisterSerializer, request)
        signing_in.register(request._request, **values)
        detail = "Registered. Confirm your address by the link in the mail, then log in."
        return Response({"username": values["username"], "detail": detail}, status=status.HTTP_201_CREATED)


class LoginView(DoorView):
    """Exchange a password for tokens."""

    @extend_schema(summary="Log in", request=LoginSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        values = parsed(LoginSerializer, request)
        user = signing_in.check_password(request._request, values["username"], values["password"])
        signing_in.check_second_factor(user, values.get("code", ""))
        update_last_login(type(user), user)
        return _tokens(jwt.log_in(user, user_agent=request.headers.get("User-Agent", "")))


class RefreshView(DoorView):
    """Exchange a refresh token for new tokens; the old one is used up."""

    @extend_schema(summary="Refresh", request=RefreshSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        return _tokens(jwt.refresh(parsed(RefreshSerializer, request)["refresh"]))


class LogoutView(DoorView):
    """End the login of a refresh token."""

    @extend_schema(summary="Log out", request=RefreshSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        jwt.log_out(parsed(RefreshSerializer, request)["refresh"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(ThrottledView):
    """The asker himself."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(summary="Show who is logged in", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        return Response(MeSerializer(asker(request)).data)


class ExportView(ThrottledView):
    """All that the accounts hold about the asker."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(summary="Export one's data", responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request) -> Response:
        user = asker(request)
        name = f'attachment; filename="{user.pk}.json"'
        headers = {**NEVER_KEPT, "Content-Disposition": name}
        return Response(own_data.export_data(user, actor=user), headers=headers)


@method_decorator(sensitive_post_parameters(), name="dispatch")
class DeleteView(ThrottledView):
    """The end of the asker's account."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(summary="Delete one's account", request=DeleteSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        user = asker(request)
        if user.api_token is not None:
            raise NotAllowed("An API token cannot delete its owner.")
        signing_in.check_password(request._request, user.username, parsed(DeleteSerializer, request)["password"])
        own_data.delete_account(user, actor=user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def parsed(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    parsed = serializer(data=request.data)
    parsed.is_valid(raise_exception=True)
    values: dict[str, Any] = parsed.validated_data
    return values


def asker(request: Request) -> User:
    """The person of an authenticated request."""
    user = request.user
    if isinstance(user, AnonymousUser):  # the view's permission classes let nobody anonymous come here
        raise TypeError("an authenticated request is needed")
    return user


def _tokens(pair: jwt.TokenPair) -> Response:
    return Response({**asdict(pair), "token_type": "Bearer"}, headers=NEVER_KEPT)
