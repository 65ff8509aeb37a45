"""The component's side of the contract. It exists only inside a component: nowhere else are there bindings to import.

A component is two lines, in a module beside the folder of the author's files, by its world::

    from yagura.component.enricher import Enrichment, load
    load("source")

This module is what all worlds share.
"""

from __future__ import annotations

import ast
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .. import sandbox

# Before any other module of the package takes a function of Python's library by name.
sandbox.install()

# The types of what is exported: componentize-py looks for them when nothing can be imported any more.
import wit_world.exports
from componentize_py_types import Err
from wit_world.imports import log as host_log
from wit_world.imports import types

from .. import log
from ..errors import ConfigError, DataError, PluginError, RetryError
from ..failures import describe
from ..text import crossing

Answer = TypeVar("Answer")


def load_modules(folder: str, finish: Callable[[str], None]) -> None:
    """Imports every module of the author, once, when the component is built: instances start from what it left.

    ``folder`` is beside the folder of this package. Modules whose names mark them as tests are left out. ``finish`` gets the
    folder and looks whether there is what the world needs. An exception becomes one line on stderr that begins with
    ``yagura: `` and has the author's file and line; the build fails.
    """
    source = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), folder)
    sys.path.insert(0, source)
    try:
        files = dict(_modules(source))
        for name in files:
            importlib.import_module(name)
        for file in files.values():
            _import_ahead(file)
        finish(source)
    except BaseException as error:
        message = str(error) if isinstance(error, PluginError) else describe(error, source)
        # The tool that builds the component puts words of its own before the first line.
        print(f"\nyagura: {message}", file=sys.stderr, flush=True)
        raise
    log.send_to(_send)
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


def answering(work: Callable[[], Answer]) -> Answer:
    """Does the work of a call from the host, and raises the SDK's errors as the contract's."""
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


def asked(call: Callable[..., Answer], *arguments: object) -> Answer:
    """Asks the host, and raises the contract's ``plugin-error`` as the SDK's."""
    try:
        return call(*arguments)
    except Err as error:
        case: Any = error.value
    if isinstance(case, types.PluginError_Config):
        raise ConfigError(case.value)
    if isinstance(case, types.PluginError_Retry):
        raise RetryError(case.value)
    raise DataError(case.value)


def not_offered(world: str, interface: str) -> Callable[..., Any]:
    """Returns what stands for an interface that a world does not have."""

    def refuse(*_: object) -> Any:
        raise ConfigError(f"a {world} has no `{interface}`: the contract offers it to other worlds")

    return refuse


def _send(level: int, message: str) -> None:
    host_log.log(_LEVELS[level], message)


_LEVELS = (host_log.Level.DEBUG, host_log.Level.INFO, host_log.Level.WARN, host_log.Level.ERROR)
