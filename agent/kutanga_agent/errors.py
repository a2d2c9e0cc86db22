"""Why work went wrong, in a word that the hub knows and a sentence for people."""

from __future__ import annotations


class WorkError(Exception):
    """`code` decides whether the hub tries it again."""

    def __init__(self, code: str, message: str, output: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.output = code, message, output
