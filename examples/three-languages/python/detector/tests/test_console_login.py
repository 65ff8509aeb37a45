"""Runs the detector natively: no Wasm, no host."""

import unittest

from console_login import ConsoleLogin
from yagura import Severity
from yagura.testing import Events, evaluate


class ConsoleLogins(unittest.TestCase):
    def test_root_without_a_second_factor_is_critical(self) -> None:
        events = (
            Events()
            .time("event_time", [1, 2, 3, None])
            .text("user_type", ["Root", "IAMUser", "Root", "Root"])
            .text("user_name", [None, "mallory", None, "櫓"])
            .text("additional_event_data.MFAUsed", ["No", None, "Yes", None])
        )
        root, user, nameless = evaluate(ConsoleLogin, events)
        self.assertEqual(root.title, "Root login without a second factor by nobody")
        self.assertIs(root.severity, Severity.CRITICAL)
        self.assertEqual(root.context, {"time": "1", "mfa": "No"})
        self.assertEqual((user.title, user.severity, user.context), (None, None, {"time": "2"}))
        self.assertEqual(nameless.rows, [3])
        self.assertEqual(nameless.title, "Root login without a second factor by 櫓")
        self.assertEqual(nameless.context, {})
