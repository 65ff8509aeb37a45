"""Detectors that use too much of something. Each reads the text column `name`."""

from yagura import Batch, Event, Findings, Rule, detector


@detector("endless-loop")
def endless_loop(event: Event) -> bool:
    number = len(event["name"] or "")
    while True:
        number += 1


@detector("memory-hog")
class MemoryHog:
    """Keeps what it takes, so that no collection of garbage can help."""

    def __init__(self, rule: Rule) -> None:
        self.name = rule.text("name")
        self.hoard: list[bytearray] = []

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        while True:
            self.hoard.append(bytearray(1 << 20))


@detector("recursion")
def recursion(event: Event) -> bool:
    return deeper(event, 0) > 0


def deeper(event: Event, depth: int) -> int:
    return deeper(event, depth + 1) + 1


@detector("print")
def print_each(event: Event) -> bool:
    """Harmless: the host keeps as many lines as it wants to."""
    print("looking at", event["name"])
    return True
