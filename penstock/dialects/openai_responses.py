"""OpenAI's responses: what the dialect says, in one place."""

from penstock.dialects.openai_errors import envelope as render_error
from penstock.dialects.responses_input import input_items
from penstock.dialects.responses_object import render, status
from penstock.dialects.responses_request import WINDOWS, parse, previous_not_found
from penstock.dialects.responses_stream import ResponsesStream, StreamFrame, joined

__all__ = [
    "WINDOWS",
    "ResponsesStream",
    "StreamFrame",
    "input_items",
    "joined",
    "parse",
    "previous_not_found",
    "render",
    "render_error",
    "status",
]
