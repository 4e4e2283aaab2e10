"""What a configuration that cannot be used is told about: the place and the reason, never the values beside it."""

from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.settings import load_config

#: without any form by which it could be told for a secret
MARK = "mark0provider0key0c2f1"
BROKEN = {
    "unquoted colon": "providers:\n  a:\n    api_key: MARK: x\n",
    "open quote": 'providers:\n  a:\n    api_key: "MARK\n    b: c\n',
    "unknown tag": "providers:\n  a:\n    api_key: !none MARK\n",
    "unknown alias": "keys: [{key: MARK, tenant: *none}]\n",
    "not a section": "providers: MARK\n",
    "misspelt": 'providers:\n  a: {wire_format: openai, base_url: "http://h", api_kee: MARK}\n',
    "wrong type": 'providers:\n  a: {wire_format: openai, base_url: "http://h", api_key: [MARK]}\n',
    "a list for a key": "keys: [[MARK]]\n",
    "no webhook secret": 'webhooks: {endpoints: [{url: "http://h", secret: MARK}]}\n',
    "no address": 'providers:\n  a: {wire_format: openai, base_url: "h", api_key: MARK}\n',
    "other scopes": "keys: [{key: MARK, scopes: [root]}]\n",
    "no scopes": "keys: [{key: MARK, scopes: []}]\n",
    "other tier": "keys: [{key: MARK, tier: gold}]\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_values_are_not_quoted(tmp_path: Path, text: str):
    file = tmp_path / "penstock.yaml"
    file.write_text(text.replace("MARK", MARK))
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(file) in caught.value.message
    assert MARK not in caught.value.message


def test_a_syntax_error_is_found_by_its_place(tmp_path: Path):
    file = tmp_path / "penstock.yaml"
    file.write_text("providers:\n  a:\n    api_key: x: y\n")
    with pytest.raises(ConfigError, match="mapping values are not allowed here at line 3, column 15"):
        load_config(file)
