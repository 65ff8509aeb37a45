"""A reviewer: an attack on Windows does no harm to a Mac."""

from yagura import Alert, Attributes, Config, Observable, Assessment, Reviewer, Severity, Verdict, lookup


class Platform(Reviewer):
    """Evaluates alerts of rules with a tag by what their hosts run."""

    def __init__(self, config: Config) -> None:
        config.only("tag", "harms")
        self.tag = config.text("tag", "platform.windows")
        self.harms = config.text("harms", "windows")

    def review(self, alert: Alert, attributes: Attributes) -> Assessment | None:
        if self.tag not in alert.tags:
            return None
        if attributes.value("reputation") == "malicious":
            return Assessment(Verdict.MALICIOUS, "a known attacker", Severity.HIGH)
        hosts = alert.observables_of(Observable.HOST)
        if not hosts:
            return Assessment(Verdict.UNDECIDED, "the alert names no host")
        known = lookup.get("platforms", hosts[0])
        if known is None or known["platform"] == self.harms:
            # Nothing is known that would make it lighter.
            return None
        return Assessment(
            Verdict.BENIGN, f"it harms {self.harms}, and {hosts[0]} runs {known['platform']}", Severity.LOW
        )
