"""A service of the operator's own, asked over HTTP for a judgement: of the guard, and of routes."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import SecretStr

from penstock.completion.encoding import dumps, loads
from penstock.http import make_client


class NoJudgement(Exception):
    """Raised when a service did not answer, not in time, or not with JSON; says which."""


class Hook:
    """Posts JSON to one address and expects 200 with JSON, within `timeout` seconds."""

    def __init__(self, url: str, headers: Mapping[str, SecretStr], timeout: float) -> None:
        self._url = url
        self._headers = {
            "content-type": "application/json",
            **{name: value.get_secret_value() for name, value in headers.items()},
        }
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None

    async def ask(self, body: Mapping[str, Any]) -> Any:
        """What it answers.

        Raises:
            NoJudgement: see there.
        """
        if self._client is None:
            self._client = make_client(self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._client.post(self._url, content=dumps(body), headers=self._headers)
            if answer.status_code != httpx.codes.OK:
                raise NoJudgement(f"status {answer.status_code}")
            return loads(answer.content)
        except TimeoutError as error:
            raise NoJudgement(f"nothing within {self._timeout:g} s") from error
        except (httpx.HTTPError, ValueError) as error:
            raise NoJudgement(type(error).__name__) from error

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.aclose()
