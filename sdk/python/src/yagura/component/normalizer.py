"""A component of the world ``normalizer``."""

from __future__ import annotations

from typing import Any

from .. import http, lookup, search
from ..normalizer import Normalizer
from ..serving import Serving, author_of
from . import answering, load_modules, not_offered

_serving: Any = None


class Normalizing:
    """The functions of the contract's ``normalizing``, under the names that the bindings want."""

    def open(self, config: str) -> None:
        """See :class:`Serving`; the method below likewise."""
        answering(lambda: _serving.open(config))

    def normalize(self, records: Any) -> Any:
        """Returns the events: the bindings take any object with the names of the contract's record."""
        return answering(lambda: _serving.normalize(records.offsets, records.values))


def load(folder: str) -> None:
    """Imports the author's modules: see :func:`yagura.component.load_modules`."""
    load_modules(folder, _finish)


def _finish(source: str) -> None:
    global _serving
    _serving = Serving(author_of(Normalizer), source)
    http.send_by(not_offered("normalizer", "http"))
    lookup.read_by(not_offered("normalizer", "lookup"))
    search.find_by(not_offered("normalizer", "search"))
