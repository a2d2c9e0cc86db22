"""Enumerations of the accounts app; roles stand in `accounts.roles`."""

from django.db import models


class Theme(models.TextChoices):
    """How pages look."""

    AUTO = "auto", "As the device"
    LIGHT = "light", "Light"
    DARK = "dark", "Dark"


class InviteState(models.TextChoices):
    """Whether an invitation may still be used."""

    OPEN = "open", "Open"
    USED = "used", "Used"
    EXPIRED = "expired", "Ran out"


class TokenState(models.TextChoices):
    """Whether an API token works."""

    ON = "on", "Active"
    OFF = "off", "Switched off"
    EXPIRED = "expired", "Expired"


class ActorKind(models.TextChoices):
    """What kind of actor an audit entry names."""

    USER = "user", "User"
    SYSTEM = "system", "System"
    ANONYMOUS = "anonymous", "Anonymous"
    DEVICE = "device", "Device"
