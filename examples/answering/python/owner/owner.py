"""An enricher: who owns the hosts of an alert, and which host had its addresses."""

from yagura import Alert, Config, Enriched, Enricher, Observable, http, lookup, search


class Owner(Enricher):
    """Asks the inventory's server at the address that the operator configures."""

    def __init__(self, config: Config) -> None:
        config.only("inventory", "most")
        self.inventory = config.required_text("inventory")
        # Bounds the questions that one alert costs.
        self.most = config.integer("most", 5)

    def enrich(self, alert: Alert, enriched: Enriched) -> None:
        hosts = alert.observables_of(Observable.HOST)
        for address in alert.observables_of(Observable.IP)[: self.most]:
            host = host_at(alert, address)
            if host:
                enriched.attribute(f"host of {address}", host, "dhcp")
                enriched.observable(Observable.HOST, host)
                hosts.append(host)
        for host in hosts[: self.most]:
            name, source = self.owner_of(host)
            enriched.attribute(f"owner of {host}", name, source)

    def owner_of(self, host: str) -> tuple[str | None, str]:
        """Returns who owns a host, by the table of assets, or else by the inventory; ``None`` where neither knows."""
        asset = lookup.get("assets", host)
        if asset:
            return asset["owner"], "assets"
        response = http.get(
            f"{self.inventory}/hosts/{http.encode(host)}",
            headers={"Authorization": "Bearer " + http.secret("inventory")},
        )
        if response.status == 404:
            return None, "inventory"
        return response.success().json()["owner"], "inventory"


def host_at(alert: Alert, address: str) -> str | None:
    """Returns the host that had an address last before the alert; ``None`` where nobody had it."""
    span = search.around(alert, before=search.DAY)
    found = search.find("dhcp", Observable.IP, address, *span, columns=["event_time", "host"])
    known = [event for event in found if event["event_time"] is not None and event["host"]]
    return max(known, key=lambda event: event["event_time"], default={"host": None})["host"]
