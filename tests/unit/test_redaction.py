"""What is taken out of texts, and what is left in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.redaction import MASK, SHORTEST, Redactor


@given(st.text(max_size=60), st.text(min_size=SHORTEST, max_size=40), st.text(max_size=60))
def test_no_known_secret_is_left(before: str, secret: str, after: str):
    if secret not in MASK * 20:
        assert secret not in Redactor([secret]).redact(before + secret + after)


@given(st.text(max_size=200))
def test_redacting_twice_changes_nothing_more(text: str):
    redactor = Redactor(["a known secret"])
    once = redactor.redact(text)
    assert redactor.redact(once) == once


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://penstock:hunter2@db:5432/x", "postgresql://***@db:5432/x"),
        ("redis://:p4ssword@cache:6379/0 is away", "redis://***@cache:6379/0 is away"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer ***"),
        ("{'authorization': 'Bearer abcdefghijkl', 'x': 1}", "{'authorization': 'Bearer ***', 'x': 1}"),
        ("(b'x-api-key', b'abcdefgh')", "(b'x-api-key', b'***')"),
        ('"api_key": "abcdefgh", "model": "m"', '"api_key": "***", "model": "m"'),
        ("api-key=abcdefgh&model=m", "api-key=***&model=m"),
        ("https://h/hook?token=abcdefgh&run=17", "https://h/hook?token=***&run=17"),
        ("host=db password=hunter2 dbname=x", "host=db password=*** dbname=x"),
        ("aws_secret_access_key: abcdefgh", "aws_secret_access_key: ***"),
        ("PENSTOCK_SECRET_KEY=abcdefgh", "PENSTOCK_SECRET_KEY=***"),
        ("sk-proj-abcdefghijklmnop is wrong", "sk-*** is wrong"),
        ("signed with whsec_AAECAwQFBgcICQoLDA==", "signed with whsec_***"),
        ("AIza" + "x" * 35, "AIza***"),
        ("key sk-penstock-" + "aB3_-" * 8 + "xyz.", "key sk-***."),
    ],
)
def test_forms(text: str, left: str):
    assert Redactor().redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "a job goes on elsewhere job=0190aaaa was=sk-sim now=fast",
        "quota 12 tokens, max_tokens: 100, tokens=12345",
        "http://127.0.0.1:8000/v1/files: 404",
        "the key of this basic thing",
        "keys[0].tier: there is no tier `gold`",
        "2026-11-25T12:00:00 [info] listening on 0.0.0.0:8000",
    ],
)
def test_what_is_no_secret_stays(text: str):
    assert Redactor(["short"]).redact(text) == text
