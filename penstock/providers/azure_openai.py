"""Azure OpenAI: OpenAI's chat completions and embeddings behind Microsoft's paths, credentials and content filter.

Two surfaces, told apart by the base URL. With `https://{resource}.openai.azure.com` calls go to the dated API,
`/openai/deployments/{deployment}/…?api-version=…`, where the model is the name of a deployment; with an `/openai/v1`
at its end they go to the v1 API, which has no dates.

Sources: Microsoft's "Azure OpenAI REST API reference", "API version lifecycle" and "Content filtering", and
`openai/lib/azure.py` of openai-python.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from penstock.completion.encoding import loads
from penstock.errors import ProviderContentRefused
from penstock.providers.failures import FailureTable, VendorError
from penstock.providers.openai_chat import CHAT_FAILURES, OpenAIChat

_FILTERED = "content_filter"
#: what the filter calls a prompt that it does not let through, inside an error of any name
_POLICY = "ResponsibleAIPolicyViolation"
#: three parts of base64url, the first of which is a JSON object: a token, which no key of the vendor looks like
_TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]+")


class AzureOpenAI(OpenAIChat):
    """The adapter of wire format `azure-openai`.

    A key goes into the header `api-key`; a token of Microsoft Entra ID, known by its form, is a bearer token.
    """

    failures: ClassVar[FailureTable] = {**CHAT_FAILURES, (403, _FILTERED): ProviderContentRefused}

    def _path(self, upstream_model: str, *, stream: bool) -> str:  # noqa: ARG002 — see WireProvider
        return self._place(upstream_model, "/chat/completions")

    def _credentials(self, key: str) -> dict[str, str]:
        if _TOKEN.fullmatch(key):
            return {"authorization": f"Bearer {key}"}
        return {"api-key": key} if key else {}

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> VendorError:
        told = super()._refusal(status, headers, body)
        return replace(told, code=_FILTERED) if _is_policy_violation(body) else told

    def _embedding_path(self, upstream_model: str) -> str:
        return self._place(upstream_model, "/embeddings")

    def _place(self, deployment: str, path: str) -> str:
        version = self.config.api_version
        query = f"?api-version={version}" if version else ""
        base = self.config.base_url
        if base.endswith("/openai/v1"):
            return path + query
        folder = "" if base.endswith("/openai") else "/openai"
        return f"{folder}/deployments/{quote(deployment, safe='')}{path}{query}"


def _is_policy_violation(body: bytes) -> bool:
    try:
        error: Any = loads(body)["error"]
        return bool(error["innererror"]["code"] == _POLICY)
    except (ValueError, TypeError, LookupError):
        return False  # another refusal
