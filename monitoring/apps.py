"""The monitoring app."""

from __future__ import annotations

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Samples, charts, alerts, errors."""

    name = "monitoring"
    verbose_name = "Monitoring"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from hub import metering, tallies
        from hub.nodes import agent

        from . import keeping, machine_figures, own_subjects, sampler, subjects
        from .alerts import own_conditions
        from .errors import store as errors

        agent.register_child("sampler", sampler.run_forever)
        subjects.register("node", own_subjects.find_nodes)
        tallies.register(errors.TALLY, errors.nothing)
        metering.register("errors", errors.collect)
        machine_figures.register()
        keeping.register()
        own_conditions.register_own()
