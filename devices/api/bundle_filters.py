"""Filters of bundles, deployments and their targets."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from hub.api.filters import AnyOf, SearchFilterSet

from ..bundles.choices import BundleStatus
from ..bundles.models import Bundle, PublisherKey
from ..deployments.choices import DeploymentKind, DeploymentStatus, TargetStatus
from ..deployments.models import Deployment, DeploymentTarget


def find_bundle(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Bundles by name, version, model or the beginning of their SHA-256."""
    found = Q(name__icontains=text) | Q(version__icontains=text) | Q(model_name__icontains=text)
    return rows.filter(found | Q(sha256__startswith=text.lower()))


def find_publisher(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Keys by the publisher's name or the beginning of their fingerprint."""
    return rows.filter(Q(name__icontains=text) | Q(fingerprint__startswith=text.lower()))


def find_deployment(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Deployments by bundle or description."""
    return rows.filter(
        Q(bundle__name__icontains=text) | Q(bundle__version__icontains=text) | Q(description__icontains=text)
    )


def find_target(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Targets by the device's name or the error."""
    return rows.filter(Q(device__name__icontains=text) | Q(error_message__icontains=text))


class BundleFilter(SearchFilterSet):
    """By name, version, model or digest; by status."""

    find = staticmethod(find_bundle)
    status = django_filters.MultipleChoiceFilter(choices=BundleStatus.choices)
    name = AnyOf(field_name="name")
    version = AnyOf(field_name="version")

    class Meta:
        model = Bundle
        fields: tuple[str, ...] = ()


class PublisherFilter(SearchFilterSet):
    """By name or the beginning of the fingerprint."""

    find = staticmethod(find_publisher)

    class Meta:
        model = PublisherKey
        fields: tuple[str, ...] = ()


class DeploymentFilter(SearchFilterSet):
    """By bundle or description; by status and kind."""

    find = staticmethod(find_deployment)
    status = django_filters.MultipleChoiceFilter(choices=DeploymentStatus.choices)
    kind = django_filters.ChoiceFilter(choices=DeploymentKind.choices)
    bundle = django_filters.UUIDFilter(field_name="bundle_id")

    class Meta:
        model = Deployment
        fields: tuple[str, ...] = ()


class TargetFilter(SearchFilterSet):
    """By device or error; by status."""

    find = staticmethod(find_target)
    status = django_filters.MultipleChoiceFilter(choices=TargetStatus.choices)
    error_code = AnyOf(field_name="error_code")

    class Meta:
        model = DeploymentTarget
        fields: tuple[str, ...] = ()
