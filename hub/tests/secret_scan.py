"""A scanner for secrets in the files of this repository: `python -m hub.tests.secret_scan`, part of `make lint`.

Looks for what well-known services mark as a secret, for private keys, and for our own tokens. What a test needs is made
at run time; a line that has to show such a text all the same ends in `# not a secret`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = "not a secret"
PATTERNS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----\s*\n?[A-Za-z0-9+/=]{40}",
    "hub token": r"\bhub_[0-9a-f]{40,}\b",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}\b",
    "Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{20,}\b",
    "Slack webhook": r"hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "Stripe key": r"\b[sr]k_live_[0-9A-Za-z]{20,}\b",
    "Vault token": r"\bhvs\.[A-Za-z0-9_-]{24,}\b",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}\b",
    "password in an address": r"\b(?:postgres(?:ql)?|redis|amqp|mongodb|smtps?)://[^\s:/@\"'<>{}]+:(?!password@|secret@|\$)[^\s@/\"'<>{}$]{12,}@",
}
COMPILED = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}


def findings(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers and kinds of what looks like a secret."""
    lines = text.splitlines()
    for kind, pattern in COMPILED.items():
        for match in pattern.finditer(text):
            number = text.count("\n", 0, match.start()) + 1
            if ALLOWED not in lines[number - 1]:
                yield number, kind


def tracked_files() -> list[Path]:
    """Every file that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def main() -> int:
    """Print each finding without the secret itself; exit code 1 when there is one."""
    found = 0
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for number, kind in findings(text):
            print(f"{path.relative_to(ROOT)}:{number}: looks like a {kind}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
