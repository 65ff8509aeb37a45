"""Runs the enricher natively: no Wasm, no host, no network."""

import unittest

from owner import Owner
from yagura import Attribute, ConfigError, RetryError, http
from yagura.testing import Events, Lookups, Reply, Server, Tables, alert, enrich

CONFIG = {"inventory": "https://inventory.example.com"}
TABLES = {"dhcp": Events().time("event_time", [1, 3, 2]).text("host", ["old", "web 1", None])}
LOOKUPS = {"assets": {"db-1": {"owner": "data"}}}


class Owners(unittest.TestCase):
    def test_the_owner_is_found_by_table_or_by_inventory(self) -> None:
        about = alert(observables=[("ip", "10.0.0.9"), ("host", "db-1")])
        with Server() as server, Lookups(LOOKUPS), Tables(TABLES) as tables:
            server.answer("GET https://inventory.example.com/hosts/web%201", Reply(json={"owner": "shop"}))
            found = enrich(Owner, about, CONFIG)
        self.assertEqual(
            found.attributes,
            [
                Attribute("host of 10.0.0.9", "web 1", "dhcp"),
                Attribute("owner of db-1", "data", "assets"),
                Attribute("owner of web 1", "shop", "inventory"),
            ],
        )
        self.assertEqual(found.observables, [("host", "web 1")])
        self.assertEqual(server.requests[0].header("authorization"), "Bearer {{secret:inventory}}")
        self.assertEqual(tables.queries[0].observable, ("ip", "10.0.0.9"))
        self.assertEqual(tables.queries[0].to, about.last_time)

    def test_what_the_inventory_does_not_know_is_left_out_and_its_failure_is_told(self) -> None:
        place = "GET https://inventory.example.com/hosts/lost"
        about = alert(observables=[("host", "lost")])
        with Server().answer(place, Reply(status=404)), Lookups(LOOKUPS):
            self.assertEqual(enrich(Owner, about, CONFIG).attributes, [])
        for reply in (Reply(status=503), Reply(body=b"<html>"), Reply(failure=http.Timeout())):
            with self.assertRaises(RetryError), Server().answer(place, reply), Lookups(LOOKUPS):
                enrich(Owner, about, CONFIG)
        with self.assertRaises(ConfigError), Lookups(LOOKUPS):
            with Server().answer(place, Reply(failure=http.Denied("grant it"))):
                enrich(Owner, about, CONFIG)

    def test_mistakes_in_the_configuration_are_named(self) -> None:
        for config, message in (
            ({}, "`plugin.config.inventory` is missing"),
            ({"inventori": "x"}, "did you mean `inventory`"),
            ({**CONFIG, "most": "several"}, '`plugin.config.most` is "several" where a whole number is wanted'),
        ):
            with self.assertRaisesRegex(ConfigError, message):
                enrich(Owner, alert(), config)
