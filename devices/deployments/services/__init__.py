"""What people do with deployments: one function per verb, for pages, API, admin and commands alike."""

from .creation import Chosen, Made, Terms, choose_devices, create_deployment, preview_deployment
from .endings import cancel_deployment, end_for_device, force_quit, retry_failed
from .following import follow_deployments
from .rollback import Way, reached_by, rollback_devices, ways_back

__all__ = [
    "Chosen",
    "Made",
    "Terms",
    "Way",
    "cancel_deployment",
    "choose_devices",
    "create_deployment",
    "end_for_device",
    "follow_deployments",
    "force_quit",
    "preview_deployment",
    "reached_by",
    "retry_failed",
    "rollback_devices",
    "ways_back",
]
