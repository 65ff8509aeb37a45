"""From the contract's functions to detectors: opening, dispatch by rule, failures, and the private state of all.

It knows the shapes of the contract and not the bindings, so that unit tests run it natively.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from . import log, state
from .batch import Batch, RawBatch
from .detector import Entry, Opened, open_detector
from .errors import ConfigError, DataError
from .failures import guarded
from .findings import Finding, Findings
from .rule import Rule
from .schema import RawField, Schema


class RawRule(Protocol):
    """A rule of the contract."""

    @property
    def id(self) -> str:
        """The rule's id."""

    @property
    def config(self) -> str:
        """The rule's ``[rule.config]`` as JSON text."""

    @property
    def schema(self) -> Sequence[RawField]:
        """What every batch for this rule holds."""


class _OpenRule(NamedTuple):
    id: str
    schema: Schema
    detector: Opened


class Dispatch:
    """The functions of the contract's ``detection``, over some detectors. They raise only :class:`PluginError`."""

    def __init__(self, entries: Iterable[Entry], source: str) -> None:
        """``source`` is the folder of the author's files, to which the files in messages are relative."""
        self._entries = list(entries)
        self._source = source
        self._rules: list[_OpenRule] = []

    def rules(self) -> list[str]:
        """Returns the ids of the rules that there is a detector for."""
        return [entry.id for entry in self._entries]

    def open(self, config: str, rules: Iterable[RawRule]) -> None:
        """Opens a detector for each rule. ``config`` is the pack's ``[plugin.config]`` as JSON text."""
        plugin_config = json.loads(config)
        self._rules = [self._open_rule(plugin_config, rule) for rule in rules]

    def on_batch(self, rule: int, raw: RawBatch) -> list[Finding]:
        """Returns the findings about a batch for the rule in this place of :meth:`open`."""
        if not 0 <= rule < len(self._rules):
            raise DataError(f"a batch for rule {rule} came where {len(self._rules)} are open")
        opened = self._rules[rule]
        batch = Batch(opened.schema, raw)
        findings = Findings(len(batch))
        try:
            with guarded(self._source, DataError):
                opened.detector.on_batch(batch, findings)
                return findings.finish()
        finally:
            batch.release()

    def on_watermark(self, time: int) -> list[tuple[int, Finding]]:
        """Returns the findings of the rule whose key is woken, or else of all rules, each with its rule's place in
        :meth:`open`."""
        woken = state.current_rule()
        found: list[tuple[int, Finding]] = []
        for index, rule in enumerate(self._rules):
            if woken not in (None, index):
                continue
            findings = Findings()
            with guarded(self._source, DataError):
                if woken is None:
                    rule.detector.on_watermark(time, findings)
                else:
                    rule.detector.on_wake(time, findings)
                found.extend((index, finding) for finding in findings.finish())
        return found

    def snapshot(self) -> bytes:
        """Returns the memory of all rules' detectors."""
        parts: list[bytes] = []
        for rule in self._rules:
            with guarded(self._source, DataError):
                kept = bytes(rule.detector.snapshot())
            if kept:
                for part in (rule.id.encode(), kept):
                    parts += (len(part).to_bytes(8, "little"), part)
        return b"".join(parts)

    def restore(self, kept: bytes) -> None:
        """Gives every rule its part of a snapshot back, by the rule's id."""
        parts = list(_parts(kept))
        if len(parts) % 2:
            raise _cut()
        for id, part in zip(parts[::2], parts[1::2]):
            rule = next((rule for rule in self._rules if rule.id.encode() == id), None)
            if rule is None:
                known = id.decode("utf-8", "replace")
                log.warn(f"the state of rule `{known}` is dropped: the rule is not open any more")
                continue
            with guarded(self._source, DataError):
                rule.detector.restore(part)

    def _open_rule(self, plugin_config: dict[str, Any], raw: RawRule) -> _OpenRule:
        entry = next((entry for entry in self._entries if entry.id == raw.id), None)
        if entry is None:
            known = ", ".join(f"`{entry.id}`" for entry in self._entries)
            raise ConfigError(f"the component has no detector for rule `{raw.id}`: it has {known}")
        schema = Schema(raw.schema)
        rule = Rule(raw.id, json.loads(raw.config), plugin_config, schema)
        try:
            with guarded(self._source, ConfigError):
                return _OpenRule(raw.id, schema, open_detector(entry.author, rule))
        except ConfigError as error:
            raise ConfigError(f"rule `{raw.id}`: {error}") from error


def _parts(state: bytes) -> Iterator[bytes]:
    """Returns the parts of a state, each of which follows its length in eight bytes."""
    at = 0
    while at < len(state):
        start = at + 8
        at = start + int.from_bytes(state[at:start], "little")
        if start > len(state) or at > len(state):
            raise _cut()
        yield state[start:at]


def _cut() -> DataError:
    return DataError("the state to restore is cut off or not ours")
