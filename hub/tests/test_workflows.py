"""Workflow files for users' forges: they parse, nothing in them passes by itself, and they call what a desk calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.conf import settings

FILES = (".github/workflows/hub.yml", ".gitlab-ci.yml")
PASSES_BY_ITSELF = re.compile(
    r"\|\|\s*(true|:|exit 0|echo)|;\s*(true|exit 0)\s*$|set \+e|continue-on-error|allow_failure", re.M
)
GITLAB_WORDS = {"stages", "variables", "default", "workflow", "include"}


def text_of(name: str) -> str:
    return (settings.BASE_DIR / name).read_text(encoding="utf-8")


def jobs(name: str) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load(text_of(name))
    if name.startswith(".github"):
        return dict(content["jobs"])
    return {job: body for job, body in content.items() if job not in GITLAB_WORDS}


def commands(name: str) -> Iterator[str]:
    for job in jobs(name).values():
        yield from job.get("before_script", [])
        yield from job.get("script", [])
        yield from (step["run"] for step in job.get("steps", []) if "run" in step)


def ancestors(name: str, job: str) -> set[str]:
    """Name all jobs that must have succeeded before one."""
    needs = jobs(name)[job].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*(ancestors(name, each) for each in direct))


@pytest.mark.parametrize("name", FILES)
def test_nothing_passes_by_itself(name: str) -> None:
    assert PASSES_BY_ITSELF.search(text_of(name)) is None


@pytest.mark.parametrize(
    "line", ["make lint || true", "make test || :", "continue-on-error: true", "allow_failure: yes"]
)
def test_the_look_for_it_finds_it(line: str) -> None:
    assert PASSES_BY_ITSELF.search(line)


@pytest.mark.parametrize("name", FILES)
def test_targets_that_are_called_exist(name: str) -> None:
    makefile = text_of("Makefile")
    called = {
        word
        for command in commands(name)
        for line in re.findall(r"^\s*make (.+)$", command, re.M)
        for word in line.split()
        if "=" not in word and re.fullmatch(r"[a-z-]+", word)
    }

    assert {"sbom", "deploy"} <= called
    assert [word for word in called if not re.search(rf"^{word}:", makefile, re.M)] == []


@pytest.mark.parametrize("name", FILES)
def test_every_step_is_there_and_before_the_deployment(name: str) -> None:
    everything = "\n".join(commands(name)) + text_of(name)

    for word in (".ci/run", "trivy", "exit-code", "make install sbom", "cosign sign", "cosign attest", "make deploy"):
        assert word in everything
    wanted = {"test", "image"} if name.startswith(".github") else {"image", "scan", "sbom", "sign"}
    assert wanted <= ancestors(name, "deploy")


def test_tests_have_the_whole_history() -> None:
    """Without it the test of the version before leaves itself out."""
    checkout = jobs(".github/workflows/hub.yml")["test"]["steps"][0]

    assert checkout["with"]["fetch-depth"] == 0
    assert jobs(".gitlab-ci.yml")["test"]["variables"]["GIT_DEPTH"] == "0"


def test_what_ci_runs_is_lint_types_migrations_and_tests() -> None:
    lines = text_of(".ci/run").splitlines()

    for target in ("lint", "types", "migrations-check", "docs"):
        assert f"check make {target}" in lines
    assert "check tests" in lines
    assert lines[-1] == 'exit "$result"'
