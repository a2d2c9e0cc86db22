"""Bring the hub up from a bare clone. Standard library only: it runs before anything is installed."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older Python shall read this and not a traceback
    raise SystemExit(
        f"Python 3.11 or newer is needed and this is {sys.version_info[0]}.{sys.version_info[1]}: "
        "install a newer one and say `make up PYTHON=python3.12`."
    )
