"""What a detector raises on purpose: the three cases of the contract's ``plugin-error``, and a wrong column name."""

from __future__ import annotations


class PluginError(Exception):
    """What a plugin answers when it cannot do its work. Detectors raise one of its subclasses."""


class ConfigError(PluginError):
    """The configuration or the rule is wrong: the plugin is not opened."""


class DataError(PluginError):
    """These events cannot be evaluated: the batch is skipped and reported."""


class RetryError(PluginError):
    """Worth one more try with the same input."""


class ColumnError(KeyError):
    """An event was asked for a column that the rule does not list."""

    def __str__(self) -> str:
        # A `KeyError` prints the `repr` of its argument, which is right for a key and wrong for a sentence.
        return str(self.args[0]) if self.args else ""
