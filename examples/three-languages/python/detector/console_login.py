"""Console logins without a second factor."""

from yagura import Batch, Findings, Rule, Severity, detector


@detector("sample-console-login")
class ConsoleLogin:
    """The rule `sample-console-login`: typed columns, a finding's own title and severity."""

    def __init__(self, rule: Rule) -> None:
        self.time = rule.time("event_time")
        self.user_type = rule.text("user_type")
        self.user_name = rule.text("user_name")
        self.mfa = rule.text("additional_event_data.MFAUsed")

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        for event in batch:
            mfa = event[self.mfa]
            if mfa == "Yes":
                continue
            finding = findings.row(event, context={"time": event[self.time], "mfa": mfa})
            if event[self.user_type] == "Root":
                user = event[self.user_name]
                finding.severity = Severity.CRITICAL
                finding.title = f"Root login without a second factor by {'nobody' if user is None else user}"
