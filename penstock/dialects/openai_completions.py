"""OpenAI's legacy completions: what the dialect says, in one place."""

from penstock.dialects.openai_errors import envelope as render_error
from penstock.dialects.text_object import render
from penstock.dialects.text_request import parse
from penstock.dialects.text_stream import TextStream

__all__ = ["TextStream", "parse", "render", "render_error"]
