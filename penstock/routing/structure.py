"""Checks of an answer's form: valid JSON of a schema, a regular expression, code that compiles. 1 holds, 0 does not.

Code is only compiled, never run. Running given tests needs a sandbox, which is not here.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from penstock.completion.encoding import dumps, loads
from penstock.rules.json_schema import misfit

_FENCED = re.compile(r"```(?:[\w+-]*)\n(.*?)```", re.DOTALL)


def matches(pattern: re.Pattern[str], answer: str) -> float:
    """Whether the whole answer, without white space around it, matches."""
    return float(pattern.fullmatch(answer.strip()) is not None)


def compiles(answer: str) -> float:
    """Whether all Python code in the answer (in fences, or the whole) can be parsed."""
    blocks = _FENCED.findall(answer) or [answer]
    try:
        for block in blocks:
            ast.parse(block)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return 0.0
    return 1.0


def fits_schema(schema: Mapping[str, Any], answer: str) -> float:
    """Whether the answer, fenced or not, is JSON that fits. A schema that cannot be used takes any JSON."""
    fenced = _FENCED.findall(answer)
    try:
        value = loads(fenced[-1] if fenced else answer)
    except (ValueError, RecursionError):
        return 0.0
    return float(misfit(dumps(schema), value) is None)
