"""What a detector remembers of one partition key."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from yagura import Batch, DataError, Event, Findings, Rule, state
from yagura.detector import Entry
from yagura.dispatch import Dispatch
from yagura.memory import MOST_ENTRIES, MOST_WAKES, Memory
from yagura.schema import DataType
from yagura.testing import Events, Session
from yagura.testing.detectors import _Field

STEPS: dict[str, Callable[[int], Any]] = {
    "count": lambda at: state.increment("n", at),
    "count for ten": lambda at: state.increment("n", at, expires=at + 10),
    "read": lambda at: state.count("n", at),
    "forget": lambda at: state.remove("n"),
    "wake": lambda at: state.wake(at + 5),
    "write": lambda at: state.put_json("text", {"櫓": 1}, at + 10),
    "text": lambda at: state.get_json("text", at, "none"),
    "wrong": lambda at: state.increment("text", at),
    "large": lambda at: state.put("large", bytes(70_000)),
    "fill": lambda at: [state.put(str(number), "") for number in range(MOST_ENTRIES + 1)],
    "wake often": lambda at: [state.wake(at + number) for number in range(MOST_WAKES + 1)],
}


class Remembers:
    """Does to its key's state what the column `step` says, at the event's time; answers come back as titles."""

    def __init__(self, rule: Rule) -> None:
        self.id = rule.id

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        for event in batch:
            findings.row(event, title=str(STEPS[event["step"]](event["time"])))

    def on_wake(self, time: int, findings: Findings) -> None:
        state.wake(time)
        findings.at_watermark(title=f"{self.id}: {state.count('n', time)} at {time}")


def steps(first: int, *steps: str) -> Events:
    return Events().text("step", steps).time("time", range(first, first + len(steps)))


def titles(session: Session, key: str, first: int, *names: str) -> list[str | None]:
    return [finding.title for finding in session.keyed_batch(key, steps(first, *names))]


def test_state_in_a_test_is_as_with_a_host() -> None:
    session = Session(Remembers, steps(0))
    assert titles(session, "a", 0, "count for ten", "count", "read") == ["1", "2", "2"]
    assert titles(session, "b", 3, "count") == ["1"]
    assert titles(session, "a", 9, "read", "read", "count") == ["2", "0", "1"]
    assert titles(session, "a", 20, "forget", "read", "write", "text") == ["None", "0", "None", "{'櫓': 1}"]
    assert titles(session, "a", 32, "text") == ["none"]


def test_a_call_that_fails_changes_no_state() -> None:
    session = Session(Remembers, steps(0))
    for step, error, message in (
        ("wrong", state.NotACounter, "not eight bytes"),
        ("large", state.StateFull, "would have 70027 bytes"),
        ("fill", state.StateFull, "1000 entries"),
        ("wake often", state.StateFull, "100 wake-ups"),
        ("oops", KeyError, "oops"),
    ):
        with pytest.raises(error, match=message):
            session.keyed_batch("a", steps(0, "count", "wake", "write", step))
        assert session.wakes("a") == []
    assert titles(session, "a", 0, "count") == ["1"]
    with pytest.raises(DataError, match="`partition_by`"):
        session.batch(steps(0, "count"))


def test_a_key_is_woken_once_for_each_time() -> None:
    session = Session(Remembers, steps(0))
    session.keyed_batch("a", steps(0, "count", "wake", "wake"))
    assert session.wakes("a") == [6, 7]
    assert [finding.title for finding in session.wake("a", 6)] == ["test: 1 at 6"]
    assert session.wakes("a") == [7]


def test_a_function_remembers_too() -> None:
    def third(event: Event) -> bool:
        return state.increment("n", event["time"]) == 3

    session = Session(third, Events().time("time", []))
    found = session.keyed_batch("a", Events().time("time", range(5)))
    assert [finding.rows for finding in found] == [[2]]


def test_only_the_rule_that_asked_is_woken() -> None:
    class Rules(Memory):
        def rule(self) -> int:
            return 1

    class Watches:
        def __init__(self, rule: Rule) -> None:
            pass

        def on_watermark(self, time: int, findings: Findings) -> None:
            findings.at_watermark(title=f"watermark {time}")

    class RawRule:
        def __init__(self, id: str) -> None:
            self.id, self.config = id, "{}"
            self.schema = [_Field("number", DataType.INT64, False)]

    def told(*authors: Any) -> list[tuple[int, str | None]]:
        entries = [Entry(id, author) for id, author in zip("ab", authors)]
        opened = Dispatch(entries, os.path.dirname(__file__))
        opened.open("{}", [RawRule("a"), RawRule("b")])
        return [(rule, finding.title) for rule, finding in opened.on_watermark(7)]

    assert told(Remembers, Watches) == [(1, "watermark 7")]
    state.keep_in(Rules())
    try:
        assert told(Remembers, Remembers) == [(1, "b: 0 at 7")]
        # One that knows nothing of keys hears of the time as it always did.
        assert told(Remembers, Watches) == [(1, "watermark 7")]
    finally:
        state.keep_in(None)


def test_numbers_stay_within_64_bits_and_names_are_text() -> None:
    state.keep_in(Memory())
    try:
        assert state.increment("n", 0, by=(1 << 63) - 1) == state.increment("n", 0) == (1 << 63) - 1
        assert state.increment("m", 0, by=-(1 << 63)) == state.increment("m", 0, by=-1) == -(1 << 63)
        state.put("half \ud800", "櫓\ud800")
        assert state.get_text("half ?", 0) == "櫓?"
        state.put("n", b"1234567")
        with pytest.raises(state.NotACounter):
            state.count("n", 0)
    finally:
        state.keep_in(None)
    with pytest.raises(state.NoState):
        state.get("n", 0)
