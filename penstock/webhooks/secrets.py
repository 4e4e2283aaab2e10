"""Signing secrets of tenants: derived, so that none is stored.

A row keeps a reference, `<name of the key>.<salt>`; the secret is an HMAC of its owner and the reference, under a key
that only the processes have (`PENSTOCK_SECRET_KEY`). Whoever reads the database alone can sign nothing.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from pydantic import SecretStr

from penstock.errors import ConfigError

#: a key must be as hard to guess as what is derived from it
MIN_KEY_CHARACTERS = 32
_SALT_BYTES = 16


class SecretKeys:
    """The keys of this installation: the first makes new secrets, the others still open what they made.

    Raises:
        ConfigError: a key is too short.
    """

    def __init__(self, keys: Sequence[SecretStr] = ()) -> None:
        values = [key.get_secret_value() for key in keys]
        if any(len(value) < MIN_KEY_CHARACTERS for value in values):
            raise ConfigError(
                f"PENSTOCK_SECRET_KEY: each key must have at least {MIN_KEY_CHARACTERS} characters"
                " (`openssl rand -hex 32` makes one)"
            )
        self._keys = {_name(value): value.encode() for value in values}

    @property
    def names(self) -> list[str]:
        """The names of the keys, as references begin with them; none: nothing can be signed here."""
        return list(self._keys)

    def new_reference(self) -> str:
        """What to store for a new secret. There must be a key."""
        return f"{next(iter(self._keys))}.{secrets.token_hex(_SALT_BYTES)}"

    def derive(self, owner: str, reference: str) -> bytes | None:
        """The 32 bytes of a secret; None when the key that made it is not here.

        `owner` is whose secret it is: a reference copied into another row is another secret.
        """
        key = self._keys.get(reference.partition(".")[0])
        if key is None:
            return None
        return hmac.digest(key, f"penstock webhook secret\n{owner}\n{reference}".encode(), hashlib.sha256)


def shown(secret: bytes) -> str:
    """A secret in the form that verifiers take."""
    return "whsec_" + base64.b64encode(secret).decode()


def hint(secret: bytes) -> str:
    """What a secret may be recognised by."""
    return "whsec_…" + shown(secret)[-5:]


def _name(key: str) -> str:
    return hashlib.sha256(b"penstock secret key\n" + key.encode()).hexdigest()[:12]
