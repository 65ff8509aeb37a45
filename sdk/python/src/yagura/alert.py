"""Alerts, their facts and assessments, and the reports for notifiers, in the types of the contract.

The text of an alert comes from logs, so an attacker may have written it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .findings import Observable, Severity


class AlertState(Enum):
    """The state of an alert, with the contract's numbers."""

    PROVISIONAL = 0
    """Its condition holds in what has arrived."""
    FINAL = 1
    """Nothing that could change it is still to come."""
    WITHDRAWN = 2
    """Its condition does not hold any more."""


class Verdict(Enum):
    """The verdict of a reviewer, with the contract's numbers."""

    UNDECIDED = 0
    """It cannot be said."""
    BENIGN = 1
    """Nothing bad has happened."""
    SUSPICIOUS = 2
    """Somebody should look."""
    MALICIOUS = 3
    """It is an attack."""


class Status(Enum):
    """The status of an incident, with the contract's numbers."""

    OPEN = 0
    """Nobody has taken it up."""
    ACKNOWLEDGED = 1
    """Somebody works on it."""
    CLOSED = 2
    """Done with, by a human or because its alerts were withdrawn. The report's text says which."""


@dataclass(slots=True)
class Attribute:
    """A fact about an alert that an enricher added."""

    name: str
    value: str
    source: str
    """Where it comes from, for a human: a service, a table, a list."""


class Attributes(list[Attribute]):
    """The facts of enrichers."""

    def value(self, name: str) -> str | None:
        """Returns the first value under a name; ``None`` if there is none."""
        return next((attribute.value for attribute in self if attribute.name == name), None)

    def values(self, name: str) -> list[str]:
        """Returns all values under a name, in order."""
        return [attribute.value for attribute in self if attribute.name == name]


@dataclass(slots=True)
class Assessment:
    """The assessment of an alert by a reviewer. Without a severity, the alert keeps its own."""

    verdict: Verdict
    reason: str
    """For a human, one sentence."""
    severity: Severity | None = None


@dataclass(slots=True)
class Alert:
    """An alert of a rule. Times are in microseconds since 1970-01-01T00:00:00Z."""

    state: AlertState
    id: str
    """Stays the same for as long as the alert is, whatever becomes of it."""
    rule: str
    title: str
    severity: Severity
    key: str
    """Which of the rule's alerts this is: the values of its key columns."""
    window_start: int
    first_time: int
    last_time: int
    count: int
    """How many findings the alert has."""
    observables: list[tuple[str, str]] = field(default_factory=list)
    """Kinds and values of what is worth searching for."""
    context: list[tuple[str, str]] = field(default_factory=list)
    """Names and values of what the rule put into the alert for the reader."""
    tags: list[str] = field(default_factory=list)

    def observables_of(self, kind: Observable | str) -> list[str]:
        """Returns the observables of a kind, each once, in order."""
        name = kind.value if isinstance(kind, Observable) else kind
        return list(dict.fromkeys(value for other, value in self.observables if other == name))

    def fact(self, name: str) -> str | None:
        """Returns the first context entry with a name; ``None`` if there is none."""
        return next((value for other, value in self.context if other == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Returns the alert as in the JSON of Yagura itself, but without its events, which plugins do not see. Times
        are RFC 3339 in UTC."""
        return {
            "state": self.state.name.lower(),
            "id": self.id,
            "rule": self.rule,
            "title": self.title,
            "severity": self.severity.name.lower(),
            "key": self.key,
            "window_start": format_time(self.window_start),
            "first_time": format_time(self.first_time),
            "last_time": format_time(self.last_time),
            "count": self.count,
            "observables": [{"kind": kind, "value": value} for kind, value in self.observables],
            "context": [{"name": name, "value": value} for name, value in self.context],
            "tags": list(self.tags),
        }


@dataclass(slots=True)
class Report:
    """The report of an incident, for a notifier."""

    id: str
    """Of the incident. The same id names the same ticket, message or thread: it is updated, not sent again."""
    revision: int
    """Counts what was said under this id, from one."""
    status: Status
    title: str
    """One line."""
    severity: Severity
    text: str
    """All there is to say, in short lines of plain text."""
    time: int
    """When the report was made, by the host's clock, in microseconds since 1970-01-01T00:00:00Z."""
    alerts: list[Alert]
    """The first ones; :attr:`alert_count` counts all."""
    alert_count: int
    attributes: Attributes = field(default_factory=Attributes)
    assessments: list[tuple[str, Assessment]] = field(default_factory=list)
    """Names of reviewers and what they think."""
    earlier: str | None = None
    """The receipt of the earlier report under this id; ``None`` for the first."""
    uncertain: bool = False
    """An earlier attempt ended without an answer, so this report, or the one that would have given a receipt, may be
    there: look for it before making another."""

    @property
    def is_first(self) -> bool:
        """Whether this is the first report with this id, as far as is known."""
        return self.earlier is None

    @property
    def revision_id(self) -> str:
        """Id and revision, ``ID-REVISION``: an idempotency key, for services that support one."""
        return f"{self.id}-{self.revision}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as in the JSON of Yagura itself: names with underscores, times as RFC 3339 in
        UTC."""
        return {
            "id": self.id,
            "revision": self.revision,
            "status": self.status.name.lower(),
            "title": self.title,
            "severity": self.severity.name.lower(),
            "text": self.text,
            "time": format_time(self.time),
            "alerts": [alert.to_dict() for alert in self.alerts],
            "alert_count": self.alert_count,
            "attributes": [
                {"name": one.name, "value": one.value, "source": one.source} for one in self.attributes
            ],
            "assessments": [
                [
                    name,
                    {
                        "severity": (assessment.severity or self.severity).name.lower(),
                        "verdict": assessment.verdict.name.lower(),
                        "reason": assessment.reason,
                    },
                ]
                for name, assessment in self.assessments
            ],
            "earlier": self.earlier,
            "uncertain": self.uncertain,
        }


def format_time(micros: int) -> str:
    """Returns a time in microseconds since 1970-01-01T00:00:00Z as RFC 3339 in UTC, with microseconds.

    Raises :class:`OverflowError` for a time outside the years 1 to 9999.
    """
    epoch = datetime.datetime(1970, 1, 1)
    return (epoch + datetime.timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "Z"


def alert_of(raw: Any) -> Alert:
    """Returns an alert of the contract, from the types of the bindings; the functions below do the same."""
    return Alert(
        state=AlertState(raw.state.value),
        id=raw.id,
        rule=raw.rule,
        title=raw.title,
        severity=Severity(raw.severity.value),
        key=raw.key,
        window_start=raw.window_start,
        first_time=raw.first_time,
        last_time=raw.last_time,
        count=raw.count,
        observables=list(raw.observables),
        context=list(raw.context),
        tags=list(raw.tags),
    )


def attributes_of(raw: Iterable[Any]) -> Attributes:
    """Returns a list of attributes."""
    return Attributes(Attribute(one.name, one.value, one.source) for one in raw)


def report_of(raw: Any) -> Report:
    """Returns a report."""
    return Report(
        id=raw.id,
        revision=raw.revision,
        status=Status(raw.status.value),
        title=raw.title,
        severity=Severity(raw.severity.value),
        text=raw.text,
        time=raw.time,
        alerts=[alert_of(alert) for alert in raw.alerts],
        alert_count=raw.alert_count,
        attributes=attributes_of(raw.attributes),
        assessments=[
            (name, Assessment(Verdict(one.verdict.value), one.reason, Severity(one.severity.value)))
            for name, one in raw.assessments
        ],
        earlier=raw.earlier,
        uncertain=raw.uncertain,
    )
