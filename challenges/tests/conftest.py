"""What the tests of challenges share."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def entry(db: None) -> Any:
    """A challenge of an event that runs."""
    from .factories import EntryFactory  # Django is not set up yet when pytest reads this file

    return EntryFactory()


@pytest.fixture
def mine(entry: Any) -> Any:
    """A team that takes part in that event."""
    from .factories import participate

    return participate(entry.event)
