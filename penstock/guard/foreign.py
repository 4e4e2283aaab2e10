"""Checks that are not Penstock's own: installed beside it (an entry point), or asked over HTTP.

Both are given all passages at once and judge within a time limit. One that has no verdict in time, or no usable one,
lets the text pass or not, as its configuration says.
"""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol, get_args

import structlog

from penstock.configuration.policies import Action, HookCheckConfig, PluginCheckConfig
from penstock.errors import ConfigError
from penstock.guard.findings import Asking, Passage, Span, Verdict
from penstock.hooks import Hook, NoJudgement

GROUP = "penstock.guard"
_MOST_REASON = 200
_KIND = re.compile(r"[a-z][a-z0-9_]{0,30}")
_log = structlog.get_logger()

#: what an entry point is called with (its options) and what it gives: the check, plain or async
PluginCheck = Callable[[Sequence[Passage], Asking], Verdict | Awaitable[Verdict]]
Plugin = Callable[[Mapping[str, Any]], PluginCheck]


class NoVerdict(Exception):
    """Raised when a check came to no verdict; says why."""


class ForeignCheck(Protocol):
    """Judges passages together."""

    async def judge(self, passages: Sequence[Passage], asking: Asking) -> Verdict:
        """The verdict.

        Raises:
            NoVerdict: there is none.
        """
        ...

    async def close(self) -> None:
        """Close what it holds open."""
        ...


class PluginChecked:
    """The check of an entry point. A plain function runs in a thread: it cannot be stopped when its time is up."""

    def __init__(self, config: PluginCheckConfig) -> None:
        found = list(entry_points(group=GROUP, name=config.name))
        if not found:
            raise ConfigError(f"guard: there is no entry point `{config.name}` in the group `{GROUP}`")
        plugin: Plugin = found[0].load()
        self._check = plugin(config.options)
        self._timeout = config.timeout

    async def judge(self, passages: Sequence[Passage], asking: Asking) -> Verdict:
        """See `ForeignCheck`."""
        try:
            async with asyncio.timeout(self._timeout):
                answer: Any = await asyncio.to_thread(self._check, passages, asking)
                verdict = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            raise NoVerdict(type(error).__name__) from error
        return _usable(verdict, passages)

    async def close(self) -> None:
        """See `ForeignCheck`."""


class HookChecked:
    """A check over HTTP."""

    def __init__(self, config: HookCheckConfig) -> None:
        self._hook = Hook(config.url, config.headers, config.timeout)

    async def judge(self, passages: Sequence[Passage], asking: Asking) -> Verdict:
        """See `ForeignCheck`."""
        body = {
            "direction": asking.direction,
            "tenant": asking.tenant,
            "model": asking.model,
            "texts": [{"place": passage.place, "text": passage.text} for passage in passages],
        }
        try:
            return _usable(_read(await self._hook.ask(body)), passages)
        except NoJudgement as error:
            raise NoVerdict(str(error)) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise NoVerdict(type(error).__name__) from error

    async def close(self) -> None:
        """See `ForeignCheck`."""
        await self._hook.close()


def make_check(config: HookCheckConfig | PluginCheckConfig) -> ForeignCheck:
    """The check of a row of the configuration.

    Raises:
        ConfigError: its entry point is not installed.
    """
    return HookChecked(config) if isinstance(config, HookCheckConfig) else PluginChecked(config)


def _read(value: Any) -> Verdict:
    spans = tuple(
        (span["text"], Span(span["start"], span["end"], span.get("kind", "hook"))) for span in value.get("spans", ())
    )
    return Verdict(value["action"], str(value.get("reason") or ""), spans)


def _usable(verdict: Any, passages: Sequence[Passage]) -> Verdict:
    """The verdict, if it can be carried out."""
    if not isinstance(verdict, Verdict) or verdict.action not in get_args(Action):
        raise NoVerdict("it is no verdict")
    for index, span in verdict.spans:
        inside = 0 <= index < len(passages) and 0 <= span.start < span.end <= len(passages[index].text)
        if not inside or not _KIND.fullmatch(span.kind):
            raise NoVerdict("a span is outside of its text, or has no usable kind")
    if verdict.action == "redact" and not verdict.spans:
        raise NoVerdict("it says redact, but not what")
    return Verdict(verdict.action, verdict.reason[:_MOST_REASON], verdict.spans)
