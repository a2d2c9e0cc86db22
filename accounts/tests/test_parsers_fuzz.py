"""Whatever is sent where accounts read text: a refusal of ours or what was meant, never an error nobody foresaw."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as hub_settings
from django.core.exceptions import ValidationError
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIRequestFactory

from accounts import invites, jwt, lockout, scopes, sessions, sign_on
from accounts.authentication import ApiTokenAuthentication, JwtAuthentication
from accounts.jwt import TokenRefused
from accounts.roles import VERBS
from accounts.validators import validate_network, validate_scope, validate_timezone
from hub import oidc
from hub.api.parsers import MOST_DEPTH, is_too_deep
from hub.env import Env, EnvError
from hub.secrets import SecretError, parse_keys, seal, unseal

pytestmark = pytest.mark.django_db

bounded = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SCOPES = st.lists(
    st.one_of(st.sampled_from(sorted(scopes.PLAIN_VERBS)), st.sampled_from(["read", "servers.*"])), max_size=4
)
HEADERS = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=200)


@bounded
@given(plain=st.text(max_size=300), purpose=st.text(max_size=40))
def test_what_is_sealed_opens_for_its_purpose_and_no_other(plain: str, purpose: str) -> None:
    sealed = seal(plain, purpose=purpose)

    assert unseal(sealed, purpose=purpose) == plain
    with pytest.raises(SecretError):
        unseal(sealed, purpose=f"{purpose}!")


@bounded
@given(st.one_of(st.text(max_size=120), st.binary(max_size=80).map(lambda raw: f"k1.{base64.b64encode(raw).decode()}")))
def test_damaged_secret_is_a_secret_error(text: str) -> None:
    with pytest.raises(SecretError):
        unseal(text, purpose="fuzz")


@bounded
@given(
    st.one_of(
        st.text(max_size=120),
        st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=40))).map(
            lambda ring: ",".join(f"{name}:{base64.urlsafe_b64encode(key).decode()}" for name, key in ring)
        ),
    )
)
def test_key_ring_is_read_or_refused(text: str) -> None:
    try:
        ring = parse_keys(text)
    except ValueError:
        return

    assert ring
    assert all(len(key) == 32 for key in ring.values())


@bounded
@given(HEADERS, st.sampled_from(["Token", "Bearer", "bearer", "token", "Basic", ""]))
def test_any_authorization_header_is_nobody_or_refused(text: str, scheme: str) -> None:
    request: Any = APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"{scheme} {text}")
    for kind in (ApiTokenAuthentication, JwtAuthentication):
        with contextlib.suppress(AuthenticationFailed):
            assert kind().authenticate(request) is None


@bounded
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.binary(max_size=40), min_size=3, max_size=3).map(
            lambda parts: ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        ),
    )
)
def test_any_signed_token_is_refused(text: str) -> None:
    assert jwt.user_of(text) is None
    with pytest.raises(TokenRefused):
        jwt.refresh(text)


@bounded
@given(SCOPES, SCOPES, st.sampled_from(sorted(VERBS)))
def test_scopes_within_others_allow_nothing_more(inner: list[str], outer: list[str], verb: str) -> None:
    if scopes.scopes_within(inner, outer) and scopes.scopes_allow(inner, verb):
        assert scopes.scopes_allow(outer, verb)


@bounded
@given(st.text(max_size=60))
def test_validators_refuse_or_take(text: str) -> None:
    for check in (validate_network, validate_scope, validate_timezone):
        try:
            check(text)
        except ValidationError:
            continue
        if check is validate_network:
            ipaddress.ip_network(text.strip(), strict=False)
        if check is validate_scope:
            assert scopes.is_scope(text)


@bounded
@given(st.text(max_size=300))
def test_names_devices_and_invitations_may_be_any_text(text: str) -> None:
    assert lockout.who(text)
    assert isinstance(sessions.device_of(text), str)
    assert invites.find(text) is None


@bounded
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
        max_leaves=8,
    )
)
def test_any_groups_claim_is_a_list_of_names(claim: Any) -> None:
    login = SimpleNamespace(account=SimpleNamespace(extra_data={"userinfo": {"groups": claim}}))
    with override_settings(HUB_OIDC={"groups_claim": "groups"}):
        found = sign_on.groups_of(login)

    assert all(isinstance(name, str) for name in found)


@bounded
@given(st.text(st.characters(exclude_characters="\x00"), max_size=80))
def test_any_table_of_groups_is_read_or_refused(text: str) -> None:
    try:
        table = oidc._roles(Env({"HUB_OIDC_ROLES": text}))
    except EnvError:
        return

    assert set(table.values()) <= set(oidc.ROLES)


@bounded
@given(st.integers(0, 80), st.binary(max_size=40))
def test_depth_of_json_is_told_exactly(depth: int, noise: bytes) -> None:
    text = b'"' + noise.replace(b"\\", b"").replace(b'"', b"") + b'"'

    assert is_too_deep(b"[" * depth + text + b"]" * depth) == (depth > MOST_DEPTH)


def test_ring_of_these_tests_is_the_first_key() -> None:
    """`k1.` above is damage under a key that there is, not an unknown key."""
    assert next(iter(hub_settings.HUB_KEY_RING)) == "1"
