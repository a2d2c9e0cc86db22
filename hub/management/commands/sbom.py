"""`manage.py sbom`: what the hub is made of, as a bill of materials in CycloneDX's form."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;#]+)")
OSI = "License :: OSI Approved :: "
LISTS = ("requirements.txt", "requirements-optional.txt")
DEBIAN = ("dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture} ${db:Status-Abbrev}\n")


class Command(BaseCommand):
    """Write the bill of materials."""

    help = (
        "Lists Python and front-end packages with versions and licences; installed must be what is pinned. "
        "With --installed: what is there, Debian's packages included, as the image has it in /usr/share/kutanga-hub."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, default=settings.BASE_DIR / "build" / "sbom.json")
        parser.add_argument("--installed", action="store_true", help="List what is installed here, not what is pinned.")

    def handle(self, *args: Any, **options: Any) -> None:
        # A tool of development: the hub itself runs without it.
        from cyclonedx.model.bom import Bom
        from cyclonedx.output.json import JsonV1Dot6

        python = [*_installed(), *_debian()] if options["installed"] else _python()
        bom = Bom(components=[*python, *_front_end()])
        bom.metadata.component = _component("kutanga-hub", _own_version(), "Apache-2.0", kind="application")
        bom.register_dependency(bom.metadata.component, bom.components)
        path: Path = options["output"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(JsonV1Dot6(bom).output_as_string(indent=2), encoding="utf-8")
        self.stdout.write(f"{len(bom.components)} packages in {path}")


def _python() -> Iterator[Any]:
    """Yield what the requirements pin; the licence is what the installed package says."""
    for name in LISTS:
        for line in (settings.BASE_DIR / name).read_text(encoding="utf-8").splitlines():
            if not (match := PINNED.match(line)):
                continue
            try:
                found = metadata.metadata(match[1])
            except metadata.PackageNotFoundError:
                raise CommandError(f"{match[1]} of {name} is not installed: make install") from None
            if found["Version"] != match[2]:
                raise CommandError(f"{match[1]} is {found['Version']}, and {name} pins {match[2]}: make install")
            yield _component(match[1], match[2], _licence(found), ecosystem="pypi")


def _installed() -> Iterator[Any]:
    """Yield what lies in this environment; what another folder lends, such as this command's tools, is no part."""
    for place in sorted({path for path in sys.path if Path(path).is_relative_to(sys.prefix)}):
        for each in metadata.distributions(path=[place]):
            yield _component(_normal(each.metadata["Name"]), each.version, _licence(each.metadata), ecosystem="pypi")


def _debian() -> Iterator[Any]:
    """Yield Debian's packages; their licences are in files of their own, in no form that a program reads."""
    done = subprocess.run(DEBIAN, capture_output=True, text=True, check=True, timeout=60)
    for line in done.stdout.splitlines():
        name, version, architecture, status = line.split()
        if status.startswith("ii"):
            yield _component(name, version, "", ecosystem="deb", architecture=architecture)


def _normal(name: str) -> str:
    """Return a package's name as an index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _front_end() -> Iterator[Any]:
    """Yield what package-lock.json pins."""
    content = json.loads((settings.BASE_DIR / "package-lock.json").read_text(encoding="utf-8"))
    for place, one in content["packages"].items():
        if place and not one.get("dev"):
            name = place.rpartition("node_modules/")[2]
            yield _component(name, one["version"], one.get("license", ""), ecosystem="npm")


def _licence(found: metadata.PackageMetadata) -> str:
    """Return an SPDX expression where the package has one, else the name that it gives."""
    if "License-Expression" in found:
        return found["License-Expression"]
    classified = [each.removeprefix(OSI) for each in found.get_all("Classifier") or [] if each.startswith(OSI)]
    stated = found["License"].strip() if "License" in found else ""
    if stated and "\n" not in stated and len(stated) < 60 and stated != "UNKNOWN":
        return stated
    return " OR ".join(classified)


def _component(
    name: str, version: str, licence: str, *, ecosystem: str = "", kind: str = "library", architecture: str = ""
) -> Any:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    group, _, short = name.rpartition("/")
    group, qualifiers = ("debian", {"arch": architecture}) if architecture else (group, None)
    purl = PackageURL(ecosystem, group or None, short, version, qualifiers) if ecosystem else None
    return Component(
        name=name,
        version=version,
        type=ComponentType(kind),
        bom_ref=str(purl) if purl else name,
        purl=purl,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
    )


def _own_version() -> str:
    text = (settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"', text, re.M)
    return found[1] if found else "0"
