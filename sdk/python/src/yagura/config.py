"""The configuration of an enricher, a reviewer or a notifier."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import ConfigError


class Config(Mapping[str, Any]):
    """The pack's ``[plugin.config]`` with the operator's settings over it: a mapping from keys to JSON values.

    The methods check types; each raises :class:`yagura.ConfigError` with the key.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def only(self, *keys: str) -> None:
        """Refuses other keys than these, so that a misspelt key is an error."""
        for key in self._values:
            if key in keys:
                continue
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            known = ", ".join(f"`{known}`" for known in keys) or "none"
            raise ConfigError(
                f"`plugin.config` has the key `{key}`, which the plugin does not know: it knows {known}{hint}"
            )

    def text(self, key: str, default: str = "") -> str:
        """Returns a text, or ``default`` if the key is absent."""
        value: str = self._of(key, default, str, "a text")
        return value

    def required_text(self, key: str) -> str:
        """Returns a text that must exist and must not be empty."""
        value = self.text(key)
        if not value:
            raise ConfigError(f"`plugin.config.{key}` is missing: give it a text")
        return value

    def strings(self, key: str) -> list[str]:
        """Returns a list of texts; empty if the key is absent."""
        values: list[str] = self._of(key, [], list, "a list of texts")
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(key, "a list of texts")
        return values

    def integer(self, key: str, default: int) -> int:
        """Returns a whole number, or ``default`` if the key is absent."""
        value: int = self._of(key, default, int, "a whole number")
        return value

    def number(self, key: str, default: float) -> float:
        """Returns a number, or ``default`` if the key is absent."""
        return float(self._of(key, default, (int, float), "a number"))

    def boolean(self, key: str, default: bool) -> bool:
        """Returns a truth value, or ``default`` if the key is absent."""
        value: bool = self._of(key, default, bool, "true or false")
        return value

    def _of(self, key: str, default: Any, kind: Any, wanted: str) -> Any:
        value = self._values.get(key, default)
        # A truth value is an integer to Python, and not to anybody who configures something.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(key, wanted)
        return value

    def _wrong(self, key: str, wanted: str) -> ConfigError:
        found = json.dumps(self._values[key], ensure_ascii=False, separators=(",", ":"))
        return ConfigError(f"`plugin.config.{key}` is {found} where {wanted} is wanted")
