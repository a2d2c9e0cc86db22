"""The devices app."""

from __future__ import annotations

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """Edge devices: identity, heartbeat, logs, bundles, deployments and configuration."""

    name = "devices"
    verbose_name = "Devices"
