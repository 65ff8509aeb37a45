"""Enrichers, reviewers, notifiers and normalizers in unit tests, with their alerts, reports and records."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..alert import Alert, AlertState, Attribute, Attributes, Assessment, Report, Status
from ..errors import DataError
from ..findings import Severity
from ..normalizer import Normalizer
from ..plugins import Enriched, Enricher, Notifier, Reviewer
from ..serving import Serving


def alert(**changes: Any) -> Alert:
    """Returns a final alert of severity medium, with a value in every field that is not a list, and these changes."""
    time = 1_772_000_000_000_000
    made = Alert(
        state=AlertState.FINAL,
        id="a1",
        rule="test-rule",
        title="Test alert",
        severity=Severity.MEDIUM,
        key="test",
        window_start=time,
        first_time=time,
        last_time=time + 60_000_000,
        count=1,
    )
    return replace(made, **changes)


def report(**changes: Any) -> Report:
    """Returns the first report of an incident with one alert, :func:`alert`, and these changes."""
    about = alert()
    made = Report(
        id="i1",
        revision=1,
        status=Status.OPEN,
        title=about.title,
        severity=about.severity,
        text="Test alert\nkey: test",
        time=about.last_time + 1_000_000,
        alerts=[about],
        alert_count=1,
    )
    return replace(made, **changes)


def enrich(enricher: type[Enricher], alert: Alert, config: Mapping[str, Any] | None = None) -> Enriched:
    """Opens an enricher with a configuration and returns its facts about an alert.

    Raises the error that a host would receive: :class:`yagura.ConfigError`, :class:`yagura.DataError` or
    :class:`yagura.RetryError`. The same holds for the functions below.
    """
    return _open(enricher, config).enrich(alert)


def review(
    reviewer: type[Reviewer],
    alert: Alert,
    attributes: Iterable[Attribute] = (),
    config: Mapping[str, Any] | None = None,
) -> Assessment | None:
    """Opens a reviewer with a configuration and returns its assessment of an alert, with a severity."""
    return _open(reviewer, config).review(alert, Attributes(attributes))


def notify(notifier: type[Notifier], report: Report, config: Mapping[str, Any] | None = None) -> str:
    """Opens a notifier with a configuration, passes a report to it, and returns the receipt."""
    return _open(notifier, config).notify(report)


def parse(normalizer: type[Normalizer], record: bytes | str, config: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Opens a normalizer with a configuration and returns the events of a record, as the host reads them.

    Raises :class:`yagura.DataError` with the reason if the record is malformed.
    """
    data = record.encode() if isinstance(record, str) else record
    offsets = struct.pack("<2I", 0, len(data))
    found = _open(normalizer, config).normalize(offsets, data)
    if found.malformed:
        raise DataError(found.malformed[0][1])
    ends = [end for (end,) in struct.iter_unpack("<I", found.events.offsets)]
    return [json.loads(found.events.values[start:end]) for start, end in zip(ends, ends[1:])]


def _open(author: type[Any], config: Mapping[str, Any] | None) -> Serving:
    file = getattr(sys.modules.get(author.__module__), "__file__", None)
    serving = Serving(author, os.path.dirname(os.path.abspath(file or ".")))
    serving.open(json.dumps(dict(config or {})))
    return serving
