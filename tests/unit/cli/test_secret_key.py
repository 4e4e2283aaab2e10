"""The key that tenants' webhook secrets come from: kept in the data folder, or given by the environment."""

from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.startup import SECRET_KEY_FILE, kept_key, secret_key_environment, secret_keys
from penstock.webhooks.secrets import MIN_KEY_CHARACTERS


def test_a_kept_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / SECRET_KEY_FILE
    key = kept_key(file)
    assert len(key) >= MIN_KEY_CHARACTERS
    assert kept_key(file) == key
    assert file.stat().st_mode & 0o077 == 0
    assert kept_key(tmp_path / "other", "sk-").startswith("sk-")


def test_a_role_that_joins_a_stack_gets_its_key_unless_it_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_SECRET_KEY", raising=False)
    assert secret_key_environment(tmp_path) == {}
    key = kept_key(tmp_path / SECRET_KEY_FILE)
    assert secret_key_environment(tmp_path) == {"PENSTOCK_SECRET_KEY": key}
    monkeypatch.setenv("PENSTOCK_SECRET_KEY", "mine")
    assert secret_key_environment(tmp_path) == {}


def test_several_keys_are_separated_by_commas_and_a_short_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET_KEY", f"{'n' * 32}, {'o' * 32}")
    assert [key.get_secret_value()[0] for key in secret_keys()] == ["n", "o"]
    monkeypatch.setenv("PENSTOCK_SECRET_KEY", "short")
    with pytest.raises(ConfigError, match="at least 32 characters"):
        secret_keys()
