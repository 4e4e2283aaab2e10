"""Whose client is asking. Both vendors' interfaces are on one host, and some of their paths are the same."""

from starlette.types import Scope

_MESSAGES = "/v1/messages"
_HEADER = b"anthropic-version"


def speaks_anthropic(scope: Scope) -> bool:
    """Whether a request is to be answered as Anthropic does.

    Paths under `/v1/messages` are Anthropic's; elsewhere the header `anthropic-version` tells, which its clients always
    send and OpenAI's never do (contract §1.1).
    """
    path: str = scope["path"]
    if path == _MESSAGES or path.startswith(_MESSAGES + "/"):
        return True
    return any(name == _HEADER for name, _ in scope["headers"])
