"""What the requests of OpenAI's endpoints have in common."""

from collections.abc import Mapping
from typing import Any

from simulator import fields
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError

#: what a picture counts for, in tokens
IMAGE_TOKENS = 85
_TEXT_PARTS = {"text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text"}
_IMAGE_PARTS = {"image_url", "input_image", "input_file", "file", "input_audio"}


def content_text(content: Any, where: str, transcript: Transcript) -> str:
    """The text of a message's content: a string or a list of parts.

    Raises:
        RefusalError: 400, as from every function here.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise fields.wrong(where, "a string or an array of content parts")
    texts = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _IMAGE_PARTS:
            transcript.weigh(IMAGE_TOKENS)
        elif kind in _TEXT_PARTS:
            text = part.get("text", part.get("refusal"))
            if not isinstance(text, str):
                raise fields.wrong(f"{where}[{index}].text", "a string")
            texts.append(text)
        else:
            raise fields.wrong(f"{where}[{index}].type", "a known content part")
    return "".join(texts)


def check_sampling(body: dict[str, Any]) -> None:
    """Check the numbers that steer sampling; a simulated answer does not depend on them."""
    fields.number(body, "temperature", 0, 2)
    fields.number(body, "top_p", 0, 1)
    fields.number(body, "presence_penalty", -2, 2)
    fields.number(body, "frequency_penalty", -2, 2)


def read_tool_choice(question: Question, choice: Any, name: str | None) -> None:
    """Set the tool that must be called; `name` is the one the choice names, if any."""
    if choice is None or choice in ("none", "auto"):
        return
    if choice == "required":
        if not question.tools:
            raise fields.wrong("tool_choice", "tools to choose from")
        question.forced_tool = next(iter(question.tools))
    elif isinstance(choice, dict) and name in question.tools:
        question.forced_tool = name
    else:
        raise fields.wrong("tool_choice", "none, auto, required, or one of the tools given")


def function_schema(function: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Name and parameter schema of a function tool."""
    if not isinstance(function, dict):
        raise fields.missing(where)
    name = fields.string(function, "name")
    return name, fields.mapping(function, "parameters") or {}


def bearer(headers: Mapping[str, str]) -> str:
    """The token of the Authorization header, empty when there is none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def authorise(headers: Mapping[str, str], api_key: str) -> None:
    """Compare the bearer token with the key.

    Raises:
        RefusalError: 401.
    """
    if bearer(headers) != api_key:
        raise RefusalError(401, "Incorrect API key provided.", code="invalid_api_key")
