"""The simulator of Amazon Bedrock, asked by a bare HTTP client: what it takes for signed, and what it refuses."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from penstock.providers.aws_event_stream import EventStreamDecoder
from penstock.providers.aws_signature import Signer
from simulator.options import SimulatorOptions
from simulator.server import start

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNER = Signer("AKIDEXAMPLE", SECRET, "us-east-1", "bedrock")
HI = {"messages": [{"role": "user", "content": [{"text": "[[echo: Hello you]]"}]}]}
TOOLS = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
CALLED = {"toolUse": {"toolUseId": "c1", "name": "f", "input": {}}}
PDF = {"format": "pdf", "source": {"bytes": "QUJD"}}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    options = SimulatorOptions(wire_format="bedrock", api_key=SECRET, embedding_dimensions=8)
    async with start(options) as url, httpx.AsyncClient(base_url=url, trust_env=False) as made:
        yield made


def asked(*content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}], **more}


def bearer(key: str = SECRET) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def ask(client: httpx.AsyncClient, body: Any, operation: str = "converse", model: str = "m") -> httpx.Response:
    return await client.post(f"/model/{model}/{operation}", json=body, headers=bearer())


async def test_an_answer_has_the_vendors_shape(client: httpx.AsyncClient) -> None:
    response = await ask(client, HI)
    assert response.json() == {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello you"}]}},
        "stopReason": "end_turn",
        "usage": {
            "inputTokens": 5,
            "outputTokens": 3,
            "totalTokens": 8,
            "cacheReadInputTokens": 0,
            "cacheWriteInputTokens": 0,
        },
        "metrics": {"latencyMs": 1},
    }
    assert response.headers["x-amzn-requestid"]


async def test_a_stream_has_the_vendors_events(client: httpx.AsyncClient) -> None:
    response = await ask(client, HI | {"toolConfig": TOOLS}, "converse-stream")
    assert response.headers["content-type"] == "application/vnd.amazon.eventstream"
    events = list(EventStreamDecoder().feed(response.content))
    assert [event.name for event in events] == [
        "messageStart",
        *["contentBlockDelta"] * 3,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert all(orjson.loads(event.data)["p"] for event in events)


async def test_a_model_that_is_told_to_thinks_and_knows_its_thoughts_again(client: httpx.AsyncClient) -> None:
    thinking = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}
    thought, text = (await ask(client, HI | thinking)).json()["output"]["message"]["content"]
    assert thought["reasoningContent"]["reasoningText"].keys() == {"text", "signature"}
    turns = [*HI["messages"], {"role": "assistant", "content": [thought, text]}, *HI["messages"]]
    assert (await ask(client, {"messages": turns})).status_code == 200
    thought["reasoningContent"]["reasoningText"]["text"] += "!"
    assert (await ask(client, {"messages": turns})).status_code == 400


async def signed(
    client: httpx.AsyncClient, signer: Signer = SIGNER, at: datetime | None = None, **sent: Any
) -> httpx.Response:
    """A signed call; what is sent may differ from what was signed."""
    path, content = "/model/m/converse", orjson.dumps(HI)
    headers = {"host": client.base_url.netloc.decode(), "content-type": "application/json"}
    headers |= signer.sign("POST", path, headers, content, at or datetime.now(UTC))
    headers |= sent.get("headers", {})
    return await client.post(sent.get("path", path), content=sent.get("content", content), headers=headers)


async def test_a_signed_call(client: httpx.AsyncClient) -> None:
    assert (await signed(client)).status_code == 200
    assert (await signed(client, replace(SIGNER, session_token="a-token"))).status_code == 200
    assert (await signed(client, at=datetime.now(UTC) - timedelta(minutes=4))).status_code == 200


@pytest.mark.parametrize(
    ("signer", "minutes", "sent"),
    [
        (replace(SIGNER, secret_access_key="another"), 0, {}),
        (replace(SIGNER, service="s3"), 0, {}),
        (SIGNER, -6, {}),
        (SIGNER, 6, {}),
        (SIGNER, 0, {"content": orjson.dumps(HI | {"system": []})}),
        (SIGNER, 0, {"path": "/model/n/converse"}),
        (SIGNER, 0, {"path": "/model/m/converse?x=1"}),
        (SIGNER, 0, {"headers": {"content-type": "text/plain"}}),
        (SIGNER, 0, {"headers": {"x-amz-security-token": "unsigned"}}),
    ],
    ids=["secret", "service", "old", "early", "body", "path", "query", "header", "unsigned header"],
)
async def test_what_does_not_fit_its_signature(
    client: httpx.AsyncClient, signer: Signer, minutes: int, sent: dict[str, Any]
) -> None:
    response = await signed(client, signer, datetime.now(UTC) + timedelta(minutes=minutes), **sent)
    assert response.status_code == 403
    assert response.headers["x-amzn-errortype"].startswith("InvalidSignatureException:")


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, "MissingAuthenticationTokenException"),
        (bearer("another"), "AccessDeniedException"),
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=x"}, "IncompleteSignatureException"),
    ],
)
async def test_other_ways_to_stay_outside(client: httpx.AsyncClient, headers: dict[str, str], kind: str) -> None:
    response = await client.post("/model/m/converse", json=HI, headers=headers)
    assert response.status_code == 403
    assert response.headers["x-amzn-errortype"].startswith(f"{kind}:")
    assert SECRET not in response.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        asked({"text": " "}),
        asked({"text": "a", "image": PDF}),
        asked({"picture": {}}),
        asked({"image": {"format": "tiff", "source": {"bytes": "QUJD"}}}),
        asked({"image": {"format": "png", "source": {"bytes": "?"}}}),
        asked({"document": PDF | {"name": "a"}}),
        asked({"document": PDF | {"name": "a.pdf"}}, {"text": "Read."}),
        asked({"document": PDF | {"name": "a"}}, {"document": PDF | {"name": "A"}}, {"text": "Read."}),
        {"messages": [{"role": "assistant", "content": [{"text": "a"}]}]},
        {"messages": [*HI["messages"], *HI["messages"]]},
        {"messages": [*HI["messages"], {"role": "assistant", "content": [CALLED]}]},
        {"messages": [*HI["messages"], {"role": "assistant", "content": [{"toolUse": {"name": "f"}}]}]},
        asked({"toolResult": {"toolUseId": "c1", "content": []}}, toolConfig=TOOLS),
        asked({"toolResult": {"toolUseId": "c1", "content": [{"text": ""}]}}, toolConfig=TOOLS),
        HI | {"toolConfig": {"tools": []}},
        HI | {"toolConfig": TOOLS | {"toolChoice": {"none": {}}}},
        HI | {"toolConfig": TOOLS | {"toolChoice": {"tool": {"name": "g"}}}},
        HI
        | {"toolConfig": TOOLS | {"toolChoice": {"any": {}}}}
        | {"additionalModelRequestFields": {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}},
        HI | {"additionalModelRequestFields": {"tool_choice": {"type": "auto"}}},
        HI | {"inferenceConfig": {"temperature": 1.5}},
        HI | {"inferenceConfig": {"maxTokens": 0}},
        HI | {"additionalModelResponseFieldPaths": ["stop_sequence"]},
        HI | {"outputConfig": {"textFormat": {"type": "json_object"}}},
        HI | {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": {}}}}}},
    ],
)
async def test_what_the_vendor_refuses(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await ask(client, body)
    assert response.status_code == 400
    assert response.headers["x-amzn-errortype"].startswith("ValidationException:")
    assert response.json()["message"]


async def test_a_model_may_be_an_arn(client: httpx.AsyncClient) -> None:
    response = await ask(client, HI, model="arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprofile%2Fabc")
    assert response.status_code == 200
    stats = (await client.get("/_sim/stats")).json()
    assert stats["by_model"] == {"arn:aws:bedrock:us-east-1:1:profile/abc": 1}


async def test_both_ways_to_embed(client: httpx.AsyncClient) -> None:
    titan = await ask(client, {"inputText": "Hi", "dimensions": 4}, "invoke", "amazon.titan-embed-text-v2:0")
    assert (len(titan.json()["embedding"]), titan.json()["inputTextTokenCount"]) == (4, 1)
    body = {"texts": ["Hi", "Ho"], "input_type": "search_query"}
    cohere = await ask(client, body, "invoke", "cohere.embed-english-v3")
    assert [len(vector) for vector in cohere.json()["embeddings"]] == [8, 8]
    typed = await ask(client, body | {"embedding_types": ["float"]}, "invoke", "cohere.embed-v4:0")
    assert typed.json()["embeddings"] == {"float": cohere.json()["embeddings"]}
    for response in (titan, cohere, typed):
        assert response.headers["x-amzn-bedrock-input-token-count"] == "1"


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("anthropic.claude-x", {"inputText": "Hi"}),
        ("amazon.titan-embed-text-v2:0", {"inputText": "Hi", "texts": []}),
        ("amazon.titan-embed-text-v2:0", {"inputText": ""}),
        ("cohere.embed-v4:0", {"texts": ["Hi"]}),
        ("cohere.embed-v4:0", {"texts": ["Hi"] * 97, "input_type": "search_query"}),
    ],
)
async def test_embeddings_that_are_refused(client: httpx.AsyncClient, model: str, body: dict[str, Any]) -> None:
    assert (await ask(client, body, "invoke", model)).status_code == 400


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/foundation-models", headers=bearer())).json()["modelSummaries"]
    assert [model["modelId"] for model in listed] == ["sim-small", "sim-large"]
