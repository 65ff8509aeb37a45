"""Runs the reviewer natively: no Wasm, no host."""

import unittest

from scanners import Scanners
from yagura import Assessment, Severity, Verdict
from yagura.testing import alert, review

CONFIG = {"scanners": ["192.0.2.10"]}


class OwnScanners(unittest.TestCase):
    def test_a_scanner_of_our_own_is_benign(self) -> None:
        assessment = review(Scanners, alert(observables=[("ip", "192.0.2.10")]), config=CONFIG)
        self.assertEqual(
            assessment, Assessment(Verdict.BENIGN, "192.0.2.10 is a scanner of our own", Severity.INFO)
        )
        self.assertIsNone(review(Scanners, alert(), config=CONFIG))
