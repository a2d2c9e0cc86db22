"""Sign a bundle with a publisher's private key, on the machine that has it: never the hub's own."""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from django.core.management.base import BaseCommand, CommandError

from devices.packaging import archives, manifest, signatures
from devices.packaging.digests import blocks_of, digest


class Command(BaseCommand):
    """Writes FILE.sig, which is uploaded with the bundle; or makes a key for it."""

    help = "Sign a bundle, or make a publisher's key with --new-key."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="The bundle.")
        parser.add_argument("--key", type=Path, required=True, help="The private key in PEM form; Ed25519 or P-256.")
        parser.add_argument("--new-key", action="store_true", help="Make the key, and print its public half.")
        parser.add_argument("--name", default="", help="As in the manifest, when it says one.")
        parser.add_argument("--release", default="", help="The version; as in the manifest, when it is an archive.")
        parser.add_argument("--type", action="append", default=[], help="A type of devices it is for; repeatable.")
        parser.add_argument("--image", action="store_true", help="It is no archive: its manifest is not looked for.")
        parser.add_argument("--ask", action="store_true", help="Ask for the key's passphrase.")
        parser.add_argument("--out", type=Path, help="Where to write; FILE.sig unless told.")

    def handle(self, *args: Any, **options: Any) -> None:
        phrase = getpass.getpass("Passphrase: ").encode() if options["ask"] else None
        if options["new_key"]:
            self._make_key(options["key"], phrase)
            return
        file: Path | None = options["file"]
        if file is None:
            raise CommandError("Which file?")
        statement = _statement(file, options)
        signed = signatures.sign(statement, _read_key(options["key"], phrase))
        out = options["out"] or file.with_name(f"{file.name}.sig")
        out.write_text(json.dumps(signed, indent=1) + "\n")
        self.stdout.write(f"{out}: {statement.name} {statement.version}, SHA-256 {statement.sha256}")

    def _make_key(self, path: Path, phrase: bytes | None) -> None:
        key = ed25519.Ed25519PrivateKey.generate()
        how: Any = serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption()
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
        try:
            path.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            raise CommandError(f"{path} is there already.") from None
        path.write_bytes(text)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.stdout.write(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode(), ending="")


def _statement(file: Path, options: dict[str, Any]) -> signatures.Statement:
    try:
        with file.open("rb") as stream:
            found = digest(blocks_of(stream))
            stream.seek(0)
            inside = None if options["image"] else archives.inspect(stream, found.size_bytes).manifest
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    except (archives.ArchiveError, manifest.ManifestError) as error:
        raise CommandError(f"{file}: {error}") from None
    name = options["name"] or (inside.name if inside else "")
    version = options["release"] or (inside.version if inside else "")
    if not name or not version:
        raise CommandError("Say --name and --release: the manifest does not.")
    if inside and (inside.version != version or inside.name not in ("", name)):
        raise CommandError("The manifest says another name or version.")
    types = options["type"] or (inside.device_types if inside else [])
    return signatures.Statement(name, version, found.sha256, found.size_bytes, sorted(set(types)))


def _read_key(path: Path, phrase: bytes | None) -> signatures.Private:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), phrase)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise CommandError(f"{path} is no private key, or --ask and its passphrase are needed.") from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise CommandError("A publisher's key is Ed25519 or P-256.")
