"""The errors that a plugin raises on purpose: the three cases of the contract's ``plugin-error``, and a wrong column
name."""

from __future__ import annotations


class PluginError(Exception):
    """The error that a plugin returns. Plugins raise one of its subclasses."""


class ConfigError(PluginError):
    """The configuration or the rule is wrong: the plugin is not opened."""


class DataError(PluginError):
    """These events cannot be evaluated: the host skips and reports them."""


class RetryError(PluginError):
    """Another attempt with the same input may succeed."""


class ColumnError(KeyError):
    """The rule does not list this column."""

    def __str__(self) -> str:
        # A `KeyError` prints the `repr` of its argument, which is right for a key and wrong for a sentence.
        return str(self.args[0]) if self.args else ""
