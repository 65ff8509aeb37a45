"""A notifier: posts reports as JSON to a server of the operator's."""

from yagura import Config, Notifier, Report, http


class Webhook(Notifier):
    """Posts to a URL; signed, where the server wants to know who sent a report."""

    def __init__(self, config: Config) -> None:
        config.only("url", "signed")
        self.url = config.required_text("url")
        self.sign = None
        if config.boolean("signed", False):
            self.sign = http.Signature("X-Yagura-Signature", secret="webhook", prefix="sha256=")

    def notify(self, report: Report) -> str:
        # A server that knows such keys takes a report once, however often it is sent.
        headers = {"Idempotency-Key": report.revision_id}
        http.post(self.url, json=report.to_dict(), headers=headers, sign=self.sign).success()
        return report.id
