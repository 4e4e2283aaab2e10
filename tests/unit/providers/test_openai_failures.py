"""What vendors compatible with OpenAI say when they refuse, beyond the common table."""

from typing import Any

import httpx
import orjson
import pytest
from conformance.wires.wire import ask

from penstock.configuration import ProviderConfig
from penstock.errors import (
    ProviderContentRefused,
    ProviderError,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnauthorized,
)
from penstock.providers.failures import ErrorFrame, Failures
from penstock.providers.openai_chat import OpenAIChat
from penstock.providers.openai_chat_reader import ChatReader


def refused(status: int, error: Any) -> ProviderError:
    config = ProviderConfig(wire_format="openai", base_url="http://127.0.0.1:9")
    made = OpenAIChat("river", config, httpx.AsyncClient())
    told = made._refusal(status, {}, error if isinstance(error, bytes) else orjson.dumps({"error": error}))
    return Failures("river", (), made.failures).refused(status, {}, told)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"code": "invalid_prompt", "type": "invalid_request_error", "message": "m"}, ProviderContentRefused),
        (400, {"type": "content_filter", "message": "high risk"}, ProviderContentRefused),
        (400, {"code": "1301", "message": "unsafe"}, ProviderContentRefused),
        (400, {"code": "data_inspection_failed", "message": "m"}, ProviderContentRefused),
        (429, {"type": "exceeded_current_quota_error", "message": "pay"}, ProviderRejected),
        (429, {"type": "engine_overloaded_error", "message": "m"}, ProviderOverloaded),
        (429, {"type": "rate_limit_reached_error", "message": "m"}, ProviderRateLimited),
        (429, {"code": "1113", "message": "in arrears"}, ProviderRejected),
        (429, {"code": "1302", "message": "m"}, ProviderRateLimited),
    ],
)
def test_refusals_by_the_vendors_own_words(status: int, error: Any, expected: type) -> None:
    assert type(refused(status, error)) is expected


def test_a_flagged_prompt_is_no_wrong_key() -> None:
    """Both are a 403 of OpenRouter."""
    flagged = {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"], "flagged_input": "x"}}
    caught = refused(403, flagged)
    assert (type(caught), caught.message, caught.status) == (ProviderContentRefused, "flagged", 403)
    for other in ({"code": 403, "message": "no"}, {"code": 403, "message": "no", "metadata": {}}, "no", b"<html>"):
        assert type(refused(403, other)) is ProviderUnauthorized


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1000, ProviderOverloaded),
        (1002, ProviderRateLimited),
        (1004, ProviderUnauthorized),
        (1008, ProviderRejected),
        (1026, ProviderContentRefused),
        (2013, ProviderRejected),
    ],
)
def test_numbers_in_an_answer_of_status_200(code: int, expected: type) -> None:
    """MiniMax's."""
    answer = {"choices": None, "base_resp": {"status_code": code, "status_msg": "why"}}
    with pytest.raises(ErrorFrame) as caught:
        list(ChatReader(ask()).chunk(answer, "message"))
    made = Failures("river", (), OpenAIChat.failures).frame(caught.value.error)
    assert type(made) is expected
    assert "why" in made.message or expected is ProviderUnauthorized
