"""Batches of the contract's bytes, and the events in them."""

import datetime
import random
import struct
from typing import Any

import pytest

from yagura import Batch, ColumnError, ConfigError, DataError, Event, Rule
from yagura.schema import DataType, Schema
from yagura.testing import Events
from yagura.testing.detectors import _Batch, _Column, _Field


def schema(**types: DataType) -> Schema:
    return Schema([_Field(name, data_type, True) for name, data_type in types.items()])


def column(validity: bytes, offsets: list[int], values: bytes) -> _Column:
    return _Column(validity, struct.pack(f"<{len(offsets)}I", *offsets), values)


def values(found: Schema, raw: _Batch, name: str) -> list[list[Any]]:
    """Reads a column in every way there is."""
    batch = Batch(found, raw)
    return [
        [event[name] for event in Batch(found, raw)],
        list(Batch(found, raw).column(name)),
        [Batch(found, raw).column(name)[row] for row in range(raw.rows)],
        [None if Batch(found, raw).column(name).is_null(row) else event[name] for row, event in enumerate(batch)],
    ]


def test_bytes_read_as_the_contract_says() -> None:
    numbers = struct.pack("<3q", 7, -1, 0)
    found = schema(
        name=DataType.TEXT, count=DataType.INT64, flag=DataType.BOOLEAN, at=DataType.TIME, part=DataType.BINARY
    )
    raw = _Batch(
        3,
        [
            # "hé" is three bytes: the offsets cut it, which is not text.
            column(b"\x05", [0, 2, 2, 5], "héabc".encode()[:5]),
            column(b"", [], numbers),
            column(b"", [], b"\x06"),
            column(b"\x06", [], numbers),
            column(b"", [0, 2, 2, 5], b"\xff\xfeabc"),
        ],
    )
    for read in values(found, raw, "name"):
        assert read[:2] == [None, None]
    for read in values(found, raw, "count"):
        assert read == [7, -1, 0]
    for read in values(found, raw, "flag"):
        assert read == [False, True, True]
    for read in values(found, raw, "at"):
        assert read == [None, -1, 0]
    for read in values(found, raw, "part"):
        assert read == [b"\xff\xfe", b"", b"abc"]


def test_text_that_is_not_utf_8_costs_only_its_own_value() -> None:
    found = schema(name=DataType.TEXT)
    raw = _Batch(3, [column(b"", [0, 2, 4, 6], b"ok\xff\xfeok")])
    for read in values(found, raw, "name"):
        assert read == ["ok", None, "ok"]


@pytest.mark.parametrize("offsets", [[0, 9, 4], [4, 3, 9], [0, 2**32 - 1, 2**32 - 1], [3, 1, 9]])
@pytest.mark.parametrize("data_type", [DataType.TEXT, DataType.BINARY])
@pytest.mark.parametrize("text", [b"abc", "éa".encode()])
def test_offsets_outside_the_values_give_no_value(offsets: list[int], data_type: DataType, text: bytes) -> None:
    raw = _Batch(2, [column(b"", offsets, text)])
    for read in values(schema(name=data_type), raw, "name"):
        assert read == [None, None]


def test_a_column_with_too_few_bytes_is_refused_by_name() -> None:
    found = schema(name=DataType.TEXT, count=DataType.INT64)
    for columns in (
        [column(b"", [0], b""), column(b"", [], bytes(16))],
        [column(b"", [0, 0, 0], b""), column(b"", [], bytes(15))],
    ):
        with pytest.raises(DataError, match="column `(name|count)` of type (utf8|int64) came with"):
            Batch(found, _Batch(2, columns))
    with pytest.raises(DataError, match="a batch has 1 columns where the rule's schema has 2"):
        Batch(found, _Batch(2, [column(b"", [0, 0, 0], b"")]))
    with pytest.raises(DataError, match="1 of validity for 9 rows"):
        Batch(schema(count=DataType.INT64), _Batch(9, [column(b"\1", [], bytes(72))]))


def test_handles_are_checked_when_they_are_made() -> None:
    rule = Rule("r", {}, {}, schema(name=DataType.TEXT, count=DataType.INT64))
    with pytest.raises(ConfigError) as missing:
        rule.text("nmae")
    assert str(missing.value) == (
        "the rule hands over no column `nmae`: add it to the rule's `columns`, which are `name`, `count`"
    )
    with pytest.raises(ConfigError) as wrong:
        rule.text("count")
    assert str(wrong.value) == "column `count` is of type int64 where the detector reads utf8"
    assert rule.column_names == ("name", "count")


def test_an_event_is_a_mapping() -> None:
    events = Events.of([{"user": "mallory", "at": datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone.utc)}, {}])
    found = Schema(events._fields)
    first, second = Batch(found, events._batch())
    assert dict(first) == {"user": "mallory", "at": 1767322800000000}
    assert first.time("at") == datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone.utc)
    assert second.time("at") is None
    assert "user" in first and "usr" not in first and list(first) == ["user", "at"] and len(first) == 2
    assert (first.get("user", "?"), second.get("user", "?"), second.get("other")) == ("mallory", "?", None)
    with pytest.raises(ColumnError, match="no column `usr`.*did you mean `user`"):
        first["usr"]
    with pytest.raises(KeyError):
        first.time("user")
    other = Rule("r", {}, {}, schema(x=DataType.INT64, y=DataType.INT64)).int64("y")
    with pytest.raises(ColumnError, match="of another rule"):
        first[other]


def test_events_that_are_kept_stay_what_they_were() -> None:
    events = Events().int64("n", range(100))
    batch = Batch(Schema(events._fields), events._batch())
    kept: list[Event] = []
    for event in batch:
        if event["n"] % 7 in (0, 1):
            kept.append(event)
    batch.release()
    assert [event["n"] for event in kept] == [n for n in range(100) if n % 7 in (0, 1)]
    assert [event["n"] for event in list(batch)] == list(range(100))
    assert [(a["n"], b["n"]) for a, b in zip(batch, iter(batch))] == [(n, n) for n in range(100)]
    iterator = iter(batch)
    assert [(next(iterator)["n"], next(iterator)["n"]) for _ in range(3)] == [(0, 1), (2, 3), (4, 5)]
    first, second = next(iterator), next(iterator)
    third = next(iterator)
    assert (first["n"], second["n"], third["n"]) == (6, 7, 8)


@pytest.mark.parametrize("seed", range(20))
def test_every_way_to_read_gives_the_same(seed: int) -> None:
    chance = random.Random(seed)
    rows = chance.choice([0, 1, 7, 8, 9, 16, 17, 100, 1000])
    share = chance.choice([0.0, 0.5, 1.0])
    words = ["", "a", "root", "櫓", "é" * 3] if chance.random() < 0.5 else ["", "a", "root"]

    def some(make: Any) -> list[Any]:
        return [None if chance.random() < share else make() for _ in range(rows)]

    given = {
        "text": some(lambda: chance.choice(words)),
        "int": some(lambda: chance.randint(-(2**63), 2**63 - 1)),
        "float": some(chance.random),
        "bool": some(lambda: chance.random() < 0.5),
        "bytes": some(lambda: chance.randbytes(3)),
    }
    events = (
        Events()
        .text("text", given["text"])
        .int64("int", given["int"])
        .float64("float", given["float"])
        .boolean("bool", given["bool"])
        .binary("bytes", given["bytes"])
    )
    found = Schema(events._fields)
    # The second time the schema has learned which columns are read.
    for _ in range(2):
        for name, wanted in given.items():
            for read in values(found, events._batch(), name):
                assert read == wanted, (seed, name)
