"""The component's side of the contract. It exists only inside a component: nowhere else are there bindings to import.

A component is two lines, in a module beside the folder of the author's files::

    from yagura.component import Detection, load
    load("source")
"""

from __future__ import annotations

import ast
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from . import sandbox

# Before any other module of the package takes a function of Python's library by name.
sandbox.install()

from componentize_py_types import Err
from wit_world.imports import log as host_log
from wit_world.imports import state as host_state
from wit_world.imports import types

from . import log, state
from .detector import REGISTERED
from .dispatch import Dispatch
from .errors import ConfigError, PluginError, RetryError
from .failures import describe
from .findings import Finding
from .text import crossing

Answer = TypeVar("Answer")

_dispatch = Dispatch([], "")


class Detection:
    """The functions of the contract's ``detection``, under the names that the bindings want."""

    def rules(self) -> list[str]:
        """Returns the ids of the rules that there is a detector for."""
        return _dispatch.rules()

    def open(self, config: str, rules: list[Any]) -> None:
        """See :meth:`Dispatch.open`; the methods below likewise."""
        _call(lambda: _dispatch.open(config, rules))

    def on_batch(self, rule: int, batch: Any) -> list[Any]:
        """Returns the findings about a batch."""
        return _call(lambda: [_lower(finding) for finding in _dispatch.on_batch(rule, batch)])

    def on_watermark(self, time: int) -> list[tuple[int, Any]]:
        """Returns the findings at a watermark."""
        return _call(lambda: [(rule, _lower(finding)) for rule, finding in _dispatch.on_watermark(time)])

    def snapshot(self) -> bytes:
        """Returns the private state."""
        return _call(_dispatch.snapshot)

    def restore(self, state: bytes) -> None:
        """Takes the private state back."""
        _call(lambda: _dispatch.restore(state))


def load(folder: str) -> None:
    """Imports every module of the author, once, when the component is built: instances start from what it left.

    ``folder`` is beside the folder of this package. Modules whose names mark them as tests are left out. An exception
    becomes one line on stderr that begins with ``yagura: `` and has the author's file and line; the build fails.
    """
    global _dispatch
    source = os.path.join(os.path.dirname(os.path.dirname(__file__)), folder)
    sys.path.insert(0, source)
    try:
        files = dict(_modules(source))
        for name in files:
            importlib.import_module(name)
        for file in files.values():
            _import_ahead(file)
        _check_ids()
    except BaseException as error:
        message = str(error) if isinstance(error, PluginError) else describe(error, source)
        # The tool that builds the component puts words of its own before the first line.
        print(f"\nyagura: {message}", file=sys.stderr, flush=True)
        raise
    _dispatch = Dispatch(REGISTERED, source)
    log.send_to(_send)
    state.keep_in(_HostStore())
    sandbox.seal(files.values())
    # What was loaded stays: no collection of garbage has to look at it again.
    gc.collect()
    gc.freeze()


def _modules(source: str) -> Iterator[tuple[str, str]]:
    """Returns names and files of the author's modules, in the order of their names."""
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(
            name for name in folders if name.isidentifier() and name not in ("tests", "test", "venv", "__pycache__")
        )
        package = os.path.relpath(folder, source).replace(os.sep, ".").strip(".")
        for file in sorted(files):
            name = file.removesuffix(".py")
            if name == file or not name.isidentifier() or name in ("conftest", "setup"):
                continue
            if name.startswith("test_") or name.endswith("_test"):
                continue
            parts = [part for part in (package, name) if part and part != "__init__"]
            if parts:
                yield ".".join(parts), os.path.join(folder, file)


def _import_ahead(file: str) -> None:
    """Imports what functions of a file import when they are called, for which it would be too late."""
    with open(file, "rb") as opened:
        tree = ast.parse(opened.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            try:
                importlib.import_module(name)
            # Whoever imports within a function may be ready for a module that does not exist.
            except ImportError:
                pass


def _check_ids() -> None:
    if not REGISTERED:
        raise ConfigError('the plugin has no detector: put @detector("rule-id") before a class or a function')
    seen: dict[str, Callable[..., Any]] = {}
    for id, author in REGISTERED:
        if id in seen:
            places = " and ".join(f"`{other.__module__}.{other.__qualname__}`" for other in (seen[id], author))
            raise ConfigError(f"two detectors for rule `{id}`: {places}")
        seen[id] = author


def _call(work: Callable[[], Answer]) -> Answer:
    try:
        return work()
    except PluginError as error:
        case: Any = types.PluginError_Data
        if isinstance(error, ConfigError):
            case = types.PluginError_Config
        elif isinstance(error, RetryError):
            case = types.PluginError_Retry
        answer = Err(case(crossing(str(error))))
    finally:
        sandbox.flush()
    # Outside of the `except`, so that the answer does not hold the frames of what failed, and their memory.
    raise answer


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


def _send(level: int, message: str) -> None:
    host_log.log(_LEVELS[level], message)


_LEVELS = (host_log.Level.DEBUG, host_log.Level.INFO, host_log.Level.WARN, host_log.Level.ERROR)
