"""Enrichers, reviewers and notifiers: the classes that authors derive from. A component holds one of them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .alert import Alert, Attribute, Attributes, Assessment, Report
from .config import Config
from .findings import Observable, Text, _text


class Enricher(ABC):
    """Adds facts to alerts. It may use :mod:`yagura.http`, :mod:`yagura.search` and :mod:`yagura.lookup`.

    ::

        from yagura import Alert, Config, Enriched, Enricher, Observable, lookup

        class Assets(Enricher):
            def enrich(self, alert: Alert, enriched: Enriched) -> None:
                for host in alert.observables_of(Observable.HOST):
                    asset = lookup.get("assets", host)
                    if asset:
                        enriched.attribute("owner", asset["owner"], "assets")
    """

    def __init__(self, config: Config) -> None:
        """Checks the configuration. Called once, first.

        Raises :class:`yagura.ConfigError` when it is wrong: the plugin is not opened.
        """

    @abstractmethod
    def enrich(self, alert: Alert, enriched: Enriched) -> None:
        """Adds facts to an alert. The host calls it again after each delay that the operator chose, because logs
        arrive late; the last facts replace earlier ones.

        After a :class:`yagura.RetryError`, and after most errors of :mod:`yagura.http`, the host calls again later.
        Any other exception is reported as a :class:`yagura.DataError`: the alert stays without these facts.
        """


class Enriched:
    """Collects the facts of an enricher."""

    def __init__(self) -> None:
        self.attributes = Attributes()
        """Facts about the alert."""
        self.observables: list[tuple[str, str]] = []
        """Kinds and values of what came up and is worth searching for."""

    def attribute(self, name: str, value: Text, source: str) -> None:
        """Adds a fact; one that is absent or empty is left out. ``source`` names its source, for a human."""
        if value is not None and value != "":
            self.attributes.append(Attribute(_text(name), _text(value), _text(source)))

    def observable(self, kind: Observable | str, value: Text) -> None:
        """Adds a further observable; one that is absent or empty is left out."""
        if value is not None and value != "":
            self.observables.append((kind.value if isinstance(kind, Observable) else _text(kind), _text(value)))


class Reviewer(ABC):
    """Assesses alerts by their content and by the facts of enrichers. It may use :mod:`yagura.lookup`.

    ::

        from yagura import Alert, Attributes, Assessment, Reviewer, Severity, Verdict

        class Scanners(Reviewer):
            def review(self, alert: Alert, attributes: Attributes) -> Assessment | None:
                if attributes.value("role") != "scanner":
                    return None
                return Assessment(Verdict.BENIGN, "our own scanner did it", Severity.INFO)
    """

    def __init__(self, config: Config) -> None:
        """Checks the configuration. Called once, first.

        Raises :class:`yagura.ConfigError` when it is wrong: the plugin is not opened.
        """

    @abstractmethod
    def review(self, alert: Alert, attributes: Attributes) -> Assessment | None:
        """Returns the assessment of an alert; ``None`` if there is none.

        Raises as :meth:`Enricher.enrich`.
        """


class Notifier(ABC):
    """Sends reports of incidents, and updates them. It may use :mod:`yagura.http`.

    ::

        from yagura import Config, Notifier, Report, http

        class Webhook(Notifier):
            def __init__(self, config: Config) -> None:
                self.url = config.required_text("url")

            def notify(self, report: Report) -> str:
                http.post(self.url, json=report.to_dict()).success()
                return report.id
    """

    def __init__(self, config: Config) -> None:
        """Checks the configuration. Called once, first.

        Raises :class:`yagura.ConfigError` when it is wrong: the plugin is not opened.
        """

    @abstractmethod
    def notify(self, report: Report) -> str:
        """Sends a report, or updates the message with its id, and returns a receipt: a text by which the plugin finds
        the message again. The next report with this id has it as :attr:`Report.earlier`.

        After a :class:`yagura.RetryError`, and after most errors of :mod:`yagura.http`, the host calls again later
        with the same report. Any other exception means that the report can never be sent: it becomes a dead letter.
        """
