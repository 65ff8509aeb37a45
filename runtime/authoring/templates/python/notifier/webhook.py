"""The pack's notifier.

`PYTHONPATH=.:../.yagura/sdk/python/src python3 -m unittest discover tests` runs it natively, `yagura build ..` makes a
component of it. Every module in this folder becomes part of the component, which holds one notifier.
"""

from yagura import Config, Notifier, Report, http


class Webhook(Notifier):
    """Posts reports as JSON. The test in `tests/notifier` holds the body as it is sent."""

    def __init__(self, config: Config) -> None:
        config.only("url")
        self.url = config.required_text("url")

    def notify(self, report: Report) -> str:
        """Returns a receipt: what finds the message again. The next report of the incident has it in `report.earlier`,
        so that a notifier can change the message instead of sending a second one."""
        response = http.post(
            self.url,
            json={
                "id": report.id,
                "revision": report.revision,
                "severity": report.severity.name.lower(),
                "text": report.text,
                "title": report.title,
            },
            headers={"Idempotency-Key": report.revision_id},
            sign=http.Signature("X-Yagura-Signature", secret="webhook", prefix="sha256="),
        )
        # After 429 and 500 the host calls again later; after other statuses it gives the report up.
        response.success()
        return report.id
