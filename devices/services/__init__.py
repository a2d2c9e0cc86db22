"""What people and devices can do; each function checks, locks, changes and records."""

from .enrolment import Enrolled, enrol_device, new_nonce, preauthorise_device
from .groups import create_group, delete_group, set_members, update_group
from .keys import accept_key, promote_key, refuse_key, rotate_key
from .life import (
    accept_device,
    decommission_device,
    reject_device,
    resume_device,
    suspend_device,
    update_device,
)
from .tokens import create_token, revoke_token

__all__ = [
    "Enrolled",
    "accept_device",
    "accept_key",
    "create_group",
    "create_token",
    "decommission_device",
    "delete_group",
    "enrol_device",
    "new_nonce",
    "preauthorise_device",
    "promote_key",
    "refuse_key",
    "reject_device",
    "resume_device",
    "revoke_token",
    "rotate_key",
    "set_members",
    "suspend_device",
    "update_device",
    "update_group",
]
