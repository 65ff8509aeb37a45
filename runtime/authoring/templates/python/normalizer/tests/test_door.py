"""Runs the normalizer natively: no Wasm, no host."""

import unittest

from door import Door
from yagura import DataError
from yagura.testing import parse


class Lines(unittest.TestCase):
    def test_a_field_may_hold_anything(self) -> None:
        events = parse(Door, "2026-02-03T04:05:06Z 5:lobby,4:open,3:a,b,1:r,")
        wanted = {"time": "2026-02-03T04:05:06Z", "door": "lobby", "what": "open", "who": "a,b", "reader": "r"}
        self.assertEqual(events, [wanted])

    def test_a_line_that_is_cut_is_malformed(self) -> None:
        with self.assertRaisesRegex(DataError, "ends too early"):
            parse(Door, "2026-02-03T04:05:06Z 5:lob")
