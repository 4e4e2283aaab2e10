"""`/openapi.json` and `/docs`: the description of this door, for machines and for readers."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from api.replies import json_reply
from api.schema.document import document
from api.schema.page import render

router = APIRouter(tags=["description"])

#: the page has one style sheet, its own, and nothing else
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return json_reply(_document(request.app))


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The document as a page that needs no script and nothing from elsewhere."""
    page = render(_document(request.app), str(request.base_url).rstrip("/"))
    return HTMLResponse(page, headers={"content-security-policy": _POLICY})


def _document(app: FastAPI) -> dict[str, Any]:
    """Made once, where the framework keeps its own."""
    if app.openapi_schema is None:
        app.openapi_schema = document(app)
    return app.openapi_schema
