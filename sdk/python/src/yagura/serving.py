"""From the contract's functions to an author's enricher, reviewer, notifier or normalizer: which class it is, opening, failures.

It knows the shapes of the contract and not the bindings, so that unit tests run it natively.
"""

from __future__ import annotations

import inspect
import json
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from .alert import Alert, Attributes, Assessment, Report, Verdict
from .config import Config
from .errors import ConfigError, DataError, PluginError
from .failures import describe, guarded
from .findings import Severity
from .normalizer import Malformed, Normalizer, texts_of
from .plugins import Enriched, Enricher, Notifier, Reviewer
from .text import crossing

Base = TypeVar("Base", Enricher, Reviewer, Notifier, Normalizer)


def author_of(base: type[Base]) -> type[Base]:
    """Returns the author's class that derives from ``base``: the one without open methods and without a class of its own
    below it.

    Raises :class:`ConfigError` unless there is exactly one.
    """
    found = [author for author in _below(base) if not author.__subclasses__() and not inspect.isabstract(author)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"the plugin has no {base.__name__.lower()}: derive a class from yagura.{base.__name__}")
    names = " and ".join(f"`{author.__module__}.{author.__qualname__}`" for author in found)
    raise ConfigError(f"the plugin has more than one {base.__name__.lower()}: {names}")


def _below(base: type[Any]) -> Iterator[type[Any]]:
    for author in base.__subclasses__():
        yield author
        yield from _below(author)


@dataclass
class Column:
    """The contract's ``column``."""

    validity: bytes
    offsets: bytes
    values: bytes


@dataclass
class Normalized:
    """The contract's ``normalized``."""

    records: bytes
    events: Column
    malformed: list[tuple[int, str]]


class Serving:
    """The functions of a world over an author's class. They raise only :class:`yagura.errors.PluginError`."""

    def __init__(self, author: type[Any], source: str) -> None:
        """``source`` is the folder of the author's files, to which the files in messages are relative."""
        self._author = author
        self._source = source
        self._opened: Any = None

    def open(self, config: str) -> None:
        """Makes the author's object. ``config`` is JSON text."""
        values = json.loads(config)
        with guarded(self._source, ConfigError):
            self._opened = self._author(Config(values))

    def enrich(self, alert: Alert) -> Enriched:
        """Returns what an enricher found."""
        enriched, told = Enriched(), Enriched()
        with guarded(self._source, DataError):
            self._plugin(Enricher).enrich(alert, enriched)
            # The lists are the author's, who may have put anything into them.
            for attribute in enriched.attributes:
                told.attribute(attribute.name, attribute.value, attribute.source)
            for kind, value in enriched.observables:
                told.observable(kind, value)
        return told

    def review(self, alert: Alert, attributes: Attributes) -> Assessment | None:
        """Returns what a reviewer thinks, with a severity."""
        severity = alert.severity
        with guarded(self._source, DataError):
            assessment = self._plugin(Reviewer).review(alert, attributes)
            if assessment is None:
                return None
            if not isinstance(assessment, Assessment):
                raise TypeError(f"`review` returned {type(assessment).__name__} where an Assessment or None is wanted")
            severe = assessment.severity or severity
            if not isinstance(severe, Severity) or not isinstance(assessment.verdict, Verdict):
                raise TypeError(f"the assessment has the severity {severe!r} and the verdict {assessment.verdict!r}")
            return Assessment(assessment.verdict, crossing(str(assessment.reason)), severe)

    def notify(self, report: Report) -> str:
        """Returns the receipt of a notifier."""
        with guarded(self._source, DataError):
            receipt = self._plugin(Notifier).notify(report)
            if not isinstance(receipt, str):
                raise TypeError(f"`notify` returned {type(receipt).__name__} where a receipt, a str, is wanted")
            return crossing(receipt)

    def normalize(self, offsets: bytes, values: bytes) -> Normalized:
        """Returns the events of records that are laid out as a column."""
        parse = self._plugin(Normalizer).parse
        ends = _integers(offsets)
        records, places, texts = array("I", [0]), array("I", [0]), list[bytes]()
        malformed: list[tuple[int, str]] = []
        length = 0
        for index in range(len(ends) - 1):
            try:
                found = texts_of(parse(values[ends[index] : ends[index + 1]]))
            except DataError as error:
                found = []
                malformed.append((index, crossing(str(error))))
            except PluginError:
                raise
            except Malformed as error:
                found = []
                malformed.append((index, crossing(str(error))))
            # `SystemExit` and `KeyboardInterrupt` too: nothing that a plugin does ends more than its record.
            except BaseException as error:
                found = []
                malformed.append((index, crossing(describe(error, self._source))))
            for text in found:
                length += len(text)
                places.append(length)
            texts += found
            records.append(len(places) - 1)
        return Normalized(_bytes(records), Column(b"", _bytes(places), b"".join(texts)), malformed)

    def _plugin(self, base: type[Any]) -> Any:
        if self._opened is None:
            raise DataError(f"the {base.__name__.lower()} was not opened")
        return self._opened


def _integers(data: bytes) -> array[int]:
    """Returns the integers of the contract, which are little-endian, of four bytes."""
    integers = array("I")
    integers.frombytes(data)
    if sys.byteorder == "big":
        integers.byteswap()
    return integers


def _bytes(integers: array[int]) -> bytes:
    if sys.byteorder == "big":
        integers.byteswap()
    return integers.tobytes()
