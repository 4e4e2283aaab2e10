"""The simulator as a replaying provider: recorded answers over the vendors' own wire formats."""

import math

import anthropic
import openai
import pytest

from simulator.options import SimulatorOptions
from simulator.recordings import Recordings
from simulator.server import start

PROMPT = "How many legs has a spider?"
ANSWERS = Recordings(
    [
        {"model": "m", "prompt": PROMPT, "text": "Eight legs.", "input_tokens": 90, "output_tokens": 50,
         "token_probability": 0.25},
        {"model": "cut", "prompt": PROMPT, "text": "Eig", "finish": "length"},
    ]
)  # fmt: skip
USER = [{"role": "user", "content": PROMPT}]


async def test_openai_gets_text_usage_and_probabilities_plain_and_streamed() -> None:
    async with start(SimulatorOptions(recorded=ANSWERS)) as url, openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=20
    ) as client:  # fmt: skip
        plain = await client.chat.completions.create(model="m", messages=USER, logprobs=True)
        assert plain.choices[0].message.content == "Eight legs."
        assert (plain.usage.prompt_tokens, plain.usage.completion_tokens) == (90, 50)
        told = plain.choices[0].logprobs.content
        assert [entry.logprob for entry in told] == [pytest.approx(math.log(0.25))] * len(told)
        stream = await client.chat.completions.create(
            model="m", messages=USER, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Eight legs."
        assert chunks[-1].usage.completion_tokens == 50
        unknown = await client.chat.completions.create(model="cut", messages=USER, logprobs=True)
        assert (unknown.choices[0].finish_reason, unknown.choices[0].logprobs) == ("length", None)


async def test_anthropic_gets_them_too_and_what_was_not_recorded_is_refused() -> None:
    async with start(SimulatorOptions(wire_format="anthropic", recorded=ANSWERS)) as url, anthropic.AsyncAnthropic(
        base_url=url, api_key="k", max_retries=0, timeout=20
    ) as client:  # fmt: skip
        message = await client.messages.create(model="m", messages=USER, max_tokens=5)
        assert (message.content[0].text, message.usage.output_tokens) == ("Eight legs.", 50)
        with pytest.raises(anthropic.NotFoundError, match="was recorded"):
            await client.messages.create(model="other", messages=USER, max_tokens=5)
