"""Scopes of API tokens: `servers.control` (a verb), `servers.*` (all of a noun) or `read` (looking, nothing else).

A scope only restricts. It names the plain verb; whether that reaches other people's things is decided by the owner's
role.
"""

from __future__ import annotations

from collections.abc import Iterable

from .roles import VERBS

READ = "read"
NOUNS = frozenset(verb.partition(".")[0] for verb in VERBS)
PLAIN_VERBS = frozenset(verb.removesuffix("_any") for verb in VERBS)


def is_scope(text: str) -> bool:
    noun, dot, action = text.partition(".")
    return text == READ or text in PLAIN_VERBS or (bool(dot) and action == "*" and noun in NOUNS)


def scopes_allow(scopes: Iterable[str], verb: str) -> bool:
    """Whether a token with these scopes may use the verb; no scopes at all restrict nothing."""
    scopes = frozenset(scopes)
    if not scopes:
        return True
    noun, _, action = verb.removesuffix("_any").partition(".")
    return f"{noun}.{action}" in scopes or f"{noun}.*" in scopes or (action == "view" and READ in scopes)


def scopes_within(inner: Iterable[str], outer: Iterable[str]) -> bool:
    """Whether every verb that `inner` allows is allowed by `outer` too."""
    inner, outer = list(inner), list(outer)
    return all(scopes_allow(outer, verb) for verb in PLAIN_VERBS if scopes_allow(inner, verb))
