"""Runs the detector natively: no Wasm, no host."""

import unittest

from root_login import root_login
from yagura.testing import Events, evaluate


class RootLogin(unittest.TestCase):
    def test_only_root_is_found(self) -> None:
        events = Events.of(
            [
                {"user_type": "Root", "additional_event_data.MFAUsed": None},
                {"user_type": "IAMUser", "additional_event_data.MFAUsed": "No"},
            ]
        )
        findings = evaluate(root_login, events)
        self.assertEqual([list(finding.rows) for finding in findings], [[0]])
