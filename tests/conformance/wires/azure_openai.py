"""Answers of Azure OpenAI: OpenAI's, after a first chunk with what the filter thinks of the prompt."""

from dataclasses import replace
from typing import Any

from conformance.upstream import KEY
from conformance.wires import openai
from conformance.wires.wire import Parts, sse

from penstock.providers.azure_openai import AzureOpenAI

_SAFE = {"hate": {"filtered": False, "severity": "safe"}}
_FILTERED = [{"prompt_index": 0, "content_filter_results": _SAFE}]
_PATH = "/openai/deployments/served/chat/completions"
_QUERY = "?api-version=2024-10-21"


def plain(parts: Parts, reason: str = "stop", **more: Any) -> Any:
    answer = openai.plain(parts, reason, content_filter_results=_SAFE, **more)
    return answer | {"prompt_filter_results": _FILTERED}


def events(parts: Parts, reason: str = "stop", **more: Any) -> list[bytes]:
    first = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": _FILTERED}
    return [sse(first), *openai.events(parts, reason, content_filter_results={}, **more)]


WIRE = replace(
    openai.WIRE,
    format="azure-openai",
    adapter=AzureOpenAI,
    base="",
    path=_PATH + _QUERY,
    stream_path=_PATH + _QUERY,
    credentials={"api-key": KEY},
    plain=plain,
    events=events,
    stop_string=None,
    bases={
        "": _PATH + _QUERY,
        "/openai/": _PATH + _QUERY,
        "/openai/v1/": f"/openai/v1/chat/completions{_QUERY}",
        "/proxy": f"/proxy{_PATH}{_QUERY}",
    },
    config={"api_version": "2024-10-21"},
)
