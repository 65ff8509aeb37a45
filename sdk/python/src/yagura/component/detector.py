"""A component of the world ``detector``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from componentize_py_types import Err
from wit_world.imports import state as host_state

from .. import http, lookup, search, state
from ..detector import REGISTERED
from ..dispatch import Dispatch
from ..errors import ConfigError
from ..findings import Finding
from . import answering, load_modules, not_offered

_dispatch = Dispatch([], "")


class Detection:
    """The functions of the contract's ``detection``, under the names that the bindings want."""

    def rules(self) -> list[str]:
        """Returns the ids of the rules that there is a detector for."""
        return _dispatch.rules()

    def open(self, config: str, rules: list[Any]) -> None:
        """See :meth:`Dispatch.open`; the methods below likewise."""
        answering(lambda: _dispatch.open(config, rules))

    def on_batch(self, rule: int, batch: Any) -> list[Any]:
        """Returns the findings about a batch."""
        return answering(lambda: [_lower(finding) for finding in _dispatch.on_batch(rule, batch)])

    def on_watermark(self, time: int) -> list[tuple[int, Any]]:
        """Returns the findings at a watermark."""
        return answering(lambda: [(rule, _lower(finding)) for rule, finding in _dispatch.on_watermark(time)])

    def snapshot(self) -> bytes:
        """Returns the private state."""
        return answering(_dispatch.snapshot)

    def restore(self, state: bytes) -> None:
        """Takes the private state back."""
        answering(lambda: _dispatch.restore(state))


def load(folder: str) -> None:
    """Imports the author's modules: see :func:`yagura.component.load_modules`."""
    load_modules(folder, _finish)


def _finish(source: str) -> None:
    global _dispatch
    _check_ids()
    _dispatch = Dispatch(REGISTERED, source)
    state.keep_in(_HostStore())
    http.send_by(not_offered("detector", "http"))
    lookup.read_by(not_offered("detector", "lookup"))
    search.find_by(not_offered("detector", "search"))


def _check_ids() -> None:
    if not REGISTERED:
        raise ConfigError('the plugin has no detector: put @detector("rule-id") before a class or a function')
    seen: dict[str, Callable[..., Any]] = {}
    for id, author in REGISTERED:
        if id in seen:
            places = " and ".join(f"`{other.__module__}.{other.__qualname__}`" for other in (seen[id], author))
            raise ConfigError(f"two detectors for rule `{id}`: {places}")
        seen[id] = author


def _lower(finding: Finding) -> Any:
    # The bindings take any object with the names of the contract's record, and to make one of theirs is slow.
    lowered: Any = finding
    lowered.observables = [(kind.value, value) for kind, value in finding.observables] if finding.observables else []
    lowered.context = list(finding.context.items()) if finding.context else []
    return lowered


class _HostStore:
    """The state as the host keeps it."""

    def rule(self) -> int:
        rule: int = _kept(host_state.rule)
        return rule

    def get(self, name: str, at: int) -> bytes | None:
        value: bytes | None = _kept(host_state.get, name, at)
        return value

    def put(self, name: str, value: bytes, expires: int | None) -> None:
        _kept(host_state.put, name, value, expires)

    def increment(self, name: str, by: int, at: int, expires: int | None) -> int:
        count: int = _kept(host_state.increment, name, by, at, expires)
        return count

    def remove(self, name: str) -> None:
        _kept(host_state.remove, name)

    def wake(self, at: int) -> None:
        _kept(host_state.wake, at)


def _kept(call: Callable[..., Any], *arguments: object) -> Any:
    """Asks the host, and raises its error as the SDK's."""
    try:
        return call(*arguments)
    except Err as error:
        case: Any = error.value
    if isinstance(case, host_state.StateError_TooLarge):
        raise state.StateFull(case.value)
    raise state.NotACounter if isinstance(case, host_state.StateError_NotANumber) else state.NoState
