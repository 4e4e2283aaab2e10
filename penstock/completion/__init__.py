"""The words every room speaks: messages, request, events, usage, result."""

from penstock.completion.events import CompletionEvent, Finished, PartDelta, PartKind, PartStarted
from penstock.completion.messages import Image, Message, Part, Text, ToolCall, ToolResult
from penstock.completion.request import CompletionRequest, ResponseFormat, Tool, ToolChoice
from penstock.completion.result import CompletionResult, ResultBuilder, ResultPart, TraceEntry
from penstock.completion.usage import Usage

__all__ = [
    "CompletionEvent",
    "CompletionRequest",
    "CompletionResult",
    "Finished",
    "Image",
    "Message",
    "Part",
    "PartDelta",
    "PartKind",
    "PartStarted",
    "ResponseFormat",
    "ResultBuilder",
    "ResultPart",
    "Text",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "TraceEntry",
    "Usage",
]
