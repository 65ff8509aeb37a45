"""The pack's enricher.

`PYTHONPATH=.:../.yagura/sdk/python/src python3 -m unittest discover tests` runs it natively, `yagura build ..` makes a
component of it. Every module in this folder becomes part of the component, which holds one enricher.
"""

from yagura import Alert, Config, Enriched, Enricher, Observable, http


class Owner(Enricher):
    """Asks an inventory who owns the hosts of an alert."""

    def __init__(self, config: Config) -> None:
        config.only("inventory")
        self.inventory = config.required_text("inventory")

    def enrich(self, alert: Alert, enriched: Enriched) -> None:
        """Is called again after each delay that the operator chose: logs arrive late."""
        for host in alert.observables_of(Observable.HOST):
            response = http.get(
                # Encoding keeps what an attacker named a host from being more than a name.
                f"{self.inventory}/hosts/{http.encode(host)}",
                headers={"Authorization": "Bearer " + http.secret("inventory")},
            )
            if response.status != 404:
                enriched.attribute(f"owner of {host}", response.success().json()["owner"], "inventory")
