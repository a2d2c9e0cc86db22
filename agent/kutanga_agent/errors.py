"""Why work went wrong, in a word that the hub knows and a sentence for people."""

from __future__ import annotations

import errno

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WorkError(Exception):
    """`code` decides whether the hub tries it again."""

    def __init__(self, code: str, message: str, output: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.output = code, message, output


def of_disk(error: OSError, otherwise: str = "other") -> WorkError:
    """What the disk did not take: no room, or something else."""
    if error.errno in NO_ROOM:
        return WorkError("space", f"There is no room on the device: {error}")
    return WorkError(otherwise, str(error))
