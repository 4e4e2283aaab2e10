"""Checks of an answer's form: valid JSON of a schema, code that compiles. 1 holds, 0 does not.

Code is only compiled, never run: who has tests for it runs them where that is safe (`penstock.execution.hook`).
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from penstock.completion.encoding import dumps, loads
from penstock.rules.json_schema import misfit

_FENCED = re.compile(r"```([\w+-]*)\n(.*?)```", re.DOTALL)
#: what a fence of Python code may be marked with
_PYTHON = frozenset({"", "python", "python3", "py"})


def compiles(answer: str) -> float:
    """Whether all Python code in the answer (in fences, or without any the whole) can be parsed."""
    blocks = [code for mark, code in _FENCED.findall(answer) if mark.lower() in _PYTHON] or [answer]
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
        value = loads(fenced[-1][1] if fenced else answer)
    except (ValueError, RecursionError):
        return 0.0
    return float(misfit(dumps(schema), value) is None)
