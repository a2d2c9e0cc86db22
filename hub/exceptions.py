"""What services raise; pages and the API turn each into an answer with a code, a field at fault and a status."""

from __future__ import annotations


class HubError(Exception):
    """A request that cannot be done, in words for the person who asked.

    `code` is stable for programs, `field` names the input at fault ("" for none), `status` is the HTTP status.
    """

    code = "error"
    status = 400

    def __init__(self, message: str, *, code: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.field = field


class SecretError(Exception):
    """A sealed value cannot be opened: unknown key, wrong purpose or damaged."""


class Invalid(HubError):
    """An input is wrong; `field` says which."""

    code = "invalid"


class NotAllowed(HubError):
    """The actor may see the object but may not do this."""

    code = "not_allowed"
    status = 403


class NotFound(HubError):
    """There is no such object, or none that the actor may see."""

    code = "not_found"
    status = 404


class Conflict(HubError):
    """The object's state does not permit this now."""

    code = "conflict"
    status = 409


class LimitReached(HubError):
    """A quota, pool or capacity is used up."""

    code = "limit_reached"
    status = 409


class TooMany(HubError):
    """Asked too often; `retry_after` is in seconds."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, code: str = "", field: str = "", retry_after: int = 0) -> None:
        super().__init__(message, code=code, field=field)
        self.retry_after = retry_after


class Unavailable(HubError):
    """Something the request needs does not answer right now."""

    code = "unavailable"
    status = 503
