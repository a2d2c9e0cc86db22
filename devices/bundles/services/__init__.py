"""What people do with bundles: one function per verb, for pages, API, admin and commands alike."""

from .changes import (
    Consequences,
    consequences,
    delete_bundle,
    forget_abandoned,
    invalidate_bundle,
    running_on,
    update_bundle,
)
from .checks import Verified, verify_bundle
from .cleaning import forget_expired, preview_expired
from .publishers import add_publisher, set_publisher_enabled
from .uploads import append_piece, finish_upload, reserve_bundle, upload_bundle

__all__ = [
    "Consequences",
    "Verified",
    "add_publisher",
    "append_piece",
    "consequences",
    "delete_bundle",
    "finish_upload",
    "forget_abandoned",
    "forget_expired",
    "invalidate_bundle",
    "preview_expired",
    "reserve_bundle",
    "running_on",
    "set_publisher_enabled",
    "update_bundle",
    "upload_bundle",
    "verify_bundle",
]
