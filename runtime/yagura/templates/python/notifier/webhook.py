"""The pack's notifier.

`PYTHONPATH=.:../.yagura/sdk/python/src python3 -m unittest discover tests` runs it natively, `yagura build ..` makes a
component of it. Every module in this folder becomes part of the component, which holds one notifier.
"""

from yagura import Config, Notifier, Report, http


class Webhook(Notifier):
    """Posts reports as JSON."""

    def __init__(self, config: Config) -> None:
        config.only("url")
        self.url = config.required_text("url")

    def notify(self, report: Report) -> str:
        """Returns a receipt, whatever finds the message again; the next report of the incident brings it in
        `report.earlier`, so that a service whose messages can be changed gets no second one."""
        response = http.post(
            self.url,
            json=report.to_dict(),
            headers={"Idempotency-Key": report.revision_id},
            sign=http.Signature("X-Yagura-Signature", secret="webhook", prefix="sha256="),
        )
        # 429 and 500 ask to be called again later, other statuses say that the report will never go.
        response.success()
        return report.id
