"""A request as a body of Google's generateContent; plain and streamed calls have the same.

What the format cannot say is refused by name. Passed over are only hints that change no promise: `user`, and the name
and strictness of a JSON schema (schemas are always kept to there); `gemini_contents` names those in messages. Written
from the vendor's reference (ai.google.dev/api/generate-content) and the types of python-genai.
"""

import re
from typing import Any

from penstock.completion import CompletionRequest, ReasoningEffort, Text, Tool, ToolChoice
from penstock.errors import InvalidRequest
from penstock.providers.gemini_contents import contents

#: fields of the format itself that have no neutral meaning. Others in `extra` come from another dialect.
OWN_FIELDS = {"cachedContent", "generationConfig", "safetySettings", "serviceTier", "toolConfig"}

#: neutral fields and what the format's `generationConfig` calls them
_SETTINGS = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
#: the generations before the third count thoughts in tokens and know no levels; they do not ask for seals either
_EARLIER = re.compile(r"(?:models/)?gemini-[12]\.")
#: `HIGH` is the most that every model with levels knows
_LEVELS: dict[ReasoningEffort, str] = {
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
#: tokens, as the vendor's own OpenAI-compatible endpoint counts these words
_BUDGETS: dict[ReasoningEffort, int] = {
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 24_576,
    "max": 24_576,
}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}


def build(request: CompletionRequest, upstream_model: str) -> dict[str, Any]:
    """The body. System messages become the system instruction, wherever they stood.

    Raises:
        InvalidRequest: the format cannot say what is asked for; `param` names the field.
    """
    _refuse(request)
    earlier = _EARLIER.match(upstream_model) is not None
    body: dict[str, Any] = {
        **{name: value for name, value in request.extra.items() if name in OWN_FIELDS},
        "contents": contents(request.messages, needs_seals=not earlier),
    }
    system = [part for message in request.messages if message.role == "system" for part in message.parts]
    if not all(isinstance(part, Text) for part in system):
        raise InvalidRequest("A message of role `system` holds text only.", param="messages")
    texts = [{"text": part.text} for part in system if isinstance(part, Text) and part.text]
    if texts:
        body["systemInstruction"] = {"parts": texts}
    settings = {**_own(request, "generationConfig"), **_settings(request)}
    thinking = _thinking(request, earlier=earlier)
    if thinking is not None:
        settings.setdefault("thinkingConfig", thinking)
    if settings:
        body["generationConfig"] = settings
    _add_tools(body, request)
    return body


def _refuse(request: CompletionRequest) -> None:
    """What has no field in this format, unless it is asked for at its neutral value."""
    forbidden = request.tool_choice is not None and request.tool_choice.mode == "none"
    asked = {
        "logit_bias": bool(request.logit_bias),
        "parallel_tool_calls": request.parallel_tool_calls is False and bool(request.tools) and not forbidden,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise InvalidRequest(f"The model's provider has no `{name}`.", param=name)


def _own(request: CompletionRequest, name: str) -> dict[str, Any]:
    """An object of the format's own that ours is laid over."""
    own = request.extra.get(name)
    return own if isinstance(own, dict) else {}


def _settings(request: CompletionRequest) -> dict[str, Any]:
    neutral = {wire: getattr(request, name) for name, wire in _SETTINGS.items()}
    settings = {wire: value for wire, value in neutral.items() if value is not None}
    if request.n != 1:
        settings["candidateCount"] = request.n
    if request.stop:
        settings["stopSequences"] = list(request.stop)
    if request.logprobs:
        settings["responseLogprobs"] = True
        if request.top_logprobs is not None:
            settings["logprobs"] = request.top_logprobs
    wanted = request.response_format
    if wanted is not None and wanted.kind != "text":
        settings["responseMimeType"] = "application/json"
        if wanted.kind == "json_schema":
            settings["responseJsonSchema"] = wanted.schema or {"type": "object"}
    return settings


def _thinking(request: CompletionRequest, *, earlier: bool) -> dict[str, Any] | None:
    """A budget in tokens says more than a word. Whoever asks for thoughts is shown them."""
    budget, effort = request.reasoning_tokens, request.reasoning_effort
    if budget is None and effort == "none":
        # The one way to forbid thinking; a model that cannot do without says so.
        budget = 0
    if budget is None and effort is not None and earlier:
        budget = _BUDGETS[effort]
    if budget is not None:
        return {"thinkingBudget": budget} | ({"includeThoughts": True} if budget else {})
    return {"thinkingLevel": _LEVELS[effort], "includeThoughts": True} if effort is not None else None


def _add_tools(body: dict[str, Any], request: CompletionRequest) -> None:
    """Without tools, choosing among them says nothing; a tool that must be called stays and is refused upstream."""
    choice = request.tool_choice
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
    elif choice is None or choice.mode in {"auto", "none"}:
        return
    calling = _calling(choice, strict=any(tool.strict for tool in request.tools))
    if calling is not None:
        body["toolConfig"] = {**_own(request, "toolConfig"), "functionCallingConfig": calling}


def _calling(choice: ToolChoice | None, *, strict: bool) -> dict[str, Any] | None:
    """Calls that must fit their schema are a mode of choosing here; where one is forced, they always do."""
    if strict and (choice is None or choice.mode == "auto"):
        return {"mode": "VALIDATED"}
    if choice is None:
        return None
    return {"mode": _MODES[choice.mode]} | ({"allowedFunctionNames": [choice.name]} if choice.mode == "tool" else {})


def _tool(tool: Tool) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name, "parametersJsonSchema": {"type": "object", **tool.parameters}}
    return wire | ({"description": tool.description} if tool.description is not None else {})
