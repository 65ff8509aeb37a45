"""Write Yagura plugins in Python. A detector is one decorator, a class or a function.

A class looks up its columns once, by name and type, when it is created for its rule, and evaluates batches of
events::

    from yagura import Batch, Findings, Observable, Rule, detector

    @detector("root-login")
    class RootLogin:
        def __init__(self, rule: Rule) -> None:
            self.user_type = rule.text("user_type")
            self.source_ip = rule.text("source_ip")

        def on_batch(self, batch: Batch, findings: Findings) -> None:
            for event in batch:
                if event[self.user_type] == "Root":
                    findings.row(event, observables=[(Observable.IP, event[self.source_ip])])

A function is called once for each event::

    from yagura import Event, detector

    @detector("root-login")
    def root_login(event: Event) -> bool:
        return event["user_type"] == "Root"

A detector of a rule with ``partition_by`` may remember something of each key: :mod:`yagura.state`.

Enrichers, reviewers and notifiers are classes that derive from :class:`Enricher`, :class:`Reviewer` or :class:`Notifier`, one
in a component. They ask the host by :mod:`yagura.http`, :mod:`yagura.search` and :mod:`yagura.lookup`, as far as their world
allows.

A :class:`Normalizer` parses raw logs in a form of their own, for a source.

All run natively in unit tests (:mod:`yagura.testing`). The package knows the plugin contract and nothing of the host,
and needs nothing but Python's own library.
"""

from . import http, log, lookup, search, state
from .alert import Alert, AlertState, Attribute, Attributes, Assessment, Report, Status, Verdict
from .batch import Batch, Event
from .config import Config
from .detector import Detector, detector
from .errors import ColumnError, ConfigError, DataError, PluginError, RetryError
from .findings import Finding, Findings, Observable, Severity
from .normalizer import Malformed, Normalizer
from .plugins import Enriched, Enricher, Notifier, Reviewer
from .rule import Rule
from .schema import Column
from .views import Binaries, Booleans, Numbers, Texts, View

__all__ = [
    "Alert",
    "AlertState",
    "Attribute",
    "Attributes",
    "Batch",
    "Binaries",
    "Booleans",
    "Column",
    "ColumnError",
    "Config",
    "ConfigError",
    "DataError",
    "Detector",
    "Enriched",
    "Enricher",
    "Event",
    "Finding",
    "Findings",
    "Malformed",
    "Normalizer",
    "Notifier",
    "Numbers",
    "Observable",
    "Assessment",
    "PluginError",
    "Report",
    "RetryError",
    "Reviewer",
    "Rule",
    "Severity",
    "Status",
    "Texts",
    "Verdict",
    "View",
    "detector",
    "http",
    "log",
    "lookup",
    "search",
    "state",
]
