"""Placeholders `{{NAME}}` in commands and environments of templates: plain replacement from an explicit list.

There is no template engine, and no secret is ever among the values: a secret reaches its server only as the whole
value of its own environment variable. Commands take facts of the hub alone, never a user's text: text inside a command
could become an option or, behind `sh -c`, a command of its own; a program reads it from its environment instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")

COMMAND_FACTS: Final = frozenset(
    {
        "SERVER_ID",
        "SERVER_IP",
        "SERVER_PORT",
        "MEMORY_MB",
        "HEAP_MB",
        "DISK_MB",
        "CPU_PERCENT",
        "DATA_PATH",
        "PYTHON",
        "SAMPLE_SERVER",
    }
)
FACTS: Final = COMMAND_FACTS | {"SERVER_NAME"}

VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
RESERVED_NAMES: Final = FACTS | {
    # how programs are found and run
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "HOSTNAME", "UID", "GID", "EUID", "TERM"),
    *("TMPDIR", "TMP", "TEMP", "TZ", "LANG", "LANGUAGE", "GCONV_PATH", "LOCPATH", "NLSPATH", "HOSTALIASES"),
    *("RES_OPTIONS", "MALLOC_TRACE"),
    # what shells and runtimes read before the program
    *("ENV", "BASH_ENV", "IFS", "CDPATH", "PS4", "SHELLOPTS", "BASHOPTS", "PROMPT_COMMAND"),
    *("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "NODE_OPTIONS", "NODE_PATH", "RUBYOPT", "RUBYLIB"),
    *("PERL5OPT", "PERL5LIB", "PERL5DB", "PHPRC", "PHP_INI_SCAN_DIR", "DOTNET_STARTUP_HOOKS"),
    # what panels tell a server about itself
    *("SERVER_MEMORY", "SERVER_UUID", "EULA"),
}
RESERVED_PREFIXES: Final = ("LD_", "HUB_", "KUTANGA_", "PYTHON", "BASH_FUNC_", "LC_", "DYLD_", "GIT_")


def is_reserved(name: str) -> bool:
    """Whether a variable of this name could change how programs are found, loaded or told about themselves."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES)


def names_in(text: str) -> list[str]:
    """The placeholders of a text."""
    return [name.strip() for name in PLACEHOLDER.findall(text)]


def check(text: str, allowed: Collection[str]) -> None:
    """Raise ValueError for a placeholder that is not on the list."""
    for name in names_in(text):
        if name not in allowed:
            raise ValueError(f"There is no placeholder {{{{{name}}}}} here; known are {', '.join(sorted(allowed))}.")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace each placeholder once: what a value holds is not looked at again. Raises KeyError for an unknown one."""
    return PLACEHOLDER.sub(lambda match: values[match[1].strip()], text)
