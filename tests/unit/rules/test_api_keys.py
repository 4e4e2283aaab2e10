"""What API keys look like, and what is kept of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.api_keys import PREFIX, SCOPES, digest, hint, new_key, ordered, pepper, scope_of, well_formed


def test_a_new_key_is_long_known_by_its_prefix_and_never_made_twice():
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(key.startswith(PREFIX) and len(key) == len(PREFIX) + 43 and well_formed(key) for key in keys)


@pytest.mark.parametrize("text", ["", PREFIX, "sk-team-a-key", PREFIX + "a" * 42, PREFIX + "a" * 44, PREFIX + "é" * 43])
def test_what_is_no_key_of_ours_need_not_be_looked_up(text: str):
    assert not well_formed(text)
    assert not well_formed(new_key() + text + "\n")


@given(st.text(max_size=80), st.text(max_size=80), st.binary(min_size=32, max_size=32))
def test_digests_differ_where_keys_or_peppers_do(one: str, other: str, salt: bytes):
    assert (digest(one, salt) == digest(other, salt)) is (one == other)
    assert digest(one, salt) != digest(one, salt[:-1] + bytes([salt[-1] ^ 1]))


def test_the_pepper_follows_from_the_secret_key_and_is_not_it():
    assert pepper("a" * 32) == pepper("a" * 32) != pepper("b" * 32)
    assert b"a" * 8 not in pepper("a" * 32)


def test_the_hint_tells_little():
    key = new_key()
    assert hint(key) == f"{PREFIX}…{key[-4:]}"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", ""])
def test_only_reading_methods_are_reading(method: str):
    assert (scope_of("GET"), scope_of("HEAD"), scope_of(method)) == ("read", "read", "write")


def test_scopes_have_one_order():
    assert ordered(["admin", "read", "admin"]) == ["read", "admin"]
    assert ordered(SCOPES) == list(SCOPES)
