"""Show and renew a server's passwords. Each look is audited; nothing of it enters a log, an URL or an audit row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.permissions import can
from hub import secrets
from servers import variables
from servers.models import GameServer

from . import state

if TYPE_CHECKING:
    from accounts.actors import Asker


@dataclass(frozen=True)
class Credentials:
    """What the owner needs to get in. The console's address is empty while the port is not published."""

    panel_url: str
    rcon_host: str
    rcon_port: int | None
    rcon_password: str
    secret_values: dict[str, str] = field(default_factory=dict)
    setup_instructions: tuple[str, ...] = ()


def reveal_credentials(server: GameServer, *, actor: Asker) -> Credentials:
    """The passwords in the clear, once per audited request."""
    state.may(actor, "reveal_credentials", server)
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "reveal_credentials")
        audit.record(actor, "server.credentials_revealed", locked)
    return _open(locked, shows_all=can(actor, "templates.change"))


def rotate_credentials(server: GameServer, *, actor: Asker) -> GameServer:
    """Make all of them new; what runs takes them at its next start."""
    state.may(actor, "rotate_credentials", server)
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "rotate_credentials")
        fresh = variables.Settings(
            secret={v.key: secrets.new_password() for v in locked.template.variables.all() if v.is_secret}
        )
        locked.secret_values = variables.dump_secrets(fresh)
        locked.rcon_password = secrets.new_password()
        locked.config_version += 1
        locked.save(update_fields=["secret_values", "rcon_password", "config_version"])
        audit.record(actor, "server.credentials_rotated", locked)
        locked.refresh_from_db(fields=["secret_values", "rcon_password"])
    state.refresh(server, locked)
    return server


def _open(server: GameServer, *, shows_all: bool) -> Credentials:
    port = server.template.console_port
    published = next((a for a in server.leased_addresses if port and a.name == port.name and a.is_public), None)
    secrets_of_it = variables.of_server(server).secret
    visible = {variable.key for variable in server.template.variables.all() if variable.is_visible}
    url = f"{settings.HUB_URL}/servers/{server.pk}"
    return Credentials(
        panel_url=url,
        rcon_host=published.ip if published else "",
        rcon_port=published.port if published else None,
        rcon_password=server.rcon_password.reveal() if port else "",
        secret_values={key: value for key, value in secrets_of_it.items() if shows_all or key in visible},
        setup_instructions=tuple(_instructions(server, url, has_console=port is not None, is_open=bool(published))),
    )


def _instructions(server: GameServer, url: str, *, has_console: bool, is_open: bool) -> list[str]:
    lines = [f"Manage it at {url}."]
    if server.address is not None:
        lines.insert(0, f"Players connect to {server.address}.")
    if has_console and not is_open:
        lines.append("Its remote console is reached by the hub only; publish the port to use a client of your own.")
    lines.append("Keep these passwords to yourself; rotate them if they may have been seen.")
    return lines
