"""The address under which a client reached this service, also through a proxy."""

import re

from fastapi import Request

#: a name or an IP address, perhaps with a port; nothing that could mean something else inside a URL
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def client_origin(request: Request) -> str:
    """Scheme and host as the client sees them, such as `https://llm.example.com`; empty where that cannot be told.

    What a proxy on the way says of the client's own request goes before what it made of it. Nobody but the client that
    sent these headers, or whose proxy did, is told what follows from them.
    """
    host = _first(request, "x-forwarded-host") or _first(request, "host")
    scheme = _first(request, "x-forwarded-proto").lower() or request.url.scheme
    if not _HOST.fullmatch(host) or scheme not in ("http", "https"):
        return ""
    return f"{scheme}://{host}"


def _first(request: Request, name: str) -> str:
    """The first of a header's values: each proxy adds its own at the end."""
    return request.headers.get(name, "").partition(",")[0].strip()
