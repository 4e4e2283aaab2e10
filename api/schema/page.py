"""The OpenAPI document as one page of plain HTML."""

import json
from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:light-dark(#d8dbe0,#3a3f47);--soft:light-dark(#f3f4f6,#22262c);
--dim:light-dark(#59616d,#a2abb8);--accent:light-dark(#0b5cad,#7ab8ff)}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1.5rem;
background:light-dark(#fff,#15181c);color:light-dark(#1a1d21,#e4e7eb)}
a{color:var(--accent)}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:var(--soft);padding:.7rem;border-radius:6px;overflow-x:auto}
nav ul{columns:2;list-style:none;padding:0}nav li{break-inside:avoid;overflow-wrap:anywhere}
h2{border-bottom:2px solid var(--line);margin-top:2.5rem;padding-bottom:.2rem;text-transform:capitalize}
h3{margin:2rem 0 .3rem;font:600 15px ui-monospace,monospace;overflow-wrap:anywhere}
h3 b{color:var(--accent);display:inline-block;min-width:4rem}h4{margin:.9rem 0 .2rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.25rem .6rem .25rem 0;
text-align:left;vertical-align:top}.dim{color:var(--dim)}td:first-child{white-space:nowrap}
@media(max-width:45rem){nav ul{columns:1}td:first-child{white-space:normal}}
"""
_REF = "#/components/schemas/"


def render(document: dict[str, Any], address: str) -> str:
    """The page; `address` is where the examples find the service."""
    info = document["info"]
    by_tag = {tag: list(rows) for tag, rows in groupby(sorted(_operations(document), key=_order(document)), key=_tag)}
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        *(f"<p>{_prose(text)}</p>" for text in info["description"].split("\n\n")),
        "<p>Send your key as <code>Authorization: Bearer KEY</code> or as <code>x-api-key: KEY</code>.",
        " The same for machines: <a href='openapi.json'>openapi.json</a>.</p>",
        "<nav><ul>",
        *(
            f"<li><a href='#{_anchor(method, path)}'><code>{method} {escape(path)}</code></a>"
            for rows in by_tag.values()
            for method, path, _ in rows
        ),
        "<li><a href='#schemas'>Schemas</a></ul></nav>",
    ]
    for tag, rows in by_tag.items():
        parts.append(f"<h2>{escape(tag)}</h2>")
        for method, path, operation in rows:
            parts += _section(document, address, method, path, operation)
    parts.append("<h2 id=schemas>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts += [f"<h3 id='schema-{escape(name)}'>{escape(name)}</h3>", *_fields(schema)]
    return "".join(parts)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _tag(row: tuple[str, str, dict[str, Any]]) -> str:
    tags = row[2]["tags"]
    return str(tags[0]) if tags else "other"


def _order(document: dict[str, Any]) -> Any:
    """Tags in the order of their first appearance."""
    places: dict[str, int] = {}
    for row in _operations(document):
        places.setdefault(_tag(row), len(places))
    return lambda row: places[_tag(row)]


def _section(
    document: dict[str, Any], address: str, method: str, path: str, operation: dict[str, Any]
) -> Iterator[str]:
    yield f"<h3 id='{_anchor(method, path)}'><b>{method}</b> {escape(path)}</h3>"
    yield f"<p>{_prose(operation['summary'])} {_prose(operation.get('description', ''))}</p>"
    if operation.get("parameters"):
        yield "<h4>Parameters</h4><table>"
        for one in operation["parameters"]:
            place = one["in"] + (", required" if one["required"] else "")
            yield _row(one["name"], f"{_type(one['schema'])} <span class=dim>({place})</span>", one["description"])
        yield "</table>"
    for media_type, content in operation.get("requestBody", {"content": {}})["content"].items():
        yield f"<h4>Body <span class=dim>{escape(media_type)}</span></h4><p>{_type(content['schema'])}</p>"
        yield from _fields(_resolved(document, content["schema"]))
    yield f"<h4>Example</h4><pre>{escape(_curl(document, address, method, path, operation))}</pre>"
    yield "<h4>Responses</h4><table>"
    for status, reply in operation["responses"].items():
        shown = [f"<code>{escape(name)}</code> {_told(one['schema'])}" for name, one in reply["content"].items()]
        yield _row(status, "<br>".join(shown), reply["description"])
    yield "</table>"


def _told(schema: dict[str, Any]) -> str:
    """The type of an answer; of a stream, which has none, what is said of it."""
    return _type(schema) or _prose(schema.get("description", ""))


def _row(name: str, kind: str, description: str) -> str:
    return f"<tr><td><code>{escape(name)}</code><td>{kind}<td>{_prose(description)}"


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    """The fields of an object as a table; another schema as its type."""
    if "properties" not in schema:
        yield f"<p>{_type(schema)}</p>"
        return
    required = schema.get("required", ())
    yield "<table>"
    for name, field in schema["properties"].items():
        said = next((one["description"] for one in (field, *field.get("anyOf", ())) if "description" in one), "")
        mark = " <span class=dim>required</span>" if name in required else ""
        yield _row(name, _type(field) + mark, said)
    yield "</table>"


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_REF))
        return f"<a href='#schema-{name}'>{name}</a>"
    for several in ("anyOf", "oneOf"):
        if several in schema and "type" not in schema:
            return " or ".join(_type(one) for one in schema[several])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"array of ({_type(schema['items'])})"
    bounds = [f"{sign} {schema[name]}" for name, sign in (("minimum", "≥"), ("maximum", "≤")) if name in schema]
    if schema.get("type") == "object" and "properties" in schema:
        required = schema.get("required", ())
        names = [escape(name) + ("" if name in required else "?") for name in schema["properties"]]
        return "{" + ", ".join(f"<code>{name}</code>" for name in names) + "}"
    return " ".join([str(schema.get("type", "")), *bounds])


def _curl(document: dict[str, Any], address: str, method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"curl {'' if method == 'GET' else f'-X {method} '}{address}{path}"]
    if operation.get("security", document["security"]):
        lines.append('-H "Authorization: Bearer $PENSTOCK_API_KEY"')
    content = operation.get("requestBody", {"content": {}})["content"]
    if "application/json" in content:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d '{json.dumps(content['application/json']['example'], ensure_ascii=False)}'")
    elif content:
        lines.append("-F purpose=batch -F file=@requests.jsonl")
    return " \\\n  ".join(lines)


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].removeprefix(_REF)]
    return found


def _prose(text: str) -> str:
    """Text with `names` set as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))


def _anchor(method: str, path: str) -> str:
    return escape(f"{method.lower()}{path.replace('{', '').replace('}', '').replace('/', '-')}")
