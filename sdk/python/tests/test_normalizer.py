"""Normalizers: events of records, and what becomes of records that are malformed."""

import datetime
import ipaddress
import struct
from collections.abc import Callable
from typing import Any

import pytest

from yagura import Config, ConfigError, DataError, Malformed, Normalizer, RetryError
from yagura.serving import Serving
from yagura.testing import parse


def normalizer(work: Callable[[bytes], Any]) -> type[Normalizer]:
    class Made(Normalizer):
        def parse(self, record: bytes) -> Any:
            return work(record)

    return Made


def normalized(work: Callable[[bytes], Any], *records: bytes) -> tuple[list[int], list[bytes], list[tuple[int, str]]]:
    serving = Serving(normalizer(work), "/source")
    serving.open("{}")
    ends = [sum(map(len, records[:index])) for index in range(len(records) + 1)]
    found = serving.normalize(struct.pack(f"<{len(ends)}I", *ends), b"".join(records))
    assert found.events.validity == b""
    places = [end for (end,) in struct.iter_unpack("<I", found.events.offsets)]
    events = [found.events.values[start:end] for start, end in zip(places, places[1:])]
    return [end for (end,) in struct.iter_unpack("<I", found.records)], events, found.malformed


def test_each_record_has_its_events_or_a_reason() -> None:
    def work(record: bytes) -> Any:
        if record == b"#":
            return None
        if record == b"?":
            raise Malformed("no idea")
        return [{"word": word} for word in record.decode().split()]

    records, events, malformed = normalized(work, b"a \xe6\xab\x93", b"#", b"?", b"", b"b", b"\xff")
    assert records == [0, 2, 2, 2, 2, 3, 3]
    assert events == [b'{"word":"a"}', '{"word":"櫓"}'.encode(), b'{"word":"b"}']
    assert malformed[0] == (2, "no idea")
    assert malformed[1][0] == 5 and malformed[1][1].startswith("UnicodeDecodeError: ")
    assert normalized(work) == ([0], [], [])


def test_values_are_those_of_json_and_of_the_library() -> None:
    event = {
        "at": datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
        "ip": ipaddress.ip_address("192.0.2.1"),
        "n": 1.5,
        "deep": {"list": [1, None, True]},
        "half": "\ud800",
    }
    assert parse(normalizer(lambda _: event), "") == [
        {
            "at": "2026-02-03T04:05:06+00:00",
            "ip": "192.0.2.1",
            "n": 1.5,
            "deep": {"list": [1, None, True]},
            "half": "\ud800",
        }
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("text", "`parse` returned str"),
        (b"text", "`parse` returned bytes"),
        (["text"], "a list with str"),
        (1, "TypeError"),
        ({"a": b""}, "a field holds bytes"),
        ({"a": object()}, "a field holds object"),
    ],
)
def test_what_is_no_event_makes_the_record_malformed(answer: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        parse(normalizer(lambda _: answer), "")


def test_what_is_no_fault_of_a_record_ends_the_call() -> None:
    def fails(error: Exception) -> Callable[[bytes], Any]:
        def work(record: bytes) -> Any:
            raise error

        return work

    for error in (RetryError("later"), ConfigError("no")):
        with pytest.raises(type(error)):
            normalized(fails(error), b"a", b"b")
    for also in (DataError("no"), SystemExit("no"), KeyboardInterrupt(), RecursionError("no")):
        _, _, malformed = normalized(fails(also), b"a")  # type: ignore[arg-type]
        assert len(malformed) == 1


def test_a_normalizer_is_opened_with_its_configuration() -> None:
    class Made(Normalizer):
        def __init__(self, config: Config) -> None:
            config.only("separator")
            self.separator = config.required_text("separator")

        def parse(self, record: bytes) -> Any:
            return {"first": record.decode().split(self.separator)[0]}

    assert parse(Made, "a|b", config={"separator": "|"}) == [{"first": "a"}]
    with pytest.raises(ConfigError):
        parse(Made, "a|b")
