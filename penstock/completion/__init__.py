"""The words every room speaks: messages, request, events, usage, result."""

from penstock.completion.embedding import EmbeddingRequest, EmbeddingResult
from penstock.completion.events import CompletionEvent, Finished, PartDelta, PartKind, PartStarted
from penstock.completion.messages import (
    CacheLifetime,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from penstock.completion.request import CompletionRequest, ReasoningEffort, ResponseFormat, Tool, ToolChoice
from penstock.completion.result import CompletionResult, ResultBuilder, ResultPart, TraceEntry
from penstock.completion.usage import Usage

__all__ = [
    "CacheLifetime",
    "CompletionEvent",
    "CompletionRequest",
    "CompletionResult",
    "Document",
    "EmbeddingRequest",
    "EmbeddingResult",
    "Finished",
    "Image",
    "Message",
    "Part",
    "PartDelta",
    "PartKind",
    "PartStarted",
    "Reasoning",
    "ReasoningEffort",
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
