"""What can go wrong when the hub talks to a game server; nothing else leaves this package."""


class ProtocolError(Exception):
    """Say in one sentence, fit for a user, why a game server gave no usable answer."""


class Unreachable(ProtocolError):
    """Nothing listens there, or it closed the connection before it answered."""


class TimedOut(ProtocolError):
    """The deadline passed without a complete answer."""


class AuthenticationFailed(ProtocolError):
    """The server refused our password; do not try again, SRCDS and econ ban the address."""


class Malformed(ProtocolError):
    """The answer breaks the protocol or exceeds a bound: a bug, another program, or a hostile server."""


class InvalidRequest(ProtocolError):
    """We refused to send this: line breaks, too long, empty, or a kind of query that does not exist."""
