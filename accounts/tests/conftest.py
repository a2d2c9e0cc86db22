"""The people of every test, and clients that speak as one. Models are imported late: this is loaded before Django."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rest_framework.test import APIClient

    from accounts.models import User


def _make(**values: Any) -> User:
    from .factories import UserFactory

    return UserFactory(**values)


@pytest.fixture
def admin() -> User:
    return _make(username="root-lady", role="Admin")


@pytest.fixture
def owner() -> User:
    return _make(username="owner")


@pytest.fixture
def teammate() -> User:
    return _make(username="teammate")


@pytest.fixture
def stranger() -> User:
    return _make(username="stranger")


@pytest.fixture
def api() -> Callable[[User | None], APIClient]:
    """An API client logged in as somebody; None for nobody."""
    from rest_framework.test import APIClient

    def client_of(user: User | None) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_login(user)
        return client

    return client_of


@pytest.fixture(autouse=True)
def _no_counters_from_before() -> None:
    """Rate limits of one test must not reach the next."""
    from django.core.cache import cache

    cache.clear()
