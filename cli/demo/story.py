"""The story of the demo: what happens, in order."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import DefaultHttpxClient, OpenAI, OpenAIError
from rich.console import Console

from cli.demo import batch as batches
from cli.demo import questions, summary
from cli.demo.plan import DemoProvider, Secrets
from cli.demo.stack import DemoStack
from cli.demo.stream import StreamReport, StreamView, stream_and_resume
from cli.demo.webhook import WebhookReceiver
from cli.progress import BatchProgress
from penstock.errors import PenstockError

ALL_ROWS = questions.AVAILABLE

#: a batch is given up after so many seconds and so many times what the lowest quota takes for all rows
_BATCH_SECONDS, _BATCH_TIMES = 120.0, 3.0
_STREAM_LIMIT = 60.0
_WEBHOOK_LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened: the batch object, its seconds from creation to end, and its checked answers."""

    batch: dict[str, Any]
    makespan: float
    tally: batches.Tally
    stream: StreamReport
    webhook_id: str


def tell(console: Console, providers: Sequence[DemoProvider], count: int, data: Path | None, *, keep: bool) -> None:
    """Run the demo; when it returns, all went well and everything is stopped.

    Raises:
        PenstockError: something did not go well; all is stopped too, and the message says where the logs are.
    """
    began = time.monotonic()
    keys = Secrets.new()
    _introduce(console, providers, count)
    # Outermost the thread of the stream: it ends at the latest when the stack is gone.
    with ThreadPoolExecutor(1) as streams, WebhookReceiver() as receiver:
        stack = DemoStack(providers, keys, receiver.url, data, keep=keep)
        try:
            with stack:
                up = {"Penstock": f"{stack.url}/v1", "Flower": f"{stack.flower_url} (queues, workers, slices)"}
                console.print(f"\nEverything is up after {time.monotonic() - began:.1f} s:", highlight=False)
                summary.facts(console, up)
                console.print()
                try:
                    outcome = _run(console, stack, receiver, keys, count, streams)
                    _conclude(console, stack, outcome)
                finally:
                    console.print("\nStopping everything …")
        except (PenstockError, OpenAIError) as error:
            raise PenstockError(f"{error}\nEverything is stopped; data and logs are in {stack.data}") from error
    kept = f" Data and logs are in {stack.data}." if keep or data else ""
    console.print(f"[green]Done[/] in {time.monotonic() - began:.0f} s, everything stopped.{kept}", highlight=False)


def _run(
    console: Console,
    stack: DemoStack,
    receiver: WebhookReceiver,
    keys: Secrets,
    count: int,
    streams: ThreadPoolExecutor,
) -> Outcome:
    available = questions.load()
    rows = questions.spread(available[:count], [provider.model for provider in stack.providers])
    client, product = _client(stack.url, keys.evals_key), _client(stack.url, keys.product_key)
    view = StreamView()
    streaming: list[Future[StreamReport]] = []

    def each(batch: dict[str, Any]) -> None:
        progress.update(batch)
        stack.check()
        if batch["request_counts"]["completed"] and not streaming:
            model, prompt = stack.providers[0].model, questions.streamed(available)
            streaming.append(streams.submit(stream_and_resume, product, model, prompt, view))
        if streaming and streaming[0].done():
            streaming[0].result()  # a failure ends the demo now, not after the batch

    with BatchProgress(console, below=view) as progress:
        began = time.monotonic()
        batch_id = batches.submit(client, questions.jsonl(rows))
        batch = batches.follow(client, batch_id, each, _patience(stack.providers, count))
        makespan = time.monotonic() - began
        if not streaming:
            raise PenstockError("no row was answered, so nothing was streamed while the batch ran")
        report = streaming[0].result(timeout=_STREAM_LIMIT)
    webhook_id = receiver.wait_for(client, keys.webhook_secret, "batch.completed", batch_id, _WEBHOOK_LIMIT)
    return Outcome(batch, makespan, batches.collect(client, batch, rows), report, webhook_id)


def _patience(providers: Sequence[DemoProvider], count: int) -> float:
    slowest = min(provider.requests_per_minute for provider in providers) / 60
    return _BATCH_SECONDS + _BATCH_TIMES * count / slowest


def _client(url: str, key: str) -> OpenAI:
    # a proxy of this machine's environment knows nothing of a server on this machine
    return OpenAI(base_url=f"{url}/v1", api_key=key, timeout=60, http_client=DefaultHttpxClient(trust_env=False))


def _introduce(console: Console, providers: Sequence[DemoProvider], count: int) -> None:
    kind = "simulated" if providers[0].simulated else "REAL"
    console.print(f"[bold]{count} GSM8K questions[/], {len(providers)} {kind} provider(s), one stack on this machine:")
    for provider in providers:
        console.print(
            f"  {provider.name}: {provider.model}, {provider.wire_format} wire,"
            f" {provider.requests_per_minute:,} requests/min, {provider.tokens_per_minute:,} tokens/min",
            highlight=False,
            soft_wrap=True,
        )
    if kind == "REAL":
        console.print("  This costs money: list prices apply, and are shown as spend.", style="yellow")
    else:
        console.print("  Their limits are real, their answers are made up.")


def _conclude(console: Console, stack: DemoStack, outcome: Outcome) -> None:
    models, stream = outcome.tally.models, outcome.stream
    ideals = []
    for index, provider in enumerate(stack.providers):
        counts = models[provider.model]
        used = summary.Used(counts.rows, counts.input_tokens + counts.output_tokens)
        if index == 0:  # it served the streamed response too
            used = summary.Used(used.requests + 1, used.tokens + stream.input_tokens + stream.output_tokens)
        ideals.append(summary.ideal(provider, used))
    console.print(summary.table(stack.providers, models, ideals, outcome.batch))
    slowest, least = max(zip(stack.providers, ideals, strict=True), key=lambda pair: pair[1].seconds)
    ratio = ""
    if least.seconds:
        times = f"{outcome.makespan / least.seconds:.2f} times"
        ratio = f", {times} what the quotas allow ({least.seconds:.1f} s: {least.resource} of {slowest.name})"
    total = outcome.batch["usage"]["total_tokens"]
    lines = {
        "makespan": f"{outcome.makespan:.1f} s{ratio}",
        "spend": f"{_spent(outcome.batch['cost'])} for {total:,} tokens",
        "answers": "every custom_id answered exactly once",
        "stream": f"{stream.before} events, connection dropped, {stream.after} more by id; equal to the replay",
        "webhook": f"batch.completed received, signature verified ({outcome.webhook_id})",
    }
    for provider in stack.providers:
        if provider.simulated:
            lines[provider.name] = _witness(stack.ledger_of(provider), provider.name)
        else:
            counts = models[provider.model]
            lines[provider.name] = f"{counts.right} of {counts.succeeded} answers right"
    lines["Flower"] = stack.flower_url
    summary.facts(console, lines)
    if outcome.tally.failures:
        raise PenstockError("rows failed:\n  " + "\n  ".join(outcome.tally.failures))
    summary.check_spend(outcome.batch, [summary.spend(p, models[p.model]) for p in stack.providers])


def _spent(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:.6f}"


def _witness(ledger: dict[str, Any], name: str) -> str:
    if ledger["succeeded_twice"]:
        raise PenstockError(f"{name} was paid {ledger['succeeded_twice']} times for an answer it had given")
    return (
        f"counted {ledger['calls']:,} calls itself: {ledger['succeeded']:,} answered,"
        f" {ledger['rate_limited']:,} refused for its limits, none answered twice"
    )
