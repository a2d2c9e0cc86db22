"""Sessions in the database, as Django keeps them, with the one query that every page asks already compiled."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.db.models.functions import Now

from hub.statements import statement

SAMPLE_KEY = "the key of a session"
COLUMNS = ("session_key", "session_data", "expire_date")


class SessionStore(db.SessionStore):
    """Django's own in everything else."""

    def _get_session_from_db(self) -> Session | None:
        found = statement("session", _by_key, SAMPLE_KEY).rows(self.session_key)
        if not found:
            self._session_key = None
            return None
        return Session.from_db("default", COLUMNS, found[0])


def _by_key(key: str) -> QuerySet[Any, Any]:
    return Session.objects.filter(session_key=key, expire_date__gt=Now()).values_list(*COLUMNS)
