"""Normalizers: events out of raw records in a form of their own."""

from __future__ import annotations

import datetime
import ipaddress
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Union

from .config import Config

Parsed = Union[Mapping[str, Any], Iterable[Mapping[str, Any]], None]
"""What one record holds: an event, several, or none."""


class Malformed(ValueError):
    """The record is malformed, for this reason."""


class Normalizer(ABC):
    """Parses the raw records of a source. Each line of the logs is a record. The source's file maps the fields of events to
    columns.

    ::

        from yagura import Malformed, Normalizer

        class Doors(Normalizer):
            '''2026-02-03T04:05:06Z|lobby|open|ann'''

            def parse(self, record: bytes) -> dict[str, str]:
                fields = record.decode().split("|")
                if len(fields) != 4:
                    raise Malformed("a line has four fields, separated by `|`")
                return dict(zip(("time", "door", "what", "who"), fields))
    """

    def __init__(self, config: Config) -> None:
        """Checks the configuration. Called once, first.

        Raises :class:`yagura.ConfigError` when it is wrong: the plugin is not opened.
        """

    @abstractmethod
    def parse(self, record: bytes) -> Parsed:
        """Returns the event of one record, a mapping from names to values as in JSON; a list of events; or ``None`` where
        there is no event, as in a header. Dates, times and addresses may be objects of Python's library.

        What a record becomes must depend on its bytes alone: the host divides records into calls as it likes, and makes
        calls again. So keep nothing between records.

        Any exception means that the record is malformed: the host keeps it with the message. A
        :class:`yagura.RetryError` or a :class:`yagura.ConfigError` ends the call instead: no record is at fault.
        """


def _plain(value: Any) -> Any:
    """Returns what stands in JSON for an object of Python's library."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(
        value,
        (
            ipaddress.IPv4Address,
            ipaddress.IPv6Address,
            ipaddress.IPv4Network,
            ipaddress.IPv6Network,
        ),
    ):
        return str(value)
    raise TypeError(f"a field holds {type(value).__name__}, which JSON cannot hold: make it a str, a number, a list or a dict")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":"), default=_plain).encode


def texts_of(parsed: Parsed) -> list[bytes]:
    """Returns the events that :meth:`Normalizer.parse` returned, each as JSON text."""
    if parsed is None:
        return []
    if isinstance(parsed, Mapping):
        return [_text_of(parsed)]
    if isinstance(parsed, (str, bytes)):
        raise TypeError(f"`parse` returned {type(parsed).__name__} where a mapping, a list of them or None is wanted")
    return [_text_of(event) for event in parsed]


def _text_of(event: Mapping[str, Any]) -> bytes:
    if not isinstance(event, Mapping):
        raise TypeError(f"`parse` returned a list with {type(event).__name__} where mappings are wanted")
    values = event if isinstance(event, dict) else dict(event)
    try:
        return _encode(values).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can hold and UTF-8 cannot.
        return _encode_ascii(values).encode()
