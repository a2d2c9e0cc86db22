"""The scanners of CI find what they are for, and say so when they could not look."""

from __future__ import annotations

import json
import secrets
import string

import pytest

from . import package_audit, secret_scan

LETTERS = string.ascii_letters + string.digits


def text(length: int, letters: str = LETTERS) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))


# Named by number, because they are other ones in every process that collects the tests.
@pytest.mark.parametrize(
    "secret",
    [
        "hub_" + text(64, "0123456789abcdef"),
        "AKIA" + text(16, string.ascii_uppercase + string.digits),
        "ghp_" + text(36),
        "glpat-" + text(20),
        "xoxb-" + text(24),
        "AIza" + text(35),
        "hvs." + text(24),
        "postgresql://hub:" + text(16) + "@db/hub",
        "-----BEGIN PRIVATE KEY-----\n" + text(64),
        "eyJ" + text(20) + ".eyJ" + text(20) + "." + text(30),
    ],
    ids=range(10),
)
def test_planted_secret_is_found(secret):
    assert [line for line, _ in secret_scan.findings(f"first line\nvalue = '{secret}'\n")] == [2]


@pytest.mark.parametrize(
    "line", ["hub_data = '/srv'", "postgresql://user:password@host:port/name", "smtp://user:password@host:587"]
)
def test_what_only_looks_so_is_left_alone(line):
    assert list(secret_scan.findings(line)) == []


def test_marked_line_is_left_alone():
    assert list(secret_scan.findings(f"ghp_{text(36)}  # not a secret")) == []


def test_repository_holds_no_secret():
    assert secret_scan.main() == 0


def test_audit_that_reached_no_data_says_that_it_did_not_look():
    code, lines = package_audit.verdict("", "ConnectionError: no route")

    assert code == 0
    assert lines == ["Packages were NOT checked for known vulnerabilities: ConnectionError: no route"]


def test_known_vulnerability_fails():
    vulnerable = {"name": "x", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
    code, lines = package_audit.verdict(json.dumps({"dependencies": [vulnerable]}), "")

    assert (code, lines[0]) == (1, "x 1: CVE-1, mended in 2")


def test_packages_that_were_left_out_are_named():
    packages = [{"name": "x", "version": "1", "vulns": []}, {"name": "y", "skip_reason": "not found"}]

    assert package_audit.verdict(json.dumps({"dependencies": packages}), "") == (
        0,
        ["1 packages checked for known vulnerabilities.", "NOT checked: y"],
    )
