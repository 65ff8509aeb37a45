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
        """Finds facts about an alert. Called again after each delay that the operator chose, because logs arrive late:
        what it finds takes the place of what it found before.

        A :class:`yagura.RetryError` asks to be called again later, and so do most errors of :mod:`yagura.http`. Any other
        exception is reported as a :class:`yagura.DataError`: the alert stays without these facts.
        """


class Enriched:
    """Collects what an enricher found."""

    def __init__(self) -> None:
        self.attributes = Attributes()
        """Facts about the alert."""
        self.observables: list[tuple[str, str]] = []
        """Kinds and values of what came up and is worth searching for."""

    def attribute(self, name: str, value: Text, source: str) -> None:
        """Adds a fact; one that is absent or empty is left out. ``source`` is where it comes from, for a human."""
        if value is not None and value != "":
            self.attributes.append(Attribute(_text(name), _text(value), _text(source)))

    def observable(self, kind: Observable | str, value: Text) -> None:
        """Adds a value that came up and is worth searching for; one that is absent or empty is left out."""
        if value is not None and value != "":
            self.observables.append((kind.value if isinstance(kind, Observable) else _text(kind), _text(value)))


class Reviewer(ABC):
    """Evaluates alerts by themselves and by what enrichers found. It may use :mod:`yagura.lookup`.

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
        """Returns what it thinks of an alert; ``None`` where it has nothing to say about it.

        Raises as :meth:`Enricher.enrich`.
        """


class Notifier(ABC):
    """Tells people about incidents. It may use :mod:`yagura.http`.

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
        """Sends a report, or updates what was sent under its id before, and returns the receipt: whatever finds the
        message again. It comes back with the next report under the id, as :attr:`Report.earlier`.

        A :class:`yagura.RetryError` asks to be called again later with the same report, and so do most errors of
        :mod:`yagura.http`. Any other exception says that the report will never go: it becomes a dead letter.
        """
