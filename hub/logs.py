"""Log lines for people and for programs, each with the request and job it belongs to, and scrubbed of credentials."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

from . import context

FACTS = ("request_id", "user", "job_id")
ACCESS_FACTS = ("kind", "method", "path", "status", "ms", "ip")
HIDDEN = "[hidden]"

_SCRUBS = (
    # Headers as they appear in dumps of requests: the whole value goes, up to the end of the line or the closing quote.
    (
        re.compile(
            r"""(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-csrftoken)(['"]?\s*[:=]\s*['"]?)[^\r\n'"]+"""
        ),
        rf"\1\2{HIDDEN}",
    ),
    # Query strings, form bodies, keyword arguments, dictionaries and JSON, quoted inside a string or not.
    (
        re.compile(
            r"""(?i)((?:password|passwd|secret|token|api_?key|signature|sessionid|assertion)[\w-]*)"""
            r"""(\\*['"]?\s*[:=]\s*\\*['"]?)[^&\s'",;)}\\]+"""
        ),
        rf"\1\2{HIDDEN}",
    ),
    # Credentials in addresses: scheme://user:password@host.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # The hub's own API tokens, wherever they stand.
    (re.compile(r"\bhub_[A-Za-z0-9]{16,}"), f"hub_{HIDDEN}"),
)


def scrub(text: str) -> str:
    """Hide credentials that strayed into a log line: a net under the rule that code never logs them."""
    for pattern, replacement in _SCRUBS:
        text = pattern.sub(replacement, text)
    return text


class ContextFilter(logging.Filter):
    """Put the request id, user and job id of the work at hand on every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        facts = context.current()
        record.request_id = facts.request_id
        record.user = facts.user
        record.job_id = facts.job_id
        return True


class HumanFormatter(logging.Formatter):
    """`12:30:01 INFO    servers.services: Server 5 started [request 1f… user ada]`."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        facts = " ".join(
            f"{name.removesuffix('_id')} {value}" for name in FACTS if (value := getattr(record, name, ""))
        )
        line = f"{at} {record.levelname:<7} {record.name}: {record.getMessage()}"
        line = f"{line} [{facts}]" if facts else line
        trace = _trace(self, record)
        return scrub(f"{line}\n{trace}" if trace else line)


class JsonFormatter(logging.Formatter):
    """One JSON object per line, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": scrub(record.getMessage()),
        }
        for name in FACTS + ACCESS_FACTS:
            value = getattr(record, name, "")
            if isinstance(value, str | int | float) and value != "":
                entry[name] = value
        if trace := _trace(self, record):
            entry["exception"] = scrub(trace)
        return json.dumps(entry, ensure_ascii=False)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
