"""Who writes a prompt to the provider's cache, on a real Redis."""

import asyncio

import pytest

from penstock.cache.prefix import LEAST_TOKENS, Prefixes, is_marked
from penstock.completion import CompletionRequest, Message, Text
from penstock.redis import Redis

LONG = "x" * LEAST_TOKENS * 4


def line(number: int) -> CompletionRequest:
    system = Message("system", (Text(LONG),))
    return CompletionRequest(model="m", messages=(system, Message("user", (Text(f"question {number}"),))))


class Upstream:
    """Counts the calls that began before any had ended: each of these writes the prompt for itself."""

    def __init__(self) -> None:
        self.first_ended = False
        self.writes = self.unmarked = 0
        self.fail = 0

    async def call(self, prefixes: Prefixes, number: int) -> None:
        async with prefixes.helping(line(number), "claude", waits=True) as request:
            self.unmarked += not is_marked(request)
            self.writes += not self.first_ended
            await asyncio.sleep(0.05)
            if self.fail:
                self.fail -= 1
                raise ConnectionError("away")
            self.first_ended = True


async def test_one_line_of_two_processes_writes_and_all_others_read(redis: Redis) -> None:
    upstream, processes = Upstream(), [Prefixes(redis), Prefixes(redis)]
    await asyncio.gather(*(upstream.call(processes[number % 2], number) for number in range(40)))
    assert (upstream.writes, upstream.unmarked) == (1, 0)


async def test_when_the_first_fails_another_takes_its_place(redis: Redis) -> None:
    upstream, prefixes = Upstream(), Prefixes(redis)
    upstream.fail = 2
    ended = await asyncio.gather(*(upstream.call(prefixes, number) for number in range(10)), return_exceptions=True)
    assert sum(isinstance(one, ConnectionError) for one in ended) == 2
    assert upstream.writes == 3


async def test_a_prompt_met_once_goes_as_it_came(redis: Redis) -> None:
    async with Prefixes(redis).helping(line(1), "claude", waits=True) as request:
        assert request == line(1)


@pytest.mark.parametrize("waits", [True, False])
async def test_the_second_of_a_kind_is_marked(redis: Redis, waits: bool) -> None:
    prefixes = Prefixes(redis)
    async with prefixes.helping(line(1), "claude", waits=waits):
        pass
    async with prefixes.helping(line(2), "claude", waits=waits) as request:
        assert is_marked(request)
