"""Upload a bundle: take its name, write its pieces, check the whole, seal and store it.

Nothing of it counts before the last step, which may be repeated: a request that dies leaves an upload that goes on
where it was.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.models import User
from accounts.permissions import require
from devices.bundles import store
from devices.bundles.choices import BUNDLE_TRANSITIONS, UPLOAD_PIECE_BYTES, BundleKind, BundleStatus
from devices.bundles.models import Bundle, PublisherKey
from devices.packaging import archives, manifest, signatures
from devices.packaging.digests import Digester, blocks_of
from hub import sealing
from hub.exceptions import Conflict, HubError, Invalid, LimitReached, NotFound

if TYPE_CHECKING:
    from accounts.actors import Asker

STORE_LOCK: Final = 6_021_009  # of those who count what all bundles take
SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
NAME: Final = re.compile(manifest.NAME)
VERSION: Final = re.compile(manifest.VERSION)
DEFAULT_NAME: Final = "default"


class OffsetMismatch(Conflict):
    """A piece does not go where the last one ended."""

    code = "offset_mismatch"


def reserve_bundle(
    *,
    actor: Asker,
    size_bytes: int,
    name: str = "",
    version: str = "",
    sha256: str = "",
    kind: str = BundleKind.ARCHIVE,
    description: str = "",
    device_types: Iterable[str] | None = None,
    manifest: Mapping[str, Any] | None = None,
    signed: Mapping[str, str] | None = None,
) -> Bundle:
    """Take a name and version before a byte arrives; what a publisher has signed fills in and binds the rest."""
    require(actor, "bundles.change")
    said = _read_manifest(manifest) if manifest is not None else None
    facts: dict[str, Any] = {
        "name": name or (said.name or said.model_name if said else "") or DEFAULT_NAME,
        "version": version or (said.version if said else ""),
        "sha256": sha256.lower(),
        "device_types": sorted(set(device_types if device_types is not None else said.device_types if said else ())),
    }
    given = {"name": name, "version": version, "sha256": sha256, "device_types": device_types}
    publisher, statement = _check_signature(signed)
    if statement is not None:
        _agree(statement, {key: value for key, value in given.items() if value}, size_bytes)
        facts = {key: getattr(statement, key) for key in facts}
    _check_facts(facts, size_bytes)
    if said and said.version != facts["version"]:
        raise Invalid("The manifest says another version.", field="manifest")
    bundle = Bundle(
        **facts,
        kind=kind,
        description=description.strip()[:2000],
        size_bytes=size_bytes,
        manifest=said.raw if said else {},
        model_name=said.model_name if said else "",
        model_size_mb=said.model_size_mb if said else None,
        publisher=publisher,
        signed=dict(signed) if signed else None,
        is_sealed=settings.HUB_BUNDLE_ENCRYPTION,
        uploaded_by=actor if isinstance(actor, User) else None,
        uploaded_by_name=str(actor),
    )
    with transaction.atomic():
        _reserve_room(size_bytes)
        try:
            with transaction.atomic():
                bundle.save(force_insert=True)
        except IntegrityError:
            text = f"There is a bundle {bundle} already. Bundles never change: take another version."
            raise Conflict(text, code="version_exists", field="version") from None
        audit.record(actor, "bundle.reserved", bundle, size_bytes=size_bytes, signed_by=str(publisher or ""))
    return bundle


def append_piece(bundle: Bundle, offset: int, data: bytes, *, actor: Asker) -> Bundle:
    """Write the next bytes; a piece that came already is no error, one that leaves a gap is."""
    require(actor, "bundles.change", bundle)
    if len(data) > UPLOAD_PIECE_BYTES:
        raise Invalid(f"A piece has at most {UPLOAD_PIECE_BYTES} bytes.", field="piece")
    with transaction.atomic():
        locked = _lock_upload(bundle)
        end = offset + len(data)
        if end > locked.size_bytes:
            raise Invalid("More bytes than were announced.", field="piece")
        if offset > locked.received_bytes or offset < 0:
            raise OffsetMismatch(f"The next byte is number {locked.received_bytes}.", field="offset")
        if end > locked.received_bytes:
            skip = locked.received_bytes - offset
            store.write_piece(locked.pk, locked.received_bytes, data[skip:])
            Bundle.objects.filter(pk=locked.pk).update(received_bytes=end, touched_at=Now())
            locked.received_bytes = end
    return locked


def finish_upload(bundle: Bundle, *, actor: Asker) -> Bundle:
    """Check the whole file against all that was said of it, seal and store it.

    Holds the row's lock over it: two at once would do the work twice. Finishing again is no error.
    """
    require(actor, "bundles.change", bundle)
    with transaction.atomic():
        locked = _lock(bundle)
        if locked.status != BundleStatus.UPLOADING:
            return locked
        if locked.received_bytes != locked.size_bytes:
            left = locked.size_bytes - locked.received_bytes
            raise Conflict(f"{left} bytes have not arrived yet.", code="upload_incomplete")
        _check_signature(locked.signed)  # again: a publisher's key may have come, or was disabled, while it arrived
        with _incoming(locked) as file:
            values = _check_file(locked, file)
            values |= _store(locked, file, values)
        BUNDLE_TRANSITIONS.apply(locked, BundleStatus.READY, ready_at=Now(), **values)
        audit.record(actor, "bundle.uploaded", locked, sha256=locked.sha256, size_bytes=locked.size_bytes)
    locked.refresh_from_db()
    store.forget_incoming(locked.pk)
    return locked


def upload_bundle(*, actor: Asker, file: IO[bytes], size_bytes: int, **said: Any) -> Bundle:
    """All of it in one step. What is refused leaves nothing behind."""
    bundle = reserve_bundle(actor=actor, size_bytes=size_bytes, **said)
    try:
        offset = 0
        for block in blocks_of(file, UPLOAD_PIECE_BYTES):
            append_piece(bundle, offset, block, actor=actor)
            offset += len(block)
        return finish_upload(bundle, actor=actor)
    except HubError:
        with transaction.atomic():
            _lock(bundle).delete()
            audit.record(actor, "bundle.refused", bundle)
        store.forget_incoming(bundle.pk)
        raise


def _check_file(bundle: Bundle, file: IO[bytes]) -> dict[str, Any]:
    """Digests and contents; raises `Invalid` for what does not agree."""
    digester = Digester()
    for block in blocks_of(file):
        digester.update(block)
    found = digester.digests()
    if bundle.sha256 and found.sha256 != bundle.sha256:
        raise Invalid("The file is not the one whose SHA-256 was given.", code="digest_mismatch", field="sha256")
    values: dict[str, Any] = {"sha256": found.sha256, "sha1": found.sha1, "md5": found.md5}
    if bundle.kind == BundleKind.ARCHIVE:
        values |= _check_archive(bundle, file)
    return values


def _check_archive(bundle: Bundle, file: IO[bytes]) -> dict[str, Any]:
    file.seek(0)
    limits = archives.Limits(unpacked_bytes=settings.HUB_BUNDLE_UNPACKED_MB << 20)
    try:
        inside = archives.inspect(file, bundle.size_bytes, limits).manifest
    except archives.ArchiveError as error:
        raise Invalid(str(error), code="archive_refused", field="file") from None
    except manifest.ManifestError as error:
        raise Invalid(f"manifest.json: {error}", code="manifest_refused", field="file") from None
    for field, said, asked in (("version", inside.version, bundle.version), ("name", inside.name, bundle.name)):
        if said and said != asked:
            raise Invalid(f"The archive's manifest says {field} {said}.", code="manifest_refused", field=field)
    values: dict[str, Any] = {"manifest": inside.raw, "model_name": inside.model_name}
    if inside.device_types and bundle.signed is None:
        values["device_types"] = sorted(set(inside.device_types))
    return {**values, "model_size_mb": inside.model_size_mb}


def _store(bundle: Bundle, file: IO[bytes], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put it into the storage, sealed unless settings say otherwise."""
    if not bundle.is_sealed:
        name = f"{bundle.pk}.bin"
        store.put(name, bundle.pk, _copied(file))
        return {"stored_name": name, "stored_bytes": bundle.size_bytes, "stored_sha256": values["sha256"]}
    file.seek(0)
    name, key, digester = f"{bundle.pk}.khb", sealing.new_key(), Digester()
    sealed = sealing.seal(blocks_of(file), bundle.size_bytes, key, about=bundle.pk.bytes)
    store.put(name, bundle.pk, _counted(sealed, digester))
    found = digester.digests()
    return {
        "stored_name": name,
        "stored_bytes": found.size_bytes,
        "stored_sha256": found.sha256,
        "content_key": base64.b64encode(key).decode(),
    }


def _counted(blocks: Iterable[bytes], digester: Digester) -> Iterable[bytes]:
    for block in blocks:
        digester.update(block)
        yield block


def _copied(file: IO[bytes]) -> Iterable[bytes]:
    """A copy, because the incoming file must still be there when storing fails."""
    file.seek(0)
    return blocks_of(file)


def _incoming(bundle: Bundle) -> IO[bytes]:
    try:
        return store.incoming(bundle.pk).open("rb")
    except FileNotFoundError:
        raise store.UploadLost from None


def _check_signature(
    signed: Mapping[str, str] | None,
) -> tuple[PublisherKey | None, signatures.Statement | None]:
    """Whose signature it is and what it says. Once there is a publisher, nothing goes without one."""
    if signed is None:
        if PublisherKey.objects.exists():
            raise Invalid("It must be signed by a publisher.", code="signature_required", field="signature")
        return None, None
    publishers = list(PublisherKey.objects.trusted())
    keys = [signatures.read_public_key(each.public_key) for each in publishers]
    try:
        statement = signatures.verify(signed, keys)
    except signatures.SignatureError as error:
        raise Invalid(str(error), code="signature_refused", field="signature") from None
    return next(each for each in publishers if each.fingerprint == signed["key"]), statement


def _agree(statement: signatures.Statement, given: Mapping[str, Any], size_bytes: int) -> None:
    """What was given besides must be what was signed."""
    if statement.size_bytes != size_bytes:
        raise Invalid("The signature is for a file of another length.", code="signature_refused", field="size_bytes")
    for name, value in given.items():
        signed: Any = getattr(statement, name)
        if name == "device_types":
            value, signed = sorted(value), sorted(signed)
        if value != signed:
            raise Invalid("The publisher has signed something else.", code="signature_refused", field=name)


def _check_facts(facts: Mapping[str, Any], size_bytes: int) -> None:
    if not NAME.match(facts["name"]):
        raise Invalid("A name has up to 80 letters, digits, spaces and . _ -", field="name")
    if not VERSION.match(facts["version"]):
        raise Invalid("A version has up to 64 letters, digits and . + _ -", field="version")
    if facts["sha256"] and not SHA256.match(facts["sha256"]):
        raise Invalid("A SHA-256 has 64 hexadecimal digits.", field="sha256")
    if len(facts["device_types"]) > 50 or any(not 0 < len(each) <= 50 for each in facts["device_types"]):
        raise Invalid("At most 50 types of devices, each of up to 50 characters.", field="device_types")
    most = settings.HUB_BUNDLE_MAX_MB << 20
    if not 0 < size_bytes <= most:
        raise Invalid(f"A bundle has 1 byte to {settings.HUB_BUNDLE_MAX_MB} MiB.", code="too_large", field="size_bytes")


def _reserve_room(size_bytes: int) -> None:
    """Count under a lock, so that two uploads do not take the same room."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [STORE_LOCK])
    left = (settings.HUB_BUNDLE_STORE_MB << 20) - Bundle.objects.all().stored_bytes()
    if size_bytes > left:
        text = f"All bundles together may take {settings.HUB_BUNDLE_STORE_MB} MiB; {max(0, left) >> 20} MiB are left."
        text += " Delete some that nobody needs."
        raise LimitReached(text, code="store_full", field="size_bytes")


def _read_manifest(said: Mapping[str, Any]) -> manifest.Manifest:
    try:
        return manifest.read(said)
    except manifest.ManifestError as error:
        raise Invalid(str(error), code="manifest_refused", field="manifest") from None


def _lock(bundle: Bundle) -> Bundle:
    found: Bundle | None = Bundle.objects.select_for_update().filter(pk=bundle.pk).first()
    if found is None:
        raise NotFound("There is no such bundle.")
    return found


def _lock_upload(bundle: Bundle) -> Bundle:
    locked = _lock(bundle)
    if locked.status != BundleStatus.UPLOADING:
        raise Conflict("Its upload has ended.", code="upload_over")
    return locked
