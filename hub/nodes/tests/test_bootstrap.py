"""A fresh hub has regions, a node and its pools; bootstrapping again changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import User
from hub.nodes import bootstrap
from hub.nodes.models import Address, Node, Region
from hub.testing import child_environment

pytestmark = pytest.mark.django_db


def test_l47_fresh_hub_has_the_four_regions() -> None:
    bootstrap.run()

    assert list(Region.objects.values_list("slug", flat=True)) == [
        "us-east-1",
        "us-west-1",
        "eu-central-1",
        "ap-southeast-1",
    ]


def test_local_node_has_435_game_ports_and_private_ones_on_loopback() -> None:
    bootstrap.run()

    node = Node.objects.get(name="local")
    counts = {pool.name: pool.addresses.count() for pool in node.pools.all()}
    assert counts == {"games": 435, "private": 1000}
    assert node.memory_mb > 0


def test_bootstrap_twice_changes_nothing() -> None:
    bootstrap.run()
    before = Address.objects.count()

    assert bootstrap.run() == []
    assert Address.objects.count() == before


def test_hub_in_a_cluster_has_the_cluster_as_its_node_and_no_other(settings: Any) -> None:
    """Before, it had a node `local` that no agent served, and its agent waited for one that nobody made."""
    settings.HUB_LOCAL_ENGINE = "kubernetes"

    bootstrap.run()

    node = Node.objects.get()
    assert (node.name, node.engine, node.pools.count()) == ("cluster", "kubernetes", 0)
    assert bootstrap.run() == []


def test_bootstrap_respects_a_node_of_the_admins_own() -> None:
    bootstrap.run()
    Node.objects.filter(name="local").update(name="basement")

    bootstrap.run()

    assert list(Node.objects.values_list("name", flat=True)) == ["basement"]


def test_command_tells_the_generated_password_once(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("bootstrap")
    first = capsys.readouterr().out
    call_command("bootstrap")
    second = capsys.readouterr().out

    assert '"admin_password": "' in first
    assert second == ""


def test_admin_password_may_be_given(settings: Any) -> None:
    settings.HUB_ADMIN_PASSWORD = "a very long passphrase"

    call_command("bootstrap")

    assert User.objects.get(username="admin").check_password("a very long passphrase")


def test_admin_password_may_come_from_a_file(settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("a very long passphrase\n")

    read = subprocess.run(
        [sys.executable, "-c", "from hub.settings import HUB_ADMIN_PASSWORD; print(HUB_ADMIN_PASSWORD)"],
        env=child_environment(HUB_ADMIN_PASSWORD_FILE=str(file)),
        cwd=settings.BASE_DIR,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )

    assert read.stdout == "a very long passphrase\n"
