"""Measures what a detector costs an event, natively: the rule `sample-console-login` in each of the SDK's forms.

Run it as `PYTHONPATH=src python3 benchmarks/rows.py [batch-rows]`. It prints the best of several runs, in nanoseconds
an event. The SDK's forms start from the contract's bytes and decode what they read; next to them stands the same rule
in plain Python over a list of dictionaries, which somebody else has filled before.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from yagura import Batch, Event, Finding, Findings, Rule, Severity
from yagura.detector import open_detector
from yagura.schema import Schema
from yagura.testing import Events

EVENTS = 100_000
RUNS = 9


def by_function(event: Event) -> bool | Finding | None:
    mfa = event["additional_event_data.MFAUsed"]
    if mfa == "Yes":
        return None
    context = {"time": event["event_time"], "mfa": mfa}
    if event["user_type"] != "Root":
        return Finding(context=context)
    name = event["user_name"] or "nobody"
    return Finding(context=context, severity=Severity.CRITICAL, title=f"Root login without a second factor by {name}")


class ByEvent:
    def __init__(self, rule: Rule) -> None:
        self.time = rule.time("event_time")
        self.user_type = rule.text("user_type")
        self.user_name = rule.text("user_name")
        self.mfa = rule.text("additional_event_data.MFAUsed")

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        for event in batch:
            mfa = event[self.mfa]
            if mfa == "Yes":
                continue
            finding = findings.row(event, context={"time": event[self.time], "mfa": mfa})
            if event[self.user_type] == "Root":
                finding.severity = Severity.CRITICAL
                finding.title = f"Root login without a second factor by {event[self.user_name] or 'nobody'}"


class ByColumn(ByEvent):
    def on_batch(self, batch: Batch, findings: Findings) -> None:
        times, names = batch.column(self.time), batch.column(self.user_name)
        for row, (mfa, user_type) in enumerate(zip(batch.column(self.mfa), batch.column(self.user_type))):
            if mfa == "Yes":
                continue
            finding = findings.row(row, context={"time": times[row], "mfa": mfa})
            if user_type == "Root":
                finding.severity = Severity.CRITICAL
                finding.title = f"Root login without a second factor by {names[row] or 'nobody'}"


def over_dictionaries(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for row, event in enumerate(events):
        mfa = event["additional_event_data.MFAUsed"]
        if mfa == "Yes":
            continue
        finding: dict[str, Any] = {"row": row, "context": {"time": str(event["event_time"]), "mfa": mfa}}
        if event["user_type"] == "Root":
            finding["severity"] = "critical"
            finding["title"] = f"Root login without a second factor by {event['user_name'] or 'nobody'}"
        found.append(finding)
    return found


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 8192
    for one_in in (1000, 10):
        dictionaries = [
            {
                "event_time": 1_767_225_600_000_000 + row,
                "user_type": "Root" if row % 7 == 0 else "IAMUser",
                "user_name": None if row % 5 == 0 else f"user-{row % 100}",
                "additional_event_data.MFAUsed": "No" if row % one_in == 0 else "Yes",
            }
            for row in range(EVENTS)
        ]
        batches = [Events.of(dictionaries[at : at + rows], ["event_time"]) for at in range(0, EVENTS, rows)]
        print(f"a finding in {one_in} events, batches of {rows}")
        for name, author in (("function", by_function), ("class, events", ByEvent), ("class, columns", ByColumn)):
            report(name, lambda: evaluate(author, batches, dictionaries))
        report("plain Python over dictionaries", lambda: timed(lambda: over_dictionaries(dictionaries)))


def evaluate(author: Callable[..., Any], batches: list[Events], dictionaries: list[dict[str, Any]]) -> float:
    schema = Schema(batches[0]._fields)
    opened = open_detector(author, Rule("test", {}, {}, schema))
    raws = [events._batch() for events in batches]
    found = 0

    def run() -> None:
        nonlocal found
        for raw in raws:
            batch = Batch(schema, raw)
            findings = Findings(len(batch))
            opened.on_batch(batch, findings)
            found += len(findings.finish())
            batch.release()

    taken = timed(run)
    if found != len(over_dictionaries(dictionaries)):
        raise AssertionError(f"{author} found {found}")
    return taken


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def report(name: str, run: Callable[[], float]) -> None:
    best = min(run() for _ in range(RUNS))
    print(f"  {name:32} {best / EVENTS * 1e9:7.0f} ns an event")


if __name__ == "__main__":
    main()
