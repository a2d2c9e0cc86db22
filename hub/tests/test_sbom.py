"""The bill of materials: valid, complete, and of what is really installed."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from django.conf import settings
from django.core.management import CommandError, call_command

from hub.management.commands import sbom


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    call_command("sbom", output=path, stdout=StringIO())
    return path.read_text(encoding="utf-8")


def test_it_is_valid_by_the_schema(written: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None


def test_every_pinned_package_is_in_it_with_version_and_licence(written: str) -> None:
    listed = {each["name"]: each for each in json.loads(written)["components"]}
    pinned = {
        found[1]: found[2]
        for name in sbom.LISTS
        for line in (settings.BASE_DIR / name).read_text(encoding="utf-8").splitlines()
        if (found := sbom.PINNED.match(line))
    }

    assert len(pinned) > 60
    assert {name: listed[name]["version"] for name in pinned} == pinned
    assert [name for name in pinned if not listed[name].get("licenses")] == []
    assert listed["django"]["purl"] == f"pkg:pypi/django@{pinned['django']}"


def test_front_end_is_in_it(written: str) -> None:
    listed = {each["name"]: each for each in json.loads(written)["components"]}
    wanted = json.loads((settings.BASE_DIR / "package.json").read_text(encoding="utf-8"))["dependencies"]

    assert {name: listed[name]["version"] for name in wanted} == wanted
    assert listed["@tabler/core"]["licenses"][0]["license"]["id"] == "MIT"


def test_what_is_installed_in_another_version_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sbom, "PINNED", type("P", (), {"match": staticmethod(lambda line: ["", "django", "1.0"])}))

    with pytest.raises(CommandError, match=r"pins 1\.0"):
        call_command("sbom", output=tmp_path / "sbom.json", stdout=StringIO())
