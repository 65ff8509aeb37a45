"""From the contract's functions to detectors."""

import os
from typing import Any, NamedTuple

import pytest

from yagura import Batch, ConfigError, DataError, Event, Finding, Findings, RetryError, Rule, detector, log
from yagura.detector import REGISTERED, Entry
from yagura.dispatch import Dispatch
from yagura.schema import DataType
from yagura.testing import Events, Session, evaluate
from yagura.testing.detectors import _Field


class Counter:
    """Counts rows and says so at the watermark."""

    def __init__(self, rule: Rule) -> None:
        self.number = rule.int64("number")
        self.rows = 0

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        for event in batch:
            self.rows += 1
            if event[self.number] == 42:
                findings.row(event)

    def on_watermark(self, time: int, findings: Findings) -> None:
        findings.at_watermark(title=str(self.rows))

    def snapshot(self) -> bytes:
        return self.rows.to_bytes(8, "little")

    def restore(self, state: bytes) -> None:
        self.rows = int.from_bytes(state, "little")


class RawRule(NamedTuple):
    id: str
    schema: list[_Field]
    config: str = "{}"


def rule(id: str, column: str = "number") -> RawRule:
    return RawRule(id, [_Field(column, DataType.INT64, False)])


def batch(*numbers: int) -> Any:
    return Events().int64("number", numbers)._batch()


def dispatch(*authors: Any) -> Dispatch:
    return Dispatch([Entry(id, author) for id, author in zip("abc", authors)], os.path.dirname(__file__))


def test_batches_go_to_the_rule_that_they_are_for_and_state_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    opened = dispatch(Counter, Counter)
    assert opened.rules() == ["a", "b"]
    opened.open("{}", [rule("b"), rule("a")])
    assert [finding.rows for finding in opened.on_batch(1, batch(1, 42, 42))] == [[1], [2]]
    with pytest.raises(DataError, match="a batch for rule 2 came where 2 are open"):
        opened.on_batch(2, batch())
    state = opened.snapshot()
    # The order of the rules differs and one is gone: state follows the rule's id.
    opened.open("{}", [rule("a")])
    opened.restore(state)
    assert [(index, finding.title) for index, finding in opened.on_watermark(0)] == [(0, "3")]
    assert "the state of rule `b` is dropped" in capsys.readouterr().err
    for length in range(1, len(state)):
        if length != len(state) // 2:
            with pytest.raises(DataError, match="the state to restore is cut off or not ours"):
                opened.restore(state[:length])


def test_errors_at_open_name_the_rule() -> None:
    opened = dispatch(Counter, Counter)
    with pytest.raises(ConfigError, match="no detector for rule `c`: it has `a`, `b`"):
        opened.open("{}", [rule("c")])
    with pytest.raises(ConfigError, match="^rule `a`: the rule hands over no column `number`: add it"):
        opened.open("{}", [rule("a", "nubmer")])
    with pytest.raises(ConfigError, match="neither `on_batch` nor `on_watermark`"):
        dispatch(type("Empty", (), {"__init__": lambda self, rule: None})).open("{}", [rule("a")])
    with pytest.raises(ConfigError, match="is to take `event`, or `event` and `rule`"):
        dispatch(lambda: True).open("{}", [rule("a")])


def breaks(number: int) -> int:
    return [1, 2][number]


def test_what_an_author_did_not_mean_to_throw_has_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    opened = dispatch(lambda event: breaks(event["number"]) == 1)
    opened.open("{}", [rule("a")])
    with pytest.raises(DataError) as error:
        opened.on_batch(0, batch(5))
    line = breaks.__code__.co_firstlineno + 1
    message = f"IndexError: list index out of range (test_dispatch.py:{line} in breaks)"
    assert str(error.value) == message
    assert capsys.readouterr().err == f"Error: {message}\n"

    class Fails:
        def __init__(self, rule: Rule) -> None:
            raise SystemExit(3)

    with pytest.raises(ConfigError) as at_open:
        dispatch(Fails).open("{}", [rule("a")])
    line = Fails.__init__.__code__.co_firstlineno + 1
    place = f"(test_dispatch.py:{line} in {Fails.__init__.__qualname__})"
    assert str(at_open.value) == f"rule `a`: SystemExit: 3 {place}"


def test_what_an_author_meant_to_raise_is_said_as_it_is() -> None:
    def raises(event: Event) -> bool:
        raise RetryError("not yet")

    opened = dispatch(raises)
    opened.open("{}", [rule("a")])
    with pytest.raises(RetryError, match="^not yet$"):
        opened.on_batch(0, batch(5))


def test_functions_answer_in_four_ways() -> None:
    answers: list[Any] = [None, False, True, Finding(title="t"), "text"]

    def answer(event: Event, rule: Rule) -> Any:
        assert rule.config == {"k": 1}
        return answers[event["number"]]

    found = evaluate(answer, Events().int64("number", range(4)), {"k": 1})
    assert [(finding.rows, finding.title) for finding in found] == [([2], None), ([3], "t")]
    with pytest.raises(TypeError, match="`answer` returned str where"):
        evaluate(answer, Events().int64("number", [4]), {"k": 1})


def test_one_finding_may_serve_for_many_events() -> None:
    same = Finding(context={"n": 1})
    found = evaluate(lambda event: same, Events().int64("number", range(3)))
    assert [(finding.rows, finding.context) for finding in found] == [([n], {"n": "1"}) for n in range(3)]
    assert same.rows == [] and same.context == {"n": 1}


def test_batch_bounds_and_kept_state_do_not_matter() -> None:
    one, two = Session(Counter, Events().int64("number", [])), Session(Counter, Events().int64("number", []))
    one.batch(Events().int64("number", range(50)))
    for number in range(50):
        two.batch(Events().int64("number", [number]))
    assert one.snapshot() == two.snapshot()
    three = Session(Counter, Events().int64("number", []))
    three.restore(one.snapshot())
    assert three.watermark(0)[0].title == "50" and three.detector.rows == 50


def test_the_decorator_registers_and_changes_nothing() -> None:
    before = list(REGISTERED)
    try:
        assert detector("x", "y")(breaks) is breaks
        assert [entry.id for entry in REGISTERED[len(before) :]] == ["x", "y"]
    finally:
        REGISTERED[:] = before
    with pytest.raises(TypeError, match="names the rules"):
        detector(breaks)  # type: ignore[arg-type]


def test_the_log_is_stderr_in_tests(capsys: pytest.CaptureFixture[str]) -> None:
    log.debug(1)
    log.warn("half of a pair: \ud800")
    assert capsys.readouterr().err == "Debug: 1\nWarn: half of a pair: ?\n"
