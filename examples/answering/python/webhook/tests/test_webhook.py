"""Runs the notifier natively: no Wasm, no host, no network."""

import json
import unittest

from webhook import Webhook
from yagura import DataError, RetryError
from yagura.testing import Reply, Server, notify, report

URL = "https://hooks.example.com/yagura"


class Webhooks(unittest.TestCase):
    def test_a_report_is_posted_once_a_revision_and_signed(self) -> None:
        told = report(title="Login by {{secret:webhook}}")
        with Server().answer(f"POST {URL}", Reply(status=204)) as server:
            self.assertEqual(notify(Webhook, told, {"url": URL, "signed": True}), "i1")
        request = server.requests[0]
        self.assertEqual(request.header("idempotency-key"), "i1-1")
        self.assertIsNotNone(request.sign)
        self.assertNotIn(b"{{", request.body)
        self.assertEqual(json.loads(request.body), told.to_dict())

    def test_a_server_that_is_ill_is_asked_again_and_one_that_refuses_is_not(self) -> None:
        for reply, kind, message in (
            (Reply(status=500, body=b"out of\norder"), RetryError, f"POST {URL}: status 500: out of order"),
            (Reply(status=410), DataError, "status 410"),
        ):
            with self.assertRaisesRegex(kind, message), Server().answer(f"POST {URL}", reply) as server:
                notify(Webhook, report(), {"url": URL})
            self.assertIsNone(server.requests[0].sign)
