"""A component of the world ``reviewer``."""

from __future__ import annotations

from typing import Any

from wit_world.imports import lookup as host_lookup

from .. import http, lookup, search
from ..alert import alert_of, attributes_of
from ..plugins import Reviewer
from ..serving import Serving, author_of
from . import answering, asked, load_modules, not_offered

_serving: Any = None


class Reviewing:
    """The functions of the contract's ``reviewing``, under the names that the bindings want."""

    def open(self, config: str) -> None:
        """See :class:`Serving`; the method below likewise."""
        answering(lambda: _serving.open(config))

    def review(self, alert: Any, attributes: list[Any]) -> Any:
        """Returns an assessment: the bindings take any object with the names of the contract's record."""
        return answering(lambda: _serving.review(alert_of(alert), attributes_of(attributes)))


def load(folder: str) -> None:
    """Imports the author's modules: see :func:`yagura.component.load_modules`."""
    load_modules(folder, _finish)


def _finish(source: str) -> None:
    global _serving
    _serving = Serving(author_of(Reviewer), source)
    lookup.read_by(lambda table, key: asked(host_lookup.get, table, key))
    http.send_by(not_offered("reviewer", "http"))
    search.find_by(not_offered("reviewer", "search"))
