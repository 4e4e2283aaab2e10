"""OpenAI's chat completions: what the dialect says, in one place."""

from penstock.dialects.chat_object import render
from penstock.dialects.chat_request import parse
from penstock.dialects.chat_stream import ChatStream
from penstock.dialects.openai_errors import envelope as render_error

__all__ = ["ChatStream", "parse", "render", "render_error"]
