"""The semantic cache through real processes, with vectors of a configured embedding model."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from acceptance.conftest import CONFIG, KEY, OTHER_KEY, Stack, running

from penstock.cache.calibration import Calibration

DIMENSIONS = 256  # the simulator's


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    file: Path = tmp_path_factory.mktemp("semantic") / "calibration.npz"
    Calibration("model-embed", np.eye(DIMENSIONS, dtype=np.float32), {"safe": 0.99}, 0.0).save(file)
    config = (
        CONFIG.replace("models:\n", "models:\n  embed: {{provider: sim-openai}}\n", 1)
        + f"""
cache:
  semantic:
    models: {{{{fast: serve}}}}
    embedding_model: embed
    calibration: {file}
"""
    )
    with running({}, config_text=config) as found:
        yield found


def ask(stack: Stack, text: str, key: str = KEY) -> str:
    client = stack.client(key)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    answer = client.chat.completions.create(model="fast", messages=messages)  # type: ignore[arg-type]
    return answer.choices[0].message.content or ""


def chats(stack: Stack) -> int:
    return int(stack.openai_wire.stats()["by_model"].get("fast", 0))


def test_a_question_asked_again_by_the_same_tenant_makes_no_upstream_call(stack: Stack) -> None:
    first = ask(stack, "How do I reset the sluice?")
    assert chats(stack) == 1
    assert ask(stack, "How do I reset the sluice?") == first
    assert chats(stack) == 1
    ask(stack, "How do I reset the sluice?", OTHER_KEY)
    assert chats(stack) == 2
