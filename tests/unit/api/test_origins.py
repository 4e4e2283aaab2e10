"""The address under which a client reached the service."""

import pytest
from fastapi import Request

from api.origins import client_origin


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"host": "127.0.0.1:8000"}, "http://127.0.0.1:8000"),
        ({"host": "[::1]:8000"}, "http://[::1]:8000"),
        ({"host": "inner:8000", "x-forwarded-host": "llm.example.com"}, "http://llm.example.com"),
        ({"host": "llm.example.com", "x-forwarded-proto": "https"}, "https://llm.example.com"),
        ({"host": "x", "x-forwarded-host": "a.example, b", "x-forwarded-proto": "HTTPS, http"}, "https://a.example"),
        ({}, ""),
        ({"host": "a{b}"}, ""),
        ({"host": "good", "x-forwarded-host": "evil/../x"}, ""),
        ({"host": "a@b"}, ""),
        ({"host": "good", "x-forwarded-proto": "javascript"}, ""),
    ],
)
def test_it_is_what_the_client_sees(headers: dict[str, str], origin: str):
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "scheme": "http", "headers": pairs, "path": "/", "server": ("inner", 1)})
    assert client_origin(request) == origin
