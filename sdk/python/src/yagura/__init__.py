"""Write Yagura detectors in Python: one decorator, a class or a function.

A class looks its columns up once, by name and type, when it is made for its rule, and judges batches of events::

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

All run natively in unit tests (:mod:`yagura.testing`). The package knows the plugin contract and nothing of the host,
and needs nothing but Python's own library.
"""

from . import log, state
from .batch import Batch, Event
from .detector import Detector, detector
from .errors import ColumnError, ConfigError, DataError, PluginError, RetryError
from .findings import Finding, Findings, Observable, Severity
from .rule import Rule
from .schema import Column
from .views import Binaries, Booleans, Numbers, Texts, View

__all__ = [
    "Batch",
    "Binaries",
    "Booleans",
    "Column",
    "ColumnError",
    "ConfigError",
    "DataError",
    "Detector",
    "Event",
    "Finding",
    "Findings",
    "Numbers",
    "Observable",
    "PluginError",
    "RetryError",
    "Rule",
    "Severity",
    "Texts",
    "View",
    "detector",
    "log",
    "state",
]
