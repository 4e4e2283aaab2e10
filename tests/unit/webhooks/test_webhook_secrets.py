"""Secrets that are derived: what makes them the same, and what makes them different."""

import base64

import pytest
from pydantic import SecretStr

from penstock.errors import ConfigError
from penstock.webhooks.secrets import SecretKeys, hint, shown

FIRST, SECOND = SecretStr("a" * 32), SecretStr("b" * 32)


def test_a_secret_depends_on_key_owner_and_reference() -> None:
    keys = SecretKeys([FIRST])
    one, other = keys.new_reference(), keys.new_reference()
    secrets = {keys.derive("we_1", one), keys.derive("we_2", one), keys.derive("we_1", other)}
    assert len(secrets) == 3
    assert None not in secrets
    assert SecretKeys([FIRST]).derive("we_1", one) == keys.derive("we_1", one)


def test_a_new_key_makes_new_secrets_and_the_old_one_still_opens_its_own() -> None:
    old = SecretKeys([FIRST])
    reference = old.new_reference()
    both = SecretKeys([SECOND, FIRST])
    assert both.derive("we_1", reference) == old.derive("we_1", reference)
    assert SecretKeys([SECOND]).derive("we_1", reference) is None
    assert both.new_reference().partition(".")[0] == SecretKeys([SECOND]).names[0]


def test_a_reference_tells_nothing_of_key_or_secret() -> None:
    keys = SecretKeys([FIRST])
    reference = keys.new_reference()
    secret = keys.derive("we_1", reference)
    assert secret is not None
    assert secret.hex() not in reference
    assert FIRST.get_secret_value() not in reference


def test_the_form_verifiers_take() -> None:
    secret = bytes(range(32))
    text = shown(secret)
    assert text.startswith("whsec_")
    assert base64.b64decode(text.removeprefix("whsec_"), validate=True) == secret
    assert hint(secret) == "whsec_…" + text[-5:]


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="PENSTOCK_SECRET_KEY"):
        SecretKeys([SecretStr("short")])
