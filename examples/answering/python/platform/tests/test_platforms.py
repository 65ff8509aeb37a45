"""Runs the reviewer natively: no Wasm, no host."""

import unittest

from platforms import Platform
from yagura import Attribute, Assessment, Severity, Verdict
from yagura.testing import Lookups, alert, review

PLATFORMS = {"platforms": {"mac-7": {"platform": "macos"}, "pc-1": {"platform": "windows"}}}


class Platforms(unittest.TestCase):
    def test_an_alert_is_evaluated_by_what_its_host_runs(self) -> None:
        low = Assessment(Verdict.BENIGN, "it harms windows, and mac-7 runs macos", Severity.LOW)
        high = Assessment(Verdict.MALICIOUS, "a known attacker", Severity.HIGH)
        # Without a severity of its own an assessment leaves the alert's, which is medium.
        unsure = Assessment(Verdict.UNDECIDED, "the alert names no host", Severity.MEDIUM)
        for host, tag, reputation, wanted in (
            ("mac-7", "platform.windows", "", low),
            ("pc-1", "platform.windows", "", None),
            ("srv-1", "platform.windows", "", None),
            ("mac-7", "platform.linux", "", None),
            ("mac-7", "platform.windows", "malicious", high),
            (None, "platform.windows", "", unsure),
        ):
            about = alert(tags=["attack.t1189", tag], observables=[("host", host)] if host else [])
            with self.subTest(host=host, tag=tag, reputation=reputation), Lookups(PLATFORMS):
                found = review(Platform, about, [Attribute("reputation", reputation, "test")])
                self.assertEqual(found, wanted)
