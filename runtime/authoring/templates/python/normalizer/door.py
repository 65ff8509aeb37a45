"""The pack's normalizer.

`PYTHONPATH=.:../.yagura/sdk/python/src python3 -m unittest discover tests` runs it natively, `yagura build ..` makes a
component of it. Every module in this folder becomes part of the component, which holds one normalizer.
"""

from yagura import Config, Malformed, Normalizer

NAMES = ("door", "what", "who", "reader")


class Door(Normalizer):
    """Reads lines of a time and of fields that begin with their length: `2026-02-03T04:05:06Z 5:lobby,4:open,`."""

    def __init__(self, config: Config) -> None:
        """Reads `[plugin.config]`: a wrong key or type is an error before the first line."""
        config.only()

    def parse(self, record: bytes) -> dict[str, str]:
        """Gets one line, and returns its event. An exception keeps the line among those that cannot be read."""
        time, _, rest = record.decode().partition(" ")
        event = {"time": time}
        for name in NAMES:
            length, _, rest = rest.partition(":")
            size = int(length)
            if rest[size : size + 1] != ",":
                raise Malformed("a field ends too early, or has no `,` at its end")
            event[name] = rest[:size]
            rest = rest[size + 1 :]
        return event
