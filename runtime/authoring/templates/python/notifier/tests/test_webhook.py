"""Runs the notifier natively: no Wasm, no host, no network."""

import json
import unittest

from webhook import Webhook
from yagura import RetryError
from yagura.testing import Reply, Server, notify, report

URL = "https://hooks.example.com/yagura"


class Webhooks(unittest.TestCase):
    def test_a_report_is_posted_and_sent_again_after_an_error_of_the_server(self) -> None:
        with Server().answer(f"POST {URL}", Reply(status=204), Reply(status=503)) as server:
            self.assertEqual(notify(Webhook, report(), {"url": URL}), "i1")
            with self.assertRaises(RetryError):
                notify(Webhook, report(), {"url": URL})
        self.assertEqual(server.requests[0].header("Idempotency-Key"), "i1-1")
        self.assertEqual(json.loads(server.requests[0].body)["severity"], "medium")
