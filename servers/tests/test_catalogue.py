"""The catalogue: every file is a valid template, and an admin's edits stay."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from servers.catalogue import DIRECTORY, sync_catalogue
from servers.models import Template

pytestmark = pytest.mark.django_db
SLUGS = {"minecraft-java", "minetest", "sample", "teeworlds"}


def test_every_file_becomes_a_valid_published_template() -> None:
    made = sync_catalogue()

    assert {line.split()[1] for line in made} == SLUGS
    assert {t.slug for t in Template.objects.published()} == SLUGS


def test_syncing_twice_changes_nothing() -> None:
    sync_catalogue()

    assert sync_catalogue() == []


def test_a_newer_file_renews_the_template_and_its_variables(tmp_path: Path) -> None:
    text = (DIRECTORY / "sample.toml").read_text()
    (tmp_path / "sample.toml").write_text(text)
    sync_catalogue(tmp_path)
    Template.objects.get().variables.create(key="OLD_ONE", label="gone in the file")

    (tmp_path / "sample.toml").write_text(text.replace("version = ", "version = 1").replace("Guess", "Find"))
    done = sync_catalogue(tmp_path)

    template = Template.objects.get()
    assert done == ["template sample renewed"]
    assert template.game == "Find the number"
    assert not template.variables.filter(key="OLD_ONE").exists()


def test_an_edited_template_is_left_alone(tmp_path: Path) -> None:
    shutil.copy(DIRECTORY / "sample.toml", tmp_path)
    sync_catalogue(tmp_path)
    Template.objects.update(is_customized=True, name="Ours")

    text = (DIRECTORY / "sample.toml").read_text().replace("version = ", "version = 9")
    (tmp_path / "sample.toml").write_text(text)

    assert sync_catalogue(tmp_path) == []
    assert Template.objects.get().name == "Ours"


def test_no_command_of_the_catalogue_holds_a_users_text() -> None:
    sync_catalogue()

    for template in Template.objects.all():
        template.full_clean()
        assert not any("{{SERVER_NAME}}" in word for word in template.process_command + template.image_command)
