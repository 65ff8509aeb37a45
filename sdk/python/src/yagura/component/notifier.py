"""A component of the world ``notifier``."""

from __future__ import annotations

from typing import Any

from componentize_py_types import Err
from wit_world.imports import http as host_http

from .. import http, lookup, search
from ..alert import report_of
from ..plugins import Notifier
from ..serving import Serving, author_of
from . import answering, load_modules, not_offered
from .hosting import sender

_serving: Any = None


class Notifying:
    """The functions of the contract's ``notifying``, under the names that the bindings want."""

    def open(self, config: str) -> None:
        """See :class:`Serving`; the method below likewise."""
        answering(lambda: _serving.open(config))

    def notify(self, report: Any) -> str:
        """Returns the receipt."""
        return answering(lambda: str(_serving.notify(report_of(report))))


def load(folder: str) -> None:
    """Imports the author's modules: see :func:`yagura.component.load_modules`."""
    load_modules(folder, _finish)


def _finish(source: str) -> None:
    global _serving
    _serving = Serving(author_of(Notifier), source)
    http.send_by(sender(host_http, Err))
    lookup.read_by(not_offered("notifier", "lookup"))
    search.find_by(not_offered("notifier", "search"))
