"""Roles with names that nobody thought up."""

from yagura import Batch, Findings, Rule, Severity, detector

# Names that are shorter say nothing.
SHORTEST = 8


@detector("sample-random-role")
class RandomRole:
    """The rule `sample-random-role`: numbers, truth values, and whole columns at a time."""

    def __init__(self, rule: Rule) -> None:
        self.name = rule.text("request_parameters.roleName")
        self.read_only = rule.boolean("read_only")
        self.least = rule.config_float("digits", 0.3)

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        read_only = batch.column(self.read_only)
        for row, name in enumerate(batch.column(self.name)):
            if name is None or len(name) < SHORTEST:
                continue
            share = sum(map(name.count, "0123456789")) / len(name)
            if share < self.least:
                continue
            findings.row(
                row,
                severity=Severity.MEDIUM if read_only[row] else None,
                context={"name": name, "share": f"{share:.3f}"},
            )
