"""Answers: their texts as passages, and whether their JSON is what was asked for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from penstock.completion import CompletionRequest, CompletionResult, ResultPart
from penstock.completion.encoding import dumps, loads
from penstock.configuration.policies import Place
from penstock.guard.texts import json_text
from penstock.rules.json_schema import misfit, unusable

#: stands in an answer for what was taken out of it
_REMOVED = "[REDACTED_{}]"
_ANSWER: Place = "assistant"


def removed(kind: str) -> str:
    """What stands in an answer in the place of something of this kind."""
    return _REMOVED.format(kind.upper())


def visit_answer(result: CompletionResult, visit: Callable[[str, Place], str]) -> CompletionResult:
    """The answer with every text replaced by what `visit` gives for it.

    A part that changes loses its log probabilities, which spell out its text, and comes as one delta. A thought that
    its vendor has sealed is visited, but stays as it is: the vendor would not take it back.
    """
    parts, changed = [], set()
    for index, part in enumerate(result.parts):
        text = _visited(part, visit)
        if text == part.text or part.signature is not None:
            parts.append(part)
            continue
        changed.add(index)
        parts.append(replace(part, text=text, logprobs=()))
    if not changed:
        return result
    trace, seen = [], set()
    for entry in result.trace:
        if entry[0] not in changed:
            trace.append(entry)
        elif entry[0] not in seen:
            seen.add(entry[0])
            trace += [(entry[0], 0, 0), (entry[0], len(parts[entry[0]].text), 0)]
    return replace(result, parts=tuple(parts), trace=tuple(trace))


def _visited(part: ResultPart, visit: Callable[[str, Place], str]) -> str:
    return json_text(part.text, visit, _ANSWER) if part.kind == "tool_call" else visit(part.text, _ANSWER)


class SchemaCheck:
    """Judges the text of each choice by a schema: a configured one, or the one of the request."""

    def __init__(self, schema: dict[str, Any] | None) -> None:
        """Raises `ValueError` when the configured schema is none."""
        self._schema = dumps(schema) if schema is not None else None
        if self._schema is not None and (why := unusable(self._schema)) is not None:
            raise ValueError(f"the schema cannot be used: {why}")

    def wrong(self, request: CompletionRequest, result: CompletionResult) -> str | None:
        """What is wrong with the answer, in words that do not quote it; None where nothing is, or nothing is asked."""
        form = request.response_format
        schema = self._schema
        if schema is None and form is not None and form.kind == "json_schema" and form.schema is not None:
            schema = dumps(form.schema)
        if schema is None and (form is None or form.kind == "text"):
            return None
        if schema is not None and unusable(schema) is not None:
            return None  # it is the provider's to refuse
        for text in _texts(result):
            try:
                value = loads(text)
            except ValueError:
                return "it is not JSON"
            if schema is None and not isinstance(value, dict):
                return "it is not a JSON object"
            fault = misfit(schema, value) if schema is not None else None
            if fault is not None:
                return f"it is not of its JSON schema ({fault})"
        return None


def _texts(result: CompletionResult) -> Iterator[str]:
    """The text of each choice that has one: one that calls tools or refuses has none to judge."""
    for choice in range(len(result.finish_reasons)):
        parts = [part for part in result.parts if part.choice == choice]
        if not any(part.kind in {"tool_call", "refusal"} for part in parts):
            yield "".join(part.text for part in parts if part.kind == "text")
