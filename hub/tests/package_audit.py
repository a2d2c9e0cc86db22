"""Known vulnerabilities of the pinned packages, by pip-audit: `python -m hub.tests.package_audit`, part of CI.

Its data come from the network. Where they cannot be reached this says so, and never that nothing is known: exit code 0
with a line that packages were NOT checked. Exit code 1 when something is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 180


def run_audit() -> tuple[str, str]:
    """What pip-audit answers and what it complains about."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", "requirements.txt", "--disable-pip", "--no-deps"]
    try:
        done = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {SECONDS} s"
    return done.stdout, done.stderr


def verdict(answer: str, complaint: str) -> tuple[int, list[str]]:
    """Exit code and lines to print, from what pip-audit said."""
    try:
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (complaint.strip().splitlines() or ["it said nothing"])[-1]
        return 0, [f"Packages were NOT checked for known vulnerabilities: {last}"]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    lines = [
        f"{each['name']} {each['version']}: {found['id']}, mended in {_versions(found)}"
        for each in packages
        for found in each.get("vulns", ())
    ]
    code = 1 if lines else 0
    checked = len(packages) - len(skipped)
    lines.append(f"{checked} packages checked for known vulnerabilities.")
    if skipped or not checked:
        lines.append(f"NOT checked: {', '.join(skipped) or 'any package'}")
    return code, lines


def _versions(found: dict[str, Any]) -> str:
    return ", ".join(found["fix_versions"]) or "nothing yet"


def main() -> int:
    code, lines = verdict(*run_audit())
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
