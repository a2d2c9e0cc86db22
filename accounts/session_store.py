"""Sessions in the database, as Django keeps them. The one query that every page asks fetches the person along."""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session

from hub.postgres.prepared import prepared_cursor

from .querysets import ACCESS_COLUMNS, USER_ACCESS, user_of_row

if TYPE_CHECKING:
    from .models import User

COLUMNS = ("session_key", "session_data", "expire_date")
_owner: ContextVar[User | None] = ContextVar("whose the session is that was fetched last", default=None)


class SessionStore(db.SessionStore):
    """Django's own in everything else."""

    def _get_session_from_db(self) -> Session | None:
        with prepared_cursor() as cursor:
            cursor.execute(_find_sql(), [self.session_key])
            row = cursor.fetchone()
        _owner.set(None)
        if row is None:
            self._session_key = None
            return None
        if row[len(COLUMNS)] is not None:
            _owner.set(user_of_row(row[len(COLUMNS) :]))
        return Session.from_db("default", COLUMNS, row[: len(COLUMNS)])


def take_owner(pk: int) -> User | None:
    """The person who came along with the session fetched just now, once, if it is this one: the session's own, signed
    data decide who that is, not the row beside it.
    """
    owner = _owner.get()
    _owner.set(None)
    return owner if owner is not None and owner.pk == pk else None


@cache
def _find_sql() -> str:
    from .models import User

    columns = [f"session.{name}" for name in COLUMNS]
    columns += [f"accounts_user.{field.column}" for field in User._meta.concrete_fields]
    columns += [USER_ACCESS[name].sql for name in ACCESS_COLUMNS]
    return f"""
        SELECT {", ".join(columns)} FROM django_session session
        LEFT JOIN usersessions_usersession login ON login.session_key = session.session_key
        LEFT JOIN accounts_user ON accounts_user.id = login.user_id
        WHERE session.session_key = %s AND session.expire_date > now()"""  # noqa: S608 - names of our own columns
