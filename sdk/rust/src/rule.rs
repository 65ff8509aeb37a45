//! The rule that a detector is opened for.

use crate::batch::find;
use crate::bindings::yagura::plugin::types::{Field, Rule as RawRule};
use crate::column::Kind;
use crate::{Binary, Boolean, Column, Float64, Int64, Json, PluginError, Text, Time};

/// The rule that a detector serves: its id, its configuration and its columns.
///
/// Columns have the names that the rule lists, dotted paths included. A path into JSON text
/// (`request_parameters.policyDocument`) is a text column: strings without quotes, other values as JSON text.
pub struct Rule<'a> {
    plugin_config: &'a str,
    rule: &'a RawRule,
}

impl<'a> Rule<'a> {
    pub(crate) fn new(plugin_config: &'a str, rule: &'a RawRule) -> Self {
        Self {
            plugin_config,
            rule,
        }
    }

    /// Returns the rule's id.
    pub fn id(&self) -> &'a str {
        &self.rule.id
    }

    /// Returns the rule's `[rule.config]`.
    pub fn config(&self) -> Json<'a> {
        Json::new(&self.rule.config)
    }

    /// Returns the pack's `[plugin.config]`, which all rules of the plugin share.
    pub fn plugin_config(&self) -> Json<'a> {
        Json::new(self.plugin_config)
    }

    /// Returns a list of strings from `[rule.config]`; empty if the key is absent.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the key holds anything but a list of strings.
    pub fn config_strings(&self, key: &str) -> Result<Vec<String>, PluginError> {
        let Some(list) = self.config().get(key) else {
            return Ok(Vec::new());
        };
        let strings = list.is_array().then(|| {
            list.elements()
                .map(|element| element.string().map(String::from))
                .collect::<Option<Vec<String>>>()
        });
        strings.flatten().ok_or_else(|| {
            PluginError::Config(format!(
                "`rule.config.{key}` is {} where a list of strings is wanted",
                list.raw()
            ))
        })
    }

    /// Returns a whole number from `[rule.config]`, or `default` if the key is absent.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the key holds anything but a whole number.
    pub fn config_i64(&self, key: &str, default: i64) -> Result<i64, PluginError> {
        match self.config().get(key) {
            None => Ok(default),
            Some(value) => value.i64().ok_or_else(|| {
                PluginError::Config(format!(
                    "`rule.config.{key}` is {} where a whole number is wanted",
                    value.raw()
                ))
            }),
        }
    }

    /// Returns the handle of a column of type `K`.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the rule does not list this column, or its type is another.
    pub fn column<K: Kind>(&self, name: &str) -> Result<Column<K>, PluginError> {
        find(&self.rule.schema, name)
    }

    /// Returns the handle of a text column.
    ///
    /// # Errors
    /// See [`Rule::column`].
    pub fn text(&self, name: &str) -> Result<Column<Text>, PluginError> {
        self.column(name)
    }

    /// Returns the handle of a column of whole numbers.
    ///
    /// # Errors
    /// See [`Rule::column`].
    pub fn int64(&self, name: &str) -> Result<Column<Int64>, PluginError> {
        self.column(name)
    }

    /// Returns the handle of a column of floating-point numbers.
    ///
    /// # Errors
    /// See [`Rule::column`].
    pub fn float64(&self, name: &str) -> Result<Column<Float64>, PluginError> {
        self.column(name)
    }

    /// Returns the handle of a column of truth values.
    ///
    /// # Errors
    /// See [`Rule::column`].
    pub fn boolean(&self, name: &str) -> Result<Column<Boolean>, PluginError> {
        self.column(name)
    }

    /// Returns the handle of a column of times.
    ///
    /// # Errors
    /// See [`Rule::column`].
    pub fn time(&self, name: &str) -> Result<Column<Time>, PluginError> {
        self.column(name)
    }

    /// Returns the handle of a column of bytes.
    ///
    /// # Errors
    /// See [`Rule::column`].
    pub fn binary(&self, name: &str) -> Result<Column<Binary>, PluginError> {
        self.column(name)
    }

    /// Returns the names of the rule's columns, in order.
    pub fn column_names(&self) -> impl Iterator<Item = &'a str> {
        self.rule
            .schema
            .iter()
            .map(|field: &Field| field.name.as_str())
    }
}
