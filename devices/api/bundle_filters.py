"""Filters of bundles, deployments and their targets."""

from __future__ import annotations

import django_filters

from hub.api.filters import AnyOf, SearchFilterSet

from ..bundles.choices import BundleStatus
from ..bundles.lists import find_bundle, find_publisher
from ..bundles.models import Bundle, PublisherKey
from ..deployments.choices import DeploymentKind, DeploymentStatus, TargetStatus
from ..deployments.lists import find_deployment, find_target
from ..deployments.models import Deployment, DeploymentTarget


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
    """By name or the beginning of the fingerprint; by whether it is trusted."""

    find = staticmethod(find_publisher)

    class Meta:
        model = PublisherKey
        fields = ("is_enabled",)


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
