"""The state of one partition key: entries, counters and wake-ups that the host stores.

::

    from yagura import Batch, Findings, Rule, detector, state
    from yagura.state import MINUTE

    @detector("guessing")
    class Guessing:
        def __init__(self, rule: Rule) -> None:
            self.time = rule.time("event_time")

        def on_batch(self, batch: Batch, findings: Findings) -> None:
            for event in batch:
                at = event[self.time] or 0
                # The first failure sets the expiry, and later ones keep it.
                first = state.get("failures", at) is None
                if state.increment("failures", at, expires=at + 10 * MINUTE if first else None) == 10:
                    findings.row(event)

It is for rules with ``partition_by``, whose batches hold one key each, in the order of event time. The host keeps the
state between calls, whichever instance makes them; what a call that fails has changed is not kept. No other key and no
other rule sees it.

``at`` is always the event time of the event being evaluated, or the time of the wake-up: microseconds since
1970-01-01T00:00:00Z. ``expires`` is the event time from which on an entry counts as absent.

Every function raises :class:`NoState` outside of calls for a key.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from .errors import DataError
from .text import crossing

SECOND = 1_000_000
"""A second, in the microseconds that all times have."""
MINUTE = 60 * SECOND
"""A minute in microseconds."""
HOUR = 60 * MINUTE
"""An hour in microseconds."""
DAY = 24 * HOUR
"""A day in microseconds."""


class StateError(DataError):
    """Why the state could not be read or changed. If a detector does not catch it, the host skips the events."""


class NoState(StateError):
    """The call is not for one key: the rule has no ``partition_by``, or the call evaluates neither events nor a
    wake-up."""

    def __str__(self) -> str:
        return "there is no state here: it is for rules with `partition_by`, while events of a key are evaluated"


class StateFull(StateError):
    """The key has reached a limit, which the message names. Nothing was stored."""

    def __str__(self) -> str:
        return f"the state is full: {super().__str__()}"


class NotACounter(StateError):
    """The entry is not a counter: it is not eight bytes long."""

    def __str__(self) -> str:
        return "the entry is not a counter: it is not eight bytes long"


class Store(Protocol):
    """The store of the state: the host, or the memory of a unit test. Its methods raise :class:`StateError`."""

    def rule(self) -> int:
        """Returns the number of the rule whose key is at hand."""

    def get(self, name: str, at: int) -> bytes | None:
        """See the functions of this module; likewise below."""

    def put(self, name: str, value: bytes, expires: int | None) -> None:
        """Stores a value."""

    def increment(self, name: str, by: int, at: int, expires: int | None) -> int:
        """Adds to a counter."""

    def remove(self, name: str) -> None:
        """Forgets a value."""

    def wake(self, at: int) -> None:
        """Asks for a wake-up."""


def get(name: str, at: int) -> bytes | None:
    """Returns the value under a name; ``None`` if there is none, or it expires at or before ``at``."""
    return _at_hand().get(crossing(name), at)


def get_text(name: str, at: int) -> str | None:
    """Returns the text under a name, as :func:`get`; bytes that are not UTF-8 become the replacement character."""
    value = get(name, at)
    return None if value is None else value.decode("utf-8", "replace")


def get_json(name: str, at: int, default: Any = None) -> Any:
    """Returns the value that :func:`put_json` stored under a name; ``default`` if there is none.

    Raises :class:`ValueError` for an entry that is not JSON.
    """
    value = get(name, at)
    return default if value is None else json.loads(value)


def count(name: str, at: int) -> int:
    """Returns the value of a counter; 0 if it is absent.

    Raises :class:`NotACounter`.
    """
    value = get(name, at)
    if value is None:
        return 0
    if len(value) != 8:
        raise NotACounter
    return int.from_bytes(value, "little", signed=True)


def put(name: str, value: bytes | str, expires: int | None = None) -> None:
    """Stores bytes or text under a name, and replaces an earlier value. Without ``expires`` it stays until it is
    removed.

    Raises :class:`StateFull`.
    """
    as_bytes = crossing(value).encode() if isinstance(value, str) else bytes(value)
    _at_hand().put(crossing(name), as_bytes, expires)


def put_json(name: str, value: Any, expires: int | None = None) -> None:
    """Stores a value as JSON text, as :func:`put`."""
    put(name, json.dumps(value, separators=(",", ":"), ensure_ascii=False), expires)


def increment(name: str, at: int, by: int = 1, expires: int | None = None) -> int:
    """Adds to a counter and returns its new value, which stays within 64 bits. An absent counter starts from 0.
    Without ``expires``, an existing counter keeps its expiry.

    Raises :class:`StateFull` and :class:`NotACounter`.
    """
    return _at_hand().increment(crossing(name), by, at, expires)


def remove(name: str) -> None:
    """Removes an entry, if it exists."""
    _at_hand().remove(crossing(name))


def wake(at: int) -> None:
    """Requests one call of the detector's ``on_wake`` with exactly this time. It happens when no earlier event of the
    key can follow, and before any later event of the key is evaluated. During a wake-up, a time at or before the time
    of the wake-up has no effect.

    Raises :class:`StateFull`.
    """
    _at_hand().wake(at)


def current_rule() -> int | None:
    """Returns the number of the rule whose key is at hand; ``None`` outside of calls for a key. For the SDK's own use."""
    try:
        return _at_hand().rule()
    except NoState:
        return None


def keep_in(store: Store | None) -> None:
    """Lets ``store`` keep the state. Only the component and the unit tests' sessions call it."""
    global _store
    _store = store


def _at_hand() -> Store:
    if _store is None:
        raise NoState
    return _store


_store: Store | None = None
