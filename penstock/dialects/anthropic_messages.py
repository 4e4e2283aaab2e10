"""Anthropic's messages: what the dialect says, in one place."""

from penstock.dialects.anthropic_errors import envelope as render_error
from penstock.dialects.anthropic_object import render
from penstock.dialects.anthropic_request import parse, parse_prompt
from penstock.dialects.anthropic_stream import MessagesStream

__all__ = ["MessagesStream", "parse", "parse_prompt", "render", "render_error"]
