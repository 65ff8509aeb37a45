"""Runs the enricher natively: no Wasm, no host, no network."""

import unittest

from owner import Owner
from yagura import Attribute
from yagura.testing import Reply, Server, alert, enrich


class Owners(unittest.TestCase):
    def test_the_owner_is_asked_for(self) -> None:
        with Server() as server:
            server.answer("GET https://inventory.example.com/hosts/web%201", Reply(json={"owner": "shop"}))
            server.answer("GET https://inventory.example.com/hosts/lost", Reply(status=404))
            about = alert(observables=[("host", "web 1"), ("host", "lost")])
            found = enrich(Owner, about, {"inventory": "https://inventory.example.com"})
        self.assertEqual(found.attributes, [Attribute("owner of web 1", "shop", "inventory")])
        # The host fills the secret in; a plugin never sees it.
        self.assertEqual(server.requests[0].header("Authorization"), "Bearer {{secret:inventory}}")
