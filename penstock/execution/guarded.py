"""An answer on its way from a provider to whoever asked: checked, with what was masked put back."""

from collections.abc import Awaitable, Callable

from penstock.completion import CompletionResult, Finished
from penstock.execution.call import Emit
from penstock.execution.record import CallRecord
from penstock.guard.masks import unmasked
from penstock.guard.pipeline import Screened

#: makes the call; given an `Emit`, it streams the answer, unmasked
Call = Callable[[Emit | None], Awaitable[CompletionResult]]


async def guarded(call: Call, screened: Screened, record: CallRecord, emit: Emit | None) -> CompletionResult:
    """The answer as it may be shown. With `emit` it is streamed: live, or when its checks let it pass.

    Raises:
        AnswerBlocked: it may not be shown.
        GuardUnavailable: a check that must not be passed over could not be asked.
    """
    live = None if screened.holds else emit
    result = await screened.answer(await call(live))
    if live is not None:
        return record.builder.build() if screened.mask else result
    shown = unmasked(result, screened.mask) if screened.mask else result
    if emit is not None:
        replay(shown, record, emit)
    return shown


def replay(result: CompletionResult, record: CallRecord, emit: Emit) -> None:
    """Stream an answer that is there already, chunk by chunk as it first came."""
    for event in result.events():
        record.builder.add(event)
        record.emitted = True
        emit(event)
    record.builder.add(Finished(result.finish_reasons, result.usage, result.stop_sequence))
