"""Enumerations of the accounts app; roles stand in `accounts.roles`."""

from django.db import models


class Theme(models.TextChoices):
    """How pages look."""

    AUTO = "auto", "As the device"
    LIGHT = "light", "Light"
    DARK = "dark", "Dark"


class ActorKind(models.TextChoices):
    """What kind of actor an audit entry names."""

    USER = "user", "User"
    SYSTEM = "system", "System"
    ANONYMOUS = "anonymous", "Anonymous"
    DEVICE = "device", "Device"
