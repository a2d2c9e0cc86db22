"""Workflow files for users' forges: they parse, nothing in them passes by itself, and they call what a desk calls."""

from __future__ import annotations

import re
import subprocess
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

    for word in (".ci/run", "trivy", "exit-code", "make sbom IMAGE=", "cosign sign", "cosign attest", "make deploy"):
        assert word in everything
    wanted = {"test", "image"} if name.startswith(".github") else {"image", "scan", "sbom", "sign"}
    assert wanted <= ancestors(name, "deploy")


def test_steps_of_others_are_named_by_their_commit() -> None:
    """Tags of trivy-action were made to steal secrets in March 2026; a commit cannot be made to mean another."""
    used = re.findall(r"uses: (\S+)(.*)", text_of(".github/workflows/hub.yml"))

    assert len(used) > 8
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r"  # v\d+\.\d+\.\d+", comment), action


def test_no_secret_is_written_into_a_script() -> None:
    assert [each for each in commands(".github/workflows/hub.yml") if "secrets." in each] == []


def test_what_is_scanned_listed_signed_and_deployed_is_what_was_built() -> None:
    """By digest: a tag may mean another image a moment later."""
    built = jobs(".gitlab-ci.yml")

    assert any("RepoDigests" in line and "image.env" in line for line in built["image"]["script"])
    assert built["image"]["artifacts"]["reports"]["dotenv"] == "image.env"
    for name in ("scan", "sbom", "sign", "deploy"):
        assert "image" in built[name]["needs"], name  # what its report says is known to those alone who need it
        assert "$IMAGE" in built[name]["script"][-1], name
        assert "SHORT_SHA" not in "".join(built[name]["script"]), name


def test_images_of_jobs_have_or_get_the_programs_that_they_call() -> None:
    for name, job in jobs(".gitlab-ci.yml").items():
        got = " ".join(job.get("before_script", []))
        for line in job["script"]:
            program = line.split()[0]
            if program in {"make", "cosign"} or line == ".ci/run":
                assert re.search(rf"(apk add|apt-get install) .*\b{program.replace('.ci/run', 'make')}\b", got), name


def test_bill_of_an_image_is_the_one_that_lies_in_it() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "sbom", "IMAGE=registry/hub@sha256:1"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (place,) = re.findall(r"^COPY --from=bill \S+ (\S+)$", text_of("Dockerfile"), re.M)

    assert f'docker run --rm "registry/hub@sha256:1" cat {place} >build/sbom.json' in done.stdout


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
