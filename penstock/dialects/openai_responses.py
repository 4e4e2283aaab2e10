"""OpenAI's responses: what the dialect says, in one place."""

from penstock.dialects.openai_errors import envelope as render_error
from penstock.dialects.responses_input import conversation, input_items
from penstock.dialects.responses_object import render, status
from penstock.dialects.responses_request import parse
from penstock.dialects.responses_stream import ResponsesStream, StreamFrame

__all__ = [
    "ResponsesStream",
    "StreamFrame",
    "conversation",
    "input_items",
    "parse",
    "render",
    "render_error",
    "status",
]
