"""The state of keys in unit tests: what the host does, in memory."""

from __future__ import annotations

from typing import NamedTuple

from .state import NotACounter, StateFull

# The host's limits for one key: bytes by default, entries and wake-ups always.
MOST_BYTES = 64 * 1024
MOST_ENTRIES = 1_000
MOST_WAKES = 100


class _Entry(NamedTuple):
    value: bytes
    expires: int | None


class Memory:
    """The state of one key; a :class:`yagura.state.Store`."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self.wakes: set[int] = set()
        """The times for which the key asked to be woken."""
        self._woken: int | None = None

    def copy(self, woken: int | None = None) -> Memory:
        """Returns a memory that changes apart from this one, for a call that answers the wake-up ``woken``, if any."""
        copied = Memory()
        copied._entries = dict(self._entries)
        copied.wakes = set(self.wakes)
        if woken is not None:
            copied._woken = woken
            copied.wakes.discard(woken)
            copied._expire(woken)
        return copied

    def rule(self) -> int:
        """Returns the number of the rule: a test opens one."""
        return 0

    def get(self, name: str, at: int) -> bytes | None:
        """Returns the value under a name."""
        self._expire(at)
        entry = self._entries.get(name)
        return entry.value if entry else None

    def put(self, name: str, value: bytes, expires: int | None) -> None:
        """Stores a value."""
        if name not in self._entries and len(self._entries) >= MOST_ENTRIES:
            raise StateFull(
                f"the key has {MOST_ENTRIES} entries, which is the maximum: remove some, or let them expire"
            )
        size = len(name.encode()) + len(value)
        size += sum(
            len(other.encode()) + len(entry.value) for other, entry in self._entries.items() if other != name
        )
        if size > MOST_BYTES:
            raise StateFull(f"the entries of the key would have {size} bytes; the maximum is {MOST_BYTES}")
        self._entries[name] = _Entry(value, expires)

    def increment(self, name: str, by: int, at: int, expires: int | None) -> int:
        """Adds to a counter and returns its new value."""
        self._expire(at)
        count = by
        earlier = self._entries.get(name)
        if earlier:
            if len(earlier.value) != 8:
                raise NotACounter
            count += int.from_bytes(earlier.value, "little", signed=True)
            expires = earlier.expires if expires is None else expires
        count = max(-(1 << 63), min(count, (1 << 63) - 1))
        self.put(name, count.to_bytes(8, "little", signed=True), expires)
        return count

    def remove(self, name: str) -> None:
        """Forgets a value."""
        self._entries.pop(name, None)

    def wake(self, at: int) -> None:
        """Asks for a wake-up."""
        if (self._woken is not None and at <= self._woken) or at in self.wakes:
            return
        if len(self.wakes) >= MOST_WAKES:
            raise StateFull(f"the key has {MOST_WAKES} wake-ups, which is the maximum")
        self.wakes.add(at)

    def _expire(self, at: int) -> None:
        gone = [
            name for name, entry in self._entries.items() if entry.expires is not None and entry.expires <= at
        ]
        for name in gone:
            del self._entries[name]
