"""The host in unit tests: servers, lookup tables, and tables to search. Each is a context manager."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple

from .. import http, lookup, search
from ..errors import ConfigError
from ..schema import DataType
from .detectors import Events, _Batch, _Column, _Field


@dataclass
class Reply:
    """The answer to a request, or the reason why there is none."""

    status: int = 200
    json: Any = None
    """The body, as JSON text; ``None`` to take :attr:`body`."""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: http.HttpError | None = None
    """Makes the request fail: ``Reply(failure=http.Timeout())``."""


class Server:
    """Answers the requests of a test. ::

        with Server() as server:
            server.answer("GET https://inventory.example.com/hosts/web%201", Reply(json={"owner": "shop"}))
            found = enrich(Owner, alert(...))
        server.requests[0].header("authorization")

    On leaving it raises :class:`AssertionError` for requests without reply, and for replies without request.
    """

    def __init__(self) -> None:
        self.requests: list[http.Request] = []
        """The requests so far, in order. Placeholders of secrets stand in them as they were written."""
        self._replies: dict[str, list[Reply]] = {}
        self._unanswered: list[str] = []

    def answer(self, place: str, *replies: Reply) -> Server:
        """Answers requests to a place, ``METHOD URL``, by these replies in order, each once."""
        self._replies.setdefault(place, []).extend(replies)
        return self

    def __enter__(self) -> Server:
        http.send_by(self._send)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        http.send_by(None)
        if kind is not None:
            return
        left = [place for place, replies in self._replies.items() if replies]
        assert not self._unanswered, f"there is no answer to {', '.join(self._unanswered)}"
        assert not left, f"nobody asked for {', '.join(left)}"

    def _send(self, request: http.Request) -> http.Response:
        self.requests.append(request)
        place = f"{request.method} {request.url}"
        replies = self._replies.get(place)
        if not replies:
            self._unanswered.append(place)
            raise http.Failed(f"the test has no answer to {place}")
        reply = replies.pop(0)
        if reply.failure is not None:
            raise reply.failure
        body = reply.body if reply.json is None else json.dumps(reply.json).encode()
        return http.Response(reply.status, [(name.lower(), value) for name, value in reply.headers.items()], body)


class Lookups:
    """Gives a test lookup tables: rows by key, by name of the table. ::

        with Lookups({"assets": {"db-1": {"owner": "data"}}}):
            ...
    """

    def __init__(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self._tables = tables

    def __enter__(self) -> Lookups:
        lookup.read_by(self._get)
        return self

    def __exit__(self, *_: object) -> None:
        lookup.read_by(None)

    def _get(self, table: str, key: str) -> str | None:
        rows = self._tables.get(table)
        if rows is None:
            raise ConfigError(f"there is no lookup table `{table}`")
        return json.dumps(rows[key]) if key in rows else None


class _Answer(NamedTuple):
    schema: list[_Field]
    batch: _Batch
    truncated: bool


class Tables:
    """Gives a test tables to search. ::

        with Tables({"dhcp": Events.of([{"host": "web-1"}])}) as tables:
            ...
        tables.queries[0].observable

    A search finds all events of its table, up to its limit: check in :attr:`queries` whether it searched for the
    right ones. A missing table or column is an error, as with a host.
    """

    def __init__(self, tables: Mapping[str, Events]) -> None:
        self.queries: list[search.Query] = []
        """The questions so far, in order."""
        self._tables = tables

    def __enter__(self) -> Tables:
        search.find_by(self._find)
        return self

    def __exit__(self, *_: object) -> None:
        search.find_by(None)

    def _find(self, query: search.Query) -> _Answer:
        self.queries.append(query)
        events = self._tables.get(query.table)
        if events is None:
            raise ConfigError(f"there is no table `{query.table}` to search")
        names = [known.name for known in events._fields]
        for name in query.columns:
            if name not in names:
                raise ConfigError(f"the table `{query.table}` has no column `{name}`")
        places = [names.index(name) for name in query.columns]
        rows = min(len(events), query.limit)
        batch = events._batch()
        kept = [_first(batch.columns[place], events._fields[place].data_type, rows) for place in places]
        return _Answer([events._fields[place] for place in places], _Batch(rows, kept), rows < len(events))


def _first(column: _Column, data_type: DataType, rows: int) -> _Column:
    if data_type in (DataType.TEXT, DataType.BINARY):
        return column._replace(offsets=column.offsets[: 4 * (rows + 1)])
    return column if data_type is DataType.BOOLEAN else column._replace(values=column.values[: 8 * rows])
