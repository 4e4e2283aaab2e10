"""The checks of a policy, one after the other, over a request and over its answer.

Each sees what the ones before it left: what is redacted or allowed is hidden from those that follow. Order therefore is
meaning: an allow list stands before what would find its entries, masking before a hook that need not see names.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from penstock.completion import CompletionRequest, CompletionResult, EmbeddingRequest
from penstock.configuration.policies import (
    Action,
    DenyListCheckConfig,
    GuardConfig,
    GuardPolicyConfig,
    HookCheckConfig,
    InjectionCheckConfig,
    PersonalDataCheckConfig,
    Place,
    PluginCheckConfig,
    SchemaCheckConfig,
    SecretsCheckConfig,
    TextCheckConfig,
)
from penstock.errors import AnswerBlocked, ConfigError, GuardBlocked, GuardUnavailable, PenstockError
from penstock.guard.answers import SchemaCheck, removed, visit_answer
from penstock.guard.bounds import within_bounds
from penstock.guard.deny_list import DenyListCheck
from penstock.guard.findings import Asking, Finding, Passage, Span, TextCheck, Verdict, without_overlaps
from penstock.guard.foreign import ForeignCheck, NoVerdict, make_check
from penstock.guard.injection import InjectionCheck
from penstock.guard.masks import Mask
from penstock.guard.personal_data import PersonalDataCheck
from penstock.guard.secrets import SecretsCheck
from penstock.guard.texts import visit_texts

#: told of every finding as it is made
OnFinding = Callable[[Finding], None]
Asked = CompletionRequest | EmbeddingRequest
#: more characters than this are looked at in a thread: the event loop has other calls to serve
_IN_A_THREAD = 20_000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _TextRow:
    name: str
    check: TextCheck
    action: Action
    places: frozenset[Place]


@dataclass(frozen=True, slots=True)
class _ForeignRow:
    name: str
    check: ForeignCheck
    fails_open: bool
    places: frozenset[Place]


@dataclass(frozen=True, slots=True)
class _SchemaRow:
    check: SchemaCheck
    action: Action


_Row = _TextRow | _ForeignRow | _SchemaRow


@dataclass(frozen=True, slots=True)
class _Policy:
    config: GuardPolicyConfig
    input: tuple[_Row, ...]
    output: tuple[_Row, ...]


@dataclass(slots=True)
class _Pass:
    """The passages of one request or answer on their way through the checks."""

    passages: list[Passage]
    asking: Asking
    on_finding: OnFinding
    hide: Callable[[str, Sequence[Span]], str]
    blocked: Callable[[str], PenstockError]
    allowed: Mask

    async def run(self, rows: Sequence[_Row]) -> None:
        for row in rows:
            if isinstance(row, _TextRow):
                await self._text_check(row)
            elif isinstance(row, _ForeignRow):
                await self._foreign_check(row)

    async def _text_check(self, row: _TextRow) -> None:
        looked = [i for i, passage in enumerate(self.passages) if passage.place in row.places]
        texts = [self.passages[index].text for index in looked]
        if sum(map(len, texts)) > _IN_A_THREAD:
            found = await asyncio.to_thread(lambda: [row.check.find(text) for text in texts])
        else:
            found = [row.check.find(text) for text in texts]
        self._carry_out(
            row.name, row.action, [(i, span) for i, spans in zip(looked, found, strict=True) for span in spans]
        )

    async def _foreign_check(self, row: _ForeignRow) -> None:
        looked = [i for i, passage in enumerate(self.passages) if passage.place in row.places]
        if not looked:
            return
        try:
            verdict = await row.check.judge([self.passages[index] for index in looked], self.asking)
        except NoVerdict as error:
            _log.warning("a check of the guard has no verdict", check=row.name, error=str(error))
            self.on_finding(Finding(row.name, "no_verdict", "flag" if row.fails_open else "block"))
            if not row.fails_open:
                raise GuardUnavailable(f"The check `{row.name}` of the guard has no verdict at the moment.") from error
            return
        self._judged(row.name, verdict, [(looked[index], span) for index, span in verdict.spans])

    def _judged(self, name: str, verdict: Verdict, spans: list[tuple[int, Span]]) -> None:
        if spans:
            self._carry_out(name, verdict.action, spans, verdict.reason)
        elif verdict.action in {"flag", "block"}:
            self.on_finding(Finding(name, name, verdict.action))
            if verdict.action == "block":
                raise self.blocked(f"{name}{': ' + verdict.reason if verdict.reason else ''}")

    def _carry_out(self, name: str, action: Action, found: list[tuple[int, Span]], reason: str = "") -> None:
        for kind, count in Counter(span.kind for _, span in found).items():
            self.on_finding(Finding(name, kind, action, count))
        if not found or action == "flag":
            return
        if action == "block":
            kinds = ", ".join(sorted({span.kind for _, span in found} - {name}))
            raise self.blocked(f"{name}{': ' + (reason or kinds) if reason or kinds else ''}")
        hide = self.hide if action == "redact" else self.allowed.hide
        each: dict[int, list[Span]] = {}
        for index, span in found:
            each.setdefault(index, []).append(span)
        for index, spans in each.items():
            passage = self.passages[index]
            self.passages[index] = replace(passage, text=hide(passage.text, without_overlaps(spans)))

    def texts(self) -> list[str]:
        """What is left of the passages; what was allowed is back in its place."""
        return [self.allowed.show(passage.text) for passage in self.passages]


@dataclass(frozen=True, slots=True)
class Screened:
    """A request that may be sent, and what its answer must go through.

    `mask` knows what was hidden in it. An answer that `holds` must not be shown before `answer` let it pass.
    """

    request: Asked
    mask: Mask
    asking: Asking
    on_finding: OnFinding
    policy: _Policy | None

    @property
    def holds(self) -> bool:
        """Whether a check may change or stop the answer."""
        rows = self.policy.output if self.policy is not None else ()
        return any(isinstance(row, _ForeignRow) or row.action != "flag" for row in rows)

    async def answer(self, result: CompletionResult) -> CompletionResult:
        """The answer as it may be shown, names of masked text still in it.

        Raises:
            AnswerBlocked: it may not be shown.
            GuardUnavailable: a check that must not be passed over could not be asked.
        """
        if self.policy is None or not self.policy.output or not isinstance(self.request, CompletionRequest):
            return result
        passages: list[Passage] = []

        def collect(text: str, place: Place) -> str:
            passages.append(Passage(text, place))
            return text

        visit_answer(result, collect)
        asking = replace(self.asking, direction="output")
        run = _Pass(passages, asking, self.on_finding, _remove, _answer_blocked, Mask(p.text for p in passages))
        await run.run(self.policy.output)
        texts = iter(run.texts())
        shown = visit_answer(result, lambda _text, _place: next(texts))
        for row in self.policy.output:
            if isinstance(row, _SchemaRow):
                self._check_schema(row, self.request, shown)
        return shown

    def _check_schema(self, row: _SchemaRow, request: CompletionRequest, shown: CompletionResult) -> None:
        wrong = row.check.wrong(request, shown)
        if wrong is not None:
            self.on_finding(Finding("json_schema", "json_schema", row.action))
            if row.action == "block":
                raise _answer_blocked(f"json_schema: {wrong}")


class Guard:
    """The configured policies. Belongs to one event loop.

    Raises:
        ConfigError: a check cannot be made.
    """

    def __init__(self, config: GuardConfig) -> None:
        self._rules = config.rules
        self._foreign: list[ForeignCheck] = []
        self._policies = {name: self._policy(name, policy) for name, policy in config.policies.items()}

    async def screen(self, request: Asked, *, tenant: str, model: str, prompt: str, on_finding: OnFinding) -> Screened:
        """The request as a provider may see it. `model` is the name asked for, `prompt` the field of the prompt.

        Raises:
            GuardBlocked: it may not be sent; the message says which check found what kind of thing.
            GuardUnavailable: a check that must not be passed over could not be asked.
        """
        policy = self._of(tenant, model)
        asking = Asking(tenant, model, "input")
        if policy is None:
            return Screened(request, Mask(), asking, on_finding, None)
        passages: list[Passage] = []

        def collect(text: str, place: Place) -> str:
            passages.append(Passage(text, place))
            return text

        visit_texts(request, collect)
        texts = [passage.text for passage in passages]
        try:
            request = within_bounds(request, policy.config.bounds, texts, prompt=prompt)
        except GuardBlocked as error:
            on_finding(Finding("bounds", error.param if error.param in {"model", prompt} else "parameter", "block"))
            raise
        form = request.response_format if isinstance(request, CompletionRequest) else None
        mask = Mask(texts, json_answer=form is not None and form.kind != "text")

        def blocked(reason: str) -> PenstockError:
            return GuardBlocked(f"The request was blocked by the guard ({reason}).", param=prompt)

        run = _Pass(passages, asking, on_finding, mask.hide, blocked, mask.beside())
        await run.run(policy.input)
        shown = iter(run.texts())
        return Screened(visit_texts(request, lambda _text, _place: next(shown)), mask, asking, on_finding, policy)

    async def close(self) -> None:
        """Close what foreign checks hold open."""
        for check in self._foreign:
            await check.close()

    def _of(self, tenant: str, model: str) -> _Policy | None:
        for rule in self._rules:
            if (not rule.tenants or tenant in rule.tenants) and (not rule.models or model in rule.models):
                return self._policies[rule.policy]
        return None

    def _policy(self, name: str, config: GuardPolicyConfig) -> _Policy:
        try:
            return _Policy(config, tuple(map(self._row, config.input)), tuple(map(self._row, config.output)))
        except ValueError as error:
            raise ConfigError(f"guard.policies.{name}: {error}") from error

    def _row(self, config: TextCheckConfig | HookCheckConfig | PluginCheckConfig | SchemaCheckConfig) -> _Row:
        if isinstance(config, SchemaCheckConfig):
            return _SchemaRow(SchemaCheck(config.json_schema), config.action)
        places = frozenset(config.places)
        if isinstance(config, HookCheckConfig | PluginCheckConfig):
            check = make_check(config)
            self._foreign.append(check)
            return _ForeignRow(config.name, check, config.on_failure == "open", places)
        name = config.name if isinstance(config, DenyListCheckConfig) else config.check
        return _TextRow(name, _text_check(config), config.action, places)


def _text_check(config: TextCheckConfig) -> TextCheck:
    if isinstance(config, SecretsCheckConfig):
        return SecretsCheck()
    if isinstance(config, PersonalDataCheckConfig):
        return PersonalDataCheck(config.kinds, config.phone_regions)
    if isinstance(config, InjectionCheckConfig):
        return InjectionCheck(config.threshold)
    return DenyListCheck(config.name, config.terms, config.patterns)


def _remove(text: str, spans: Sequence[Span]) -> str:
    """An answer's text without these stretches; nobody needs them back."""
    pieces, at = [], 0
    for span in spans:
        pieces += [text[at : span.start], removed(span.kind)]
        at = span.end
    return "".join([*pieces, text[at:]])


def _answer_blocked(reason: str) -> PenstockError:
    return AnswerBlocked(f"The answer was blocked by the guard ({reason}).")
