"""The OpenAPI document: each route's own words, and what the modules beside this one say of its bodies and answers."""

import inspect
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api.schema import admin, anthropic, batches, cache, chat, errors, jobs, learnt, responses, webhooks
from api.schema.shapes import Operation
from api.vendors import speaks_anthropic

_ABOUT = """\
Models of many providers behind the interfaces of OpenAI and Anthropic; every call is a durable job.

Fields that no schema names are let through to the provider. Errors come in Anthropic's envelope under `/v1/messages`,
and wherever the header `anthropic-version` is sent; in OpenAI's everywhere else. Any request can end
with 408 when it comes too slowly, and with 431 when its header is too large."""
_PARTS = (chat, responses, batches, anthropic, jobs, cache, webhooks, admin, learnt)
_OPENAI, _ANTHROPIC = "OpenAIError", "AnthropicError"
OPERATIONS = {key: value for part in _PARTS for key, value in part.OPERATIONS.items()}


def routes_of(app: FastAPI) -> Iterator[tuple[str, str, APIRoute]]:
    """Method, path as the document writes it, and route, of everything the application serves."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            path = (context.path or "").replace(":path}", "}")
            for method in sorted(context.methods or ()):
                yield method, path, route


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application.

    Raises:
        KeyError: a route is not described.
    """
    paths: dict[str, Any] = {}
    for method, path, route in routes_of(app):
        paths.setdefault(path, {})[method.lower()] = _operation(OPERATIONS[method, path], path, route)
    schemas = {name: schema for part in (errors, *_PARTS) for name, schema in part.SCHEMAS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": app.title, "version": app.version, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{"bearer": []}, {"x-api-key": []}],
    }


def _operation(described: Operation, path: str, route: APIRoute) -> Operation:
    """Summary and description are the route's docstring; the envelope of errors follows from the path."""
    summary, _, rest = inspect.getdoc(route.endpoint).partition("\n\n")  # type: ignore[union-attr]
    parts = {name: value for name, value in described.items() if name not in ("errors", "responses")}
    bad = errors.responses(described["errors"], *_envelopes(described, path))
    return {
        "operationId": f"{route.endpoint.__module__.removeprefix('api.')}.{route.name}".replace(".", "_"),
        "summary": " ".join(summary.split()),
        **({"description": " ".join(rest.split())} if rest else {}),
        "tags": list(map(str, route.tags)),
        **parts,
        "responses": described["responses"] | bad,
    }


def _envelopes(described: Operation, path: str) -> tuple[str, ...]:
    if speaks_anthropic({"path": path, "headers": []}):
        return (_ANTHROPIC,)
    chosen = any(one["name"] == "anthropic-version" for one in described.get("parameters", ()))
    return (_OPENAI, _ANTHROPIC) if chosen else (_OPENAI,)
