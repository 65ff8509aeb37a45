"""Runs the detector natively: no Wasm, no host."""

import json
import unittest
from typing import Any

from open_ingress import open_ingress
from yagura import Finding, Severity
from yagura.testing import Events, evaluate


def permission(low: Any, high: Any, cidr: str) -> dict[str, Any]:
    name = ("ipv6Ranges", "cidrIpv6") if ":" in cidr else ("ipRanges", "cidrIp")
    return {"fromPort": low, "toPort": high, name[0]: {"items": [{name[1]: cidr}]}}


def found(*texts: str | None) -> list[Finding]:
    events = (
        Events()
        .text("request_parameters.ipPermissions", texts)
        .text("request_parameters.groupId", ["sg-1", *[None] * (len(texts) - 1)])
    )
    return evaluate(open_ingress, events, {"public_ports": [80, 443]})


class OpenIngress(unittest.TestCase):
    def test_only_ports_that_are_not_meant_to_be_public_are_found(self) -> None:
        everybody = [
            permission(80, 80, "0.0.0.0/0"),
            permission(80, 443, "0.0.0.0/0"),
            permission(22, 22, "10.0.0.0/8"),
            permission(8080, 8080, "::/0"),
        ]
        first, second = found(
            json.dumps({"items": everybody}), json.dumps({"items": [permission(3000, 4000, "0.0.0.0/0")]})
        )
        self.assertEqual(first.context, {"ports": "80-443, 8080", "group": "sg-1"})
        self.assertIsNone(first.severity)
        self.assertEqual(second.context, {"ports": "3000-4000"})
        self.assertIs(second.severity, Severity.CRITICAL)

    def test_what_is_no_permission_is_passed_over(self) -> None:
        odd = [
            permission("22", 22, "0.0.0.0/0"),
            permission(True, 22, "0.0.0.0/0"),
            permission(22.0, 22.0, "0.0.0.0/0"),
            permission(1 << 63, 1 << 63, "0.0.0.0/0"),
            {"ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]}},
            {"fromPort": 22, "toPort": 22, "ipRanges": {"items": ["0.0.0.0/0", {"cidrIp": None}]}},
            "no object",
        ]
        others: list[Any] = [{"items": odd}, {"items": {}}, {}, [], None, "x", 1]
        texts = [json.dumps(value) for value in others]
        self.assertEqual(found(*texts, None, "", "no json", '{"items": [NaN]}', "[" * 100_000), [])
