"""Runs plugins natively, in the unit tests of their folder.

Detectors get events from plain values (:class:`Events`) and give findings back (:func:`evaluate`, :class:`Session`). Enrichers,
reviewers and notifiers get an :func:`alert` or a :func:`report`, and a script stands for the host:
:class:`Server`, :class:`Lookups`, :class:`Tables`. Normalizers get a record (:func:`parse`).
"""

from .alerts import alert, enrich, notify, parse, report, review
from .detectors import Events, Session, evaluate
from .hosts import Lookups, Reply, Server, Tables

__all__ = [
    "Events",
    "Lookups",
    "Reply",
    "Server",
    "Session",
    "Tables",
    "alert",
    "enrich",
    "evaluate",
    "notify",
    "parse",
    "report",
    "review",
]
