from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import (
    CompletionRequest,
    Document,
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from penstock.completion.usage import Usage
from penstock.rules.estimates import Calibration, plain_input, prompt_tokens

tokens = st.integers(0, 10**9)


def test_the_size_of_a_prompt_counts_text_messages_and_pictures() -> None:
    assert plain_input(400) == 104
    assert plain_input(401, messages=3) == 113
    assert plain_input(0, messages=1, images=2) == 1604


def test_everything_in_a_prompt_counts() -> None:
    def size(*parts: object, **more: object) -> int:
        return prompt_tokens(CompletionRequest(model="m", messages=(Message("user", parts),), **more))  # type: ignore[arg-type]

    empty, text = size(Text("")), "word" * 100
    image = Image(url="https://a")
    assert size(Text(text)) == size(Reasoning(text)) == size(ToolResult("c", text)) == empty + 100
    assert size(ToolCall("c", "f" * 4, text)) == empty + 101
    assert size(Text("漢字かな")) == empty + 3, "bytes count, not characters"
    assert size(Text("\ud800")) > empty, "half a surrogate pair is no reason to fail"
    assert size(ToolResult("c", "", (image, image))) == size(image, image) == size(image) * 2 - empty
    assert size(Document(data="A" * 400, media_type="text/plain")) == empty + 75
    assert size(Document(url="https://a")) > empty + 1000
    assert size(Text(""), tools=(Tool("f", {"type": "object"}, "d" * 40),)) > empty + 10
    assert size(Text(""), response_format=ResponseFormat("json_schema", schema={"a": "b" * 40})) > empty + 10


def test_before_anything_is_learnt_the_guess_stands() -> None:
    estimate = Calibration().estimate("m", 100, None)
    assert (estimate.input, estimate.output, estimate.tokens) == (100, 256, 356)


def test_the_expected_output_is_reserved_not_the_maximum() -> None:
    """Reserving `max_tokens` would leave quota idle; a smaller maximum still bounds what is reserved."""
    calibration = Calibration()
    assert calibration.estimate("m", 10, 100_000).output == 256
    assert calibration.estimate("m", 10, 50).output == 50


def test_every_choice_has_an_output_of_its_own() -> None:
    calibration = Calibration()
    estimate = calibration.estimate("m", 10, 100, choices=3)
    assert estimate.output == 300
    calibration.learn("m", estimate, Usage(10, 60))
    assert calibration.estimate("m", 10, None).output == 20


def test_it_converges_on_what_a_model_really_takes() -> None:
    calibration = Calibration()
    for size in [100, 900, 40, 500] * 30:
        calibration.learn("m", calibration.estimate("m", size, None), Usage(int(size * 1.5), 700))
    estimate = calibration.estimate("m", 1000, None)
    assert (estimate.input, estimate.output) == (1500, 700)


def test_it_follows_a_change() -> None:
    calibration = Calibration()
    for output in [100] * 200 + [400] * 200:
        calibration.learn("m", calibration.estimate("m", 10, None), Usage(10, output))
    assert 399 <= calibration.estimate("m", 10, None).output <= 400


def test_models_do_not_teach_each_other() -> None:
    calibration = Calibration()
    calibration.learn("a", calibration.estimate("a", 100, None), Usage(300, 5))
    assert calibration.estimate("b", 100, None).tokens == 356


def test_a_usage_the_provider_did_not_report_teaches_nothing() -> None:
    calibration = Calibration()
    calibration.learn("m", calibration.estimate("m", 100, None), Usage(0, 0))
    assert calibration.estimate("m", 100, None).tokens == 356


@given(st.lists(st.tuples(tokens, tokens, tokens), max_size=20), st.integers(0, 10**7))
def test_no_history_takes_the_ratio_out_of_its_bounds(history: list[tuple[int, int, int]], size: int) -> None:
    calibration = Calibration()
    for plain, real, output in history:
        calibration.learn("m", calibration.estimate("m", plain, None), Usage(real, output))
    estimate = calibration.estimate("m", size, 1000)
    assert size / 4 <= estimate.input <= size * 4
    assert 0 <= estimate.output <= 1000
