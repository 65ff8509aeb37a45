"""The pack's reviewer.

`PYTHONPATH=.:../.yagura/sdk/python/src python3 -m unittest discover tests` runs it natively, `yagura build ..` makes a
component of it. Every module in this folder becomes part of the component, which holds one reviewer.
"""

from yagura import Alert, Attributes, Config, Observable, Assessment, Reviewer, Severity, Verdict


class Scanners(Reviewer):
    """Says that what scanners of our own do is no attack."""

    def __init__(self, config: Config) -> None:
        config.only("scanners")
        self.scanners = config.strings("scanners")

    def review(self, alert: Alert, attributes: Attributes) -> Assessment | None:
        """Sees the alert and what enrichers found; `None` says nothing about it."""
        for address in alert.observables_of(Observable.IP):
            if address in self.scanners:
                return Assessment(Verdict.BENIGN, f"{address} is a scanner of our own", Severity.INFO)
        return None
