"""A component of the world ``enricher``."""

from __future__ import annotations

from typing import Any

from componentize_py_types import Err
from wit_world.imports import http as host_http
from wit_world.imports import lookup as host_lookup
from wit_world.imports import search as host_search

from .. import http, lookup, search
from ..alert import alert_of
from ..plugins import Enricher
from ..serving import Serving, author_of
from . import answering, asked, load_modules
from .hosting import sender

_serving: Any = None


class Enrichment:
    """The functions of the contract's ``enrichment``, under the names that the bindings want."""

    def open(self, config: str) -> None:
        """See :class:`Serving`; the method below likewise."""
        answering(lambda: _serving.open(config))

    def enrich(self, alert: Any) -> Any:
        """Returns what was found: the bindings take any object with the names of the contract's record."""
        return answering(lambda: _serving.enrich(alert_of(alert)))


def load(folder: str) -> None:
    """Imports the author's modules: see :func:`yagura.component.load_modules`."""
    load_modules(folder, _finish)


def _finish(source: str) -> None:
    global _serving
    _serving = Serving(author_of(Enricher), source)
    http.send_by(sender(host_http, Err))
    lookup.read_by(lambda table, key: asked(host_lookup.get, table, key))
    search.find_by(lambda query: asked(host_search.find, query))
