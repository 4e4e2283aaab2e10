"""The body of a legacy completion as the neutral request.

Chat models serve these too: a prompt becomes one message of the user. So what needs the bare model is refused, with
the field named: prompts of tokens, a `suffix` to write towards, scores of the prompt itself (`echo` with `logprobs`, or
`max_tokens` 0), the best of more answers than are given. `echo` alone puts the prompt before the answer. Without
`max_tokens` the model's own limit holds, not the vendor's 16, which a model that thinks would spend before it answers.
Several prompts are asked one by one; their choices come in the order of the prompts.
"""

from dataclasses import replace
from typing import Any

from penstock.completion import CompletionRequest, Message, Text
from penstock.dialects.chat_request import parse as parse_chat
from penstock.dialects.fields import boolean, integer, required, required_string, string, wrong_type, wrong_value
from penstock.dialects.openai_fields import MAX_TOP_LOGPROBS

#: of one request; the vendor's own limit for prompts
MAX_TEXTS = 2048
#: what an answer in this dialect has no place for
_NO_PLACE = ("messages", "tools", "tool_choice", "functions", "function_call")
_OURS = frozenset(("prompt", "logprobs", "top_logprobs", "echo", "suffix", "best_of"))


def parse(body: dict[str, Any]) -> CompletionRequest:
    """The request in a body. A null field counts as left out.

    Raises:
        InvalidRequest: it cannot be used; `param` names the field.
    """
    required_string(body, "model")
    texts = _texts(required(body, "prompt"))
    _refuse(body)
    logprobs = integer(body, "logprobs", 0, MAX_TOP_LOGPROBS)
    chat = {name: value for name, value in body.items() if name not in _OURS}
    chat["messages"] = [{"role": "user", "content": texts[0]}]
    request = parse_chat(chat)
    if request.n * len(texts) > MAX_TEXTS:
        raise wrong_value("n", f"it asks for more than {MAX_TEXTS} choices.")
    return replace(
        request,
        logprobs=logprobs is not None,
        top_logprobs=logprobs or None,
        others=tuple((Message("user", (Text(text),)),) for text in texts[1:]),
    )


def prompts(body: dict[str, Any]) -> list[str]:
    """The prompts of a body that was parsed before."""
    value = body["prompt"]
    return [value] if isinstance(value, str) else list(value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise wrong_type("prompt", "a string or an array of strings")
    if not value:
        raise wrong_value("prompt", "it is empty.")
    if len(value) > MAX_TEXTS:
        raise wrong_value("prompt", f"it holds more than {MAX_TEXTS} prompts.")
    for place, item in enumerate(value):
        if isinstance(item, int | list):
            raise wrong_value("prompt", "prompts of tokens cannot be served here: send them as texts.")
        if not isinstance(item, str):
            raise wrong_type(f"prompt[{place}]", "a string")
    return value


def _refuse(body: dict[str, Any]) -> None:
    for name in _NO_PLACE:
        if body.get(name) is not None:
            raise wrong_value(name, "completions have none; use chat completions.")
    if string(body, "suffix"):
        raise wrong_value("suffix", "models here cannot write towards a suffix.")
    if boolean(body, "echo") and body.get("logprobs") is not None:
        raise wrong_value("logprobs", "with 'echo' it asks for scores of the prompt, which models here do not give.")
    if integer(body, "max_tokens", 0) == 0:
        raise wrong_value("max_tokens", "it must be at least 1: models here cannot score a prompt.")
    best_of, n = integer(body, "best_of", 1), integer(body, "n", 1) or 1
    if best_of is not None and best_of != n:
        raise wrong_value("best_of", "models here cannot choose among answers; leave it out, or equal to 'n'.")
