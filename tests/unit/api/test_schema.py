"""The description of the door: every route is in it, and it is whole."""

import html.parser
import inspect
import re
from typing import Any

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.schema.document import OPERATIONS, document, routes_of
from api.schema.page import render
from penstock.settings import Settings, parse_config

READS_BODY = re.compile(r"\b(json_object|completion_body|keeps_old|request\.(stream|form|body))\(")


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(config=parse_config({}, "test"), database_url="", redis_url="", broker_url=""))


@pytest.fixture(scope="module")
def described(app: FastAPI) -> dict[str, Any]:
    return document(app)


def test_every_route_is_described(app: FastAPI) -> None:
    served = {(method, path) for method, path, _ in routes_of(app)}
    assert len(served) > 40
    assert served == set(OPERATIONS)


def test_every_operation_is_whole(app: FastAPI, described: dict[str, Any]) -> None:
    ids = set()
    for method, path, route in routes_of(app):
        operation = described["paths"][path][method.lower()]
        ids.add(operation["operationId"])
        assert operation["summary"].endswith((".", "`")), (method, path)
        assert operation["tags"], (method, path)
        statuses = set(operation["responses"])
        assert statuses & {"200", "202"}, (method, path)
        assert "security" in operation or {"401", "503"} <= statuses, (method, path)
        for response in operation["responses"].values():
            assert response["description"]
            assert all("schema" in content for content in response["content"].values())
        reads = bool(READS_BODY.search(inspect.getsource(route.endpoint)))
        assert ("requestBody" in operation) == reads, (method, path)
        named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), (method, path)
    assert len(ids) == len(OPERATIONS)


def test_headers_and_queries_that_a_route_reads_are_told(app: FastAPI, described: dict[str, Any]) -> None:
    """What a route's source asks for by name stands in its description."""
    for method, path, route in routes_of(app):
        source = inspect.getsource(route.endpoint)
        read = set(re.findall(r"""(?:query_integer|query_word|_flag)\(request, "(\w+)\"""", source))
        read |= set(re.findall(r"""query_params\.get\("(\w+)\"""", source))
        read |= set(re.findall(r"""headers\.get\("([\w-]+)\"""", source)) - {"content-length", "content-type"}
        told = {one["name"].lower() for one in described["paths"][path][method.lower()].get("parameters", ())}
        assert read <= told, (method, path)
        keyed = re.search(r"made_before\(|_submit\(|key_of\(", source) is not None
        assert keyed == ("idempotency-key" in told), path


def test_references_lead_somewhere(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    named = set(re.findall(r"'#/components/schemas/(\w+)'", str(described)))
    assert named == set(schemas)


class Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                assert value not in self.ids
                self.ids.add(value or "")
            if name in ("href", "src"):
                self.links.add(value or "")


def test_the_page_needs_nothing_from_elsewhere(described: dict[str, Any]) -> None:
    reader = Reader()
    page = render(described, "http://127.0.0.1:8000")
    reader.feed(page)
    assert not reader.tags & {"script", "link", "img", "iframe"}
    assert all(link == "openapi.json" or link[1:] in reader.ids for link in reader.links)
    assert "url(" not in page
    assert "@import" not in page
    for _, path in OPERATIONS:
        assert path in page
