"""HashiCorp Vault as the keeper of secrets: its transit engine seals and opens them, its KV engine holds the key ring.

Its library (hvac) is optional and imported only when `HUB_VAULT_URL` is set. What was opened is kept in the memory of
the process for `HUB_VAULT_CACHE_SECONDS`, so that a short absence is not felt; nothing is kept on disk. When Vault does
not answer, what needs a secret that is not kept is refused as unavailable, and health says degraded.
"""

from __future__ import annotations

import base64
import importlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from .env import Env, EnvError
from .exceptions import SecretError, Unavailable

HEAD = "v."
TIMEOUT_SECONDS, ASK_AGAIN_SECONDS, VERSION_SECONDS = 3, 2.0, 60.0
MOST_KEPT = 1_000


class VaultAway(SecretError, Unavailable):
    """Vault does not answer, or is sealed."""

    code = "secrets_unavailable"


@dataclass(frozen=True)
class Settings:
    """What the environment says; no address: Vault is not used."""

    url: str = ""
    token: str = ""
    key: str = ""
    transit: str = "transit"
    kv: str = ""
    cache_seconds: int = 300

    @property
    def seals(self) -> bool:
        return bool(self.url and self.key)


def read(env: Env) -> Settings:
    """Read the environment. Raises `EnvError` for what cannot work."""
    found = Settings(
        url=env.text("HUB_VAULT_URL", "", help="HashiCorp Vault as keeper of secrets; unset: the key ring alone."),
        token=env.text("HUB_VAULT_TOKEN", "", help="The hub's token at Vault; better as HUB_VAULT_TOKEN_FILE."),
        key=env.text("HUB_VAULT_TRANSIT_KEY", "", help="Key of Vault's transit engine that seals new secrets."),
        transit=env.text("HUB_VAULT_TRANSIT_MOUNT", "transit", help="Where the transit engine is mounted."),
        kv=env.text("HUB_VAULT_KV", "", help="mount/path in KV version 2 that holds HUB_SECRET_KEYS, as secret/hub."),
        cache_seconds=env.integer(
            "HUB_VAULT_CACHE_SECONDS", 300, minimum=0, help="How long processes remember secrets that Vault opened."
        ),
    )
    if not found.url:
        return Settings()
    if not found.token or not (found.key or found.kv):
        raise EnvError("HUB_VAULT_URL", "needs HUB_VAULT_TOKEN, and HUB_VAULT_TRANSIT_KEY or HUB_VAULT_KV")
    try:
        importlib.import_module("hvac")
    except ModuleNotFoundError:
        raise EnvError("HUB_VAULT_URL", "needs hvac: pip install -r requirements-optional.txt") from None
    return found


def ring(found: Settings) -> dict[str, str]:
    """What Vault holds of our environment: the key ring, {} where KV is not used. Raises `EnvError`."""
    if not found.kv:
        return {}
    mount, _, path = found.kv.partition("/")
    try:
        answer = _client(found).secrets.kv.v2.read_secret_version(
            path=path, mount_point=mount, raise_on_deleted_version=True
        )
        return {"HUB_SECRET_KEYS": str(answer["data"]["data"]["HUB_SECRET_KEYS"])}
    except KeyError:
        raise EnvError("HUB_VAULT_KV", "has no HUB_SECRET_KEYS") from None
    except _troubles() as error:
        raise EnvError("HUB_VAULT_KV", f"cannot be read from Vault: {type(error).__name__}") from None


class Transit:
    """Seals and opens by one key of the transit engine; the purpose is authenticated with each value."""

    def __init__(self, found: Settings) -> None:
        self.found = found
        self.kept: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        self.lock = threading.Lock()
        self.away_until = 0.0
        self.version: tuple[float, int] = (0.0, 0)

    def seal(self, plain: str, purpose: str) -> str:
        answer = self._ask(
            lambda engine: engine.encrypt_data(
                name=self.found.key,
                plaintext=_encoded(plain),
                associated_data=_encoded(purpose),
                mount_point=self.found.transit,
            )
        )
        sealed = f"{HEAD}{answer['data']['ciphertext']}"
        self._keep(sealed, purpose, plain)
        return sealed

    def unseal(self, sealed: str, purpose: str) -> str:
        """Raises `SecretError`; `VaultAway` when it is not known whether the value is good."""
        if (plain := self._known(sealed, purpose)) is not None:
            return plain
        answer = self._ask(
            lambda engine: engine.decrypt_data(
                name=self.found.key,
                ciphertext=sealed.removeprefix(HEAD),
                associated_data=_encoded(purpose),
                mount_point=self.found.transit,
            )
        )
        plain = base64.b64decode(answer["data"]["plaintext"]).decode()
        self._keep(sealed, purpose, plain)
        return plain

    def newest(self) -> str:
        """How a value under the newest version of the key begins."""
        until, version = self.version
        if time.monotonic() > until:
            answer = self._ask(lambda engine: engine.read_key(name=self.found.key, mount_point=self.found.transit))
            version = int(answer["data"]["latest_version"])
            self.version = time.monotonic() + VERSION_SECONDS, version
        return f"{HEAD}vault:v{version}:"

    def state(self) -> str:
        """ "" when Vault is well, else what is wrong."""
        try:
            answer = _client(self.found).sys.read_health_status(method="GET")
        except _troubles() as error:
            return f"Vault does not answer: {type(error).__name__}"
        return "" if isinstance(answer, dict) and not answer.get("sealed") else "Vault is sealed or not initialised"

    def _ask(self, what: Callable[[Any], Any]) -> Any:
        if time.monotonic() < self.away_until:
            raise VaultAway("The keeper of secrets does not answer right now. Try again.")
        errors = importlib.import_module("hvac.exceptions")
        try:
            return what(_client(self.found).secrets.transit)
        except (errors.InvalidRequest, errors.InvalidPath):
            raise SecretError("The value is damaged or was sealed for another purpose or by another key.") from None
        except (errors.Forbidden, errors.Unauthorized):
            raise VaultAway("The keeper of secrets does not take the hub's token.") from None
        except _troubles():
            self.away_until = time.monotonic() + ASK_AGAIN_SECONDS
            raise VaultAway("The keeper of secrets does not answer right now. Try again.") from None

    def _known(self, sealed: str, purpose: str) -> str | None:
        with self.lock:
            until, plain = self.kept.get((sealed, purpose), (0.0, ""))
            return plain if time.monotonic() < until else None

    def _keep(self, sealed: str, purpose: str, plain: str) -> None:
        if not self.found.cache_seconds:
            return
        with self.lock:
            self.kept[sealed, purpose] = time.monotonic() + self.found.cache_seconds, plain
            while len(self.kept) > MOST_KEPT:
                self.kept.popitem(last=False)


@cache
def transit(found: Settings) -> Transit:
    """The one of this process."""
    return Transit(found)


@cache
def _client(found: Settings) -> Any:
    return importlib.import_module("hvac").Client(url=found.url, token=found.token, timeout=TIMEOUT_SECONDS)


def _troubles() -> tuple[type[Exception], ...]:
    """What is raised when Vault is away: by the client, and by what carries it."""
    return (
        importlib.import_module("hvac.exceptions").VaultError,
        importlib.import_module("requests").RequestException,
    )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
