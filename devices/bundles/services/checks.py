"""Look whether a stored bundle is still the file that was uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.permissions import require
from devices.bundles import store
from devices.bundles.models import Bundle
from devices.bundles.serving import FileGone
from devices.packaging.digests import blocks_of, digest
from hub.exceptions import Conflict

if TYPE_CHECKING:
    from accounts.actors import Asker


@dataclass(frozen=True)
class Verified:
    """Whether the stored file is whole, and is the one that was asked about; `checksum` is the recorded SHA-256."""

    is_whole: bool
    is_asked: bool
    checksum: str

    @property
    def valid(self) -> bool:
        return self.is_whole and self.is_asked


def verify_bundle(bundle: Bundle, *, actor: Asker, checksum: str = "") -> Verified:
    """Read the stored file to its end and compare. `checksum` is the SHA-256 of the file that somebody has."""
    require(actor, "bundles.change", bundle)
    if not bundle.stored_name:
        raise Conflict("It is not uploaded yet.", code="not_ready")
    try:
        with store.opened(bundle.stored_name) as file:
            found = digest(blocks_of(file)).sha256
    except FileNotFoundError:
        raise FileGone("Its file is not in the store any more.") from None
    return Verified(found == bundle.stored_sha256, checksum.lower() in ("", bundle.sha256), bundle.sha256)
