"""What allauth's second factors ask us: how their secrets are kept."""

from __future__ import annotations

from allauth.mfa.adapter import DefaultMFAAdapter

from hub.secrets import seal, unseal

PURPOSE = "mfa.factor"
SEALED_NAMES = ("secret", "seed")  # in the data of an authenticator: of the app, of the recovery codes


class HubMfaAdapter(DefaultMFAAdapter):
    """Seals the secrets of second factors under the key ring."""

    def encrypt(self, text: str) -> str:
        return seal(text, purpose=PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        """Open a sealed value; those that were stored before sealing have no dot and are taken as they are."""
        return unseal(encrypted_text, purpose=PURPOSE) if "." in encrypted_text else encrypted_text


def reseal(value: str) -> str:
    """The same secret under the newest key. Raises `SecretError`."""
    adapter = HubMfaAdapter()
    return adapter.encrypt(adapter.decrypt(value))
