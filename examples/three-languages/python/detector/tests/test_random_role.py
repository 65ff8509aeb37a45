"""Runs the detector natively: no Wasm, no host."""

import unittest

from random_role import RandomRole
from yagura import ConfigError, Severity
from yagura.testing import Events, evaluate


class RandomRoles(unittest.TestCase):
    events = (
        Events()
        .text("request_parameters.roleName", ["a1b2c3d4", "deployer", "x1", None, "櫓櫓櫓櫓櫓123", "abcdefg٣٤٥"])
        .boolean("read_only", [True, True, True, True, None, True])
    )

    def test_digits_make_a_name_random(self) -> None:
        mixed, characters = evaluate(RandomRole, self.events)
        self.assertEqual(mixed.context, {"name": "a1b2c3d4", "share": "0.500"})
        self.assertIs(mixed.severity, Severity.MEDIUM)
        # Characters are counted, not bytes, and a digit is one of ASCII.
        self.assertEqual(characters.context, {"name": "櫓櫓櫓櫓櫓123", "share": "0.375"})
        self.assertIsNone(characters.severity)

    def test_the_share_is_configured(self) -> None:
        self.assertEqual(len(evaluate(RandomRole, self.events, {"digits": 0.5})), 1)
        self.assertEqual(len(evaluate(RandomRole, self.events, {"digits": 1})), 0)
        with self.assertRaisesRegex(ConfigError, 'digits` is "half" where a number is wanted'):
            evaluate(RandomRole, self.events, {"digits": "half"})
