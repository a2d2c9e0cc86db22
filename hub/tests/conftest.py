"""People for the tests of the plumbing; the accounts app is known here only as Django's user model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def person(db: None) -> Callable[..., Any]:
    """Make a user in a role."""
    from django.contrib.auth import get_user_model  # Django is not set up yet when pytest reads this file
    from django.contrib.auth.models import Group

    def make(name: str, role: str = "Player") -> Any:
        user = get_user_model().objects.create_user(username=name, email=f"{name}@example.org", password=None)
        user.groups.add(Group.objects.get_or_create(name=role)[0])
        return user

    return make


@pytest.fixture(autouse=True)
def _no_findings_from_before() -> None:
    from hub import health

    health._kept.clear()


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A stand-in for a Kubernetes cluster."""
    from .cluster import Cluster

    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def engine(cluster: Any) -> Any:
    """The Kubernetes engine that works on it."""
    from .kubernetes_helpers import engine_of

    return engine_of(cluster)
