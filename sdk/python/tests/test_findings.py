"""What a detector says, and what of it crosses."""

from typing import Any

import pytest

from yagura import ConfigError, Finding, Findings, Observable, Rule, Severity
from yagura.schema import Schema
from yagura.testing import Events


def test_what_is_absent_is_left_out_and_the_rest_is_text() -> None:
    findings = Findings(6)
    findings.rows(
        [2, 5],
        observables=[(Observable.IP, "192.0.2.1"), (Observable.USER, None), (Observable.HOST, "")],
        context={"empty": "", "none": None, "port": 22, "zero": 0, "share": 0.5, "yes": True, "half": "\ud800"},
    )
    later = findings.row(0, key="k")
    later.title, later.severity = "t", Severity.LOW
    first, second = findings.finish()
    assert first.rows == [2, 5] and first.observables == [(Observable.IP, "192.0.2.1")]
    assert first.context == {"port": "22", "zero": "0", "share": "0.5", "yes": "true", "half": "?"}
    assert (second.title, second.severity, second.key) == ("t", Severity.LOW, "k")


def test_rows_outside_the_batch_and_wrong_kinds_are_refused() -> None:
    findings = Findings(2)
    for row in (-1, 2):
        with pytest.raises(IndexError, match=f"row {row} of a batch of 2"):
            findings.row(row)
    with pytest.raises(ValueError, match="at least one"):
        findings.rows([])
    assert len(findings) == 0
    wrong: Any = "high"
    with pytest.raises(TypeError, match="yagura.Severity is wanted"):
        Finding(severity=wrong).finish()
    with pytest.raises(TypeError, match="yagura.Observable is wanted"):
        Finding(observables=[(wrong, "x")]).finish()


def test_configuration_is_checked() -> None:
    rule = Rule("r", {"names": ["a"], "ports": [1, True], "n": 2.5, "flag": True}, {}, Schema([]))
    assert rule.config_strings("names") == ["a"] and rule.config_strings("none") == []
    assert rule.config_float("n", 0.1) == 2.5 and rule.config_int("none", 7) == 7
    for read, message in (
        (lambda: rule.config_integers("ports"), r"`rule.config.ports` is \[1,true\] where a list of whole numbers"),
        (lambda: rule.config_int("n", 1), "`rule.config.n` is 2.5 where a whole number is wanted"),
        (lambda: rule.config_float("flag", 1), "`rule.config.flag` is true where a number is wanted"),
    ):
        with pytest.raises(ConfigError, match=message):
            read()


def test_mistakes_in_events_are_errors_of_the_test() -> None:
    with pytest.raises(ValueError, match="column `b` has 1 values where the columns before have 2"):
        Events().text("a", ["1", "2"]).text("b", ["1"])
    with pytest.raises(TypeError, match="column `a` is to have values of one of the types"):
        Events.of([{"a": 1}, {"a": "x"}])
