"""Every rule of the chaos suite holds for a sound run, and says so when it is broken."""

from dataclasses import replace

import pytest

from load.chaos import invariants
from load.chaos.evidence import ledger, tag_of
from load.chaos.invariants import Attempt, Batch, Calls, Job, Read

ANSWERED = Attempt(1, 0, "w1", "succeeded")
FAILED = Attempt(1, 0, "w1", "failed", "ProviderOverloaded")
SOUND = Batch("b", "completed", 2, 1, 1, ["x", "y"], ["x"], ["y"])
READ = Read("r", [0, 1, 2], "one two", "completed", "one two", "completed")


def job(*attempts: Attempt, state: str = "succeeded", epoch: int = 1, recoveries: int = 0) -> Job:
    return Job("j", "t", state, epoch, "w1", recoveries, list(attempts))


def test_an_accepted_job_that_is_gone_is_lost():
    assert invariants.every_job_ended(["j"], {"j": job()}) == []
    assert invariants.every_job_ended(["j", "k"], {"j": job()}) == ["k: accepted, and gone"]


@pytest.mark.parametrize("state", ["pending", "queued", "running"])
def test_a_job_that_has_not_ended_is_lost(state: str):
    assert invariants.every_job_ended([], {"j": job(state=state)}) == [f"j (t): still {state}"]


def test_each_line_is_answered_once():
    assert invariants.every_line_answered_once([SOUND]) == []
    assert invariants.every_line_answered_once([replace(SOUND, output=["x", "x"])])
    assert invariants.every_line_answered_once([replace(SOUND, errors=[])])
    assert invariants.every_line_answered_once([replace(SOUND, output=["x", "z"])])
    assert invariants.every_line_answered_once([replace(SOUND, output=["x", "y"])]), "in both files"


def test_counts_are_those_of_the_files():
    assert invariants.counts_equal_files([SOUND]) == []
    for wrong in ({"completed": 2}, {"failed": 0}, {"total": 3}, {"status": "in_progress"}):
        assert invariants.counts_equal_files([replace(SOUND, **wrong)])


def test_a_result_belongs_to_the_owner_of_the_job():
    assert invariants.no_stale_result([job(FAILED, ANSWERED)]) == []
    assert invariants.no_stale_result([job(ANSWERED, epoch=2)]), "epoch 1 answered a job of epoch 2"
    assert invariants.no_stale_result([job(replace(ANSWERED, worker="w2"))]), "another worker of the same epoch"
    assert invariants.no_stale_result([job(FAILED)]), "nobody answered"
    assert invariants.no_stale_result([job(FAILED, state="failed")]) == []


def test_events_come_at_least_once_under_one_id():
    twice = [("e1", "response.completed", "r"), ("e1", "response.completed", "r")]
    assert invariants.each_event_delivered(["r"], twice) == []
    assert invariants.each_event_delivered(["r", "s"], twice) == ["s: no webhook came"]
    assert invariants.each_event_delivered(["r"], [*twice, ("e2", "response.completed", "r")])
    assert invariants.each_event_delivered(["r"], [*twice, ("e2", "response.failed", "r")]), "two ends"


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "one one two"},
        {"text": "one"},
        {"numbers": [0, 2]},
        {"numbers": [0, 1, 1, 2]},
        {"ended": "failed"},
        {"stored_status": "failed"},
    ],
)
def test_a_stream_is_what_is_stored(wrong: dict[str, object]):
    assert invariants.no_glued_stream([READ]) == []
    assert invariants.no_glued_stream([replace(READ, **wrong)])


def test_a_reader_who_was_told_that_it_cannot_go_on_is_counted_apart():
    told = replace(READ, ended="error", text="one")
    assert told.cut_off
    assert not READ.cut_off
    assert invariants.no_glued_stream([told]) == []
    assert invariants.no_glued_stream([replace(told, numbers=[0, 2])])


def test_the_journal_is_the_ledger():
    assert invariants.journal_equals_ledger([job(ANSWERED)], {"t": Calls(1, 1)}) == []
    assert invariants.journal_equals_ledger([job(ANSWERED, ANSWERED)], {"t": Calls(2, 2)}), "written down twice"
    assert invariants.journal_equals_ledger([job(ANSWERED)], {}), "never made"
    assert invariants.journal_equals_ledger([job(ANSWERED)], {"t": Calls(1, 0)}), "never answered"
    assert invariants.journal_equals_ledger([job(ANSWERED)], {"t": Calls(2, 1)}), "not written down"
    lost = job(replace(ANSWERED, epoch=2), epoch=2, recoveries=1)
    assert invariants.journal_equals_ledger([lost], {"t": Calls(2, 2)}) == [], "its worker was lost"
    ended = replace(job(state="failed"), error_code="stream_lost")
    assert invariants.journal_equals_ledger([ended], {"t": Calls(1, 0)}) == [], "and the job with it"


def test_a_call_that_the_provider_may_not_have_seen_is_no_fault():
    unseen = (replace(ANSWERED, outcome="cancelled"), replace(FAILED, step=1, error_type="ProviderUnreachable"))
    assert invariants.journal_equals_ledger([job(*unseen, replace(ANSWERED, step=2))], {"t": Calls(1, 1)}) == []


def test_an_answer_is_paid_for_twice_only_when_a_worker_was_lost():
    paid_twice = {"t": Calls(2, 2)}
    assert invariants.repeated_only_in_flight([job(ANSWERED)], {"t": Calls(2, 1)}) == []
    assert invariants.repeated_only_in_flight([job(ANSWERED)], paid_twice)
    assert invariants.repeated_only_in_flight([job(ANSWERED, recoveries=1)], paid_twice) == []
    assert invariants.repeated_only_in_flight([job(replace(ANSWERED, outcome="cancelled"), ANSWERED)], paid_twice) == []


def test_the_ledger_is_read_by_tags():
    requests = {
        "f1": {"prompt": "[[tokens: 5]] chaos-b1-2!", "calls": 2, "succeeded": 1},
        "f2": {"prompt": "chaos-b1-2!", "calls": 1, "succeeded": 1},
        "f3": {"prompt": "chaos-b1-23!", "calls": 1, "succeeded": 0},
    }
    assert ledger({"requests": requests}) == {"chaos-b1-2": Calls(3, 2), "chaos-b1-23": Calls(1, 0)}
    assert tag_of("nothing of ours") == ""
