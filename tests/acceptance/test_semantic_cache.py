"""The semantic cache through real processes, with vectors of a configured embedding model."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from acceptance.conftest import ADMIN_KEY, CONFIG, KEY, OTHER_KEY, ROOT, Stack, running

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
    with running({}, workers=1, config_text=config) as found:
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


def command(stack: Stack, *arguments: str) -> str:
    """A command of the user's or the operator's side, and what it printed."""
    environment = {**stack.environment, "PENSTOCK_URL": stack.url, "PENSTOCK_API_KEY": KEY, "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tagged(stack: Stack, text: str, tags: str, **options: Any) -> str | None:
    """What the cache came to."""
    raw = stack.client().chat.completions.with_raw_response.create(
        model="fast",
        messages=[{"role": "user", "content": text}],
        extra_headers={"x-penstock-cache-tags": tags},
        **options,
    )
    return raw.headers.get("x-penstock-cache")


def test_answers_of_both_caches_are_invalidated_by_tag(stack: Stack) -> None:
    assert tagged(stack, "When does the weir open?", "weir, times") is None
    assert tagged(stack, "When does the weir open?", "weir") == "semantic"
    assert tagged(stack, "Exactly this", "weir", temperature=0) == "miss"
    assert tagged(stack, "Exactly this", "other", temperature=0) == "hit"
    assert "0 answers" in command(stack, "invalidate-cache", "--tag", "gate")
    said = command(stack, "invalidate-cache", "--tag", "weir")
    assert "2 answers left the semantic cache" in said
    deadline = time.monotonic() + 60
    while tagged(stack, "Exactly this", "weir", temperature=0, extra_body={"penstock_cache": "read"}) == "hit":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert tagged(stack, "When does the weir open?", "weir") is None


def test_what_is_to_be_invalidated_must_be_named(stack: Stack) -> None:
    for path, key in (("/v1/cache/invalidate", KEY), ("/admin/cache/invalidate", ADMIN_KEY)):
        for body in ({}, {"tag": "a b"}, {"model": 7}, {"older_than_seconds": -1}, {"all": "yes"}):
            status, answer = stack.call("POST", path, body, key)
            assert (status, answer["error"]["type"]) == (400, "invalid_request_error"), body
            assert answer["error"]["param"] in {*body, "all"}
    assert stack.call("POST", "/admin/cache/invalidate", {"all": True}, KEY)[0] == 403
    status, done = stack.call("POST", "/admin/cache/invalidate", {"tenant": "team-b", "model": "fast"}, ADMIN_KEY)
    assert (status, done["tenant"], done["model"], done["tag"]) == (200, "team-b", "fast", None)
    with pytest.raises(openai.BadRequestError) as wrong:
        tagged(stack, "hi", "no tag")
    assert wrong.value.param == "penstock_cache_tags"


def test_thresholds_are_chosen_on_pairs_with_the_vectors_of_a_configured_model(stack: Stack, tmp_path: Path) -> None:
    """The simulator's vectors know only whether two texts are equal."""
    rows = [f"question {n},question {n if n % 2 else n + 1000},{n % 2}" for n in range(400)]
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,same", *rows]))
    out, config = tmp_path / "out.npz", stack.data.parent / "penstock.yaml"
    said = command(
        stack,
        *("calibrate-cache", str(tmp_path / "pairs.csv"), "--embedding-model", "embed"),
        *("--config", str(config), "--out", str(out)),
    )
    made = Calibration.load(out)
    assert made.encoder == "model-embed"
    assert set(made.thresholds) == {"safe", "balanced"}
    assert "safe" in said
