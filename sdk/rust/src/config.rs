//! The configuration of a plugin that serves no rules: an enricher, a reviewer or a notifier.

use crate::{Json, PluginError};

/// The pack's `[plugin.config]`, with the operator's settings in the policy over it.
#[derive(Debug, Clone, Copy)]
pub struct Config<'a> {
    text: &'a str,
}

impl<'a> Config<'a> {
    /// Reads JSON text: the host passes it, and tests write it.
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Returns the configuration as JSON text, for a parser.
    pub fn raw(&self) -> &'a str {
        self.text
    }

    /// Returns the configuration.
    pub fn json(&self) -> Json<'a> {
        Json::new(self.text)
    }

    /// Checks that there are no other keys than these.
    ///
    /// # Errors
    /// [`PluginError::Config`] with the unknown key and the known ones.
    pub fn only(&self, keys: &[&str]) -> Result<(), PluginError> {
        let mut found = self.json().members().map(|(key, _)| key);
        let Some(unknown) = found.find(|key| !keys.contains(&key.as_ref())) else {
            return Ok(());
        };
        let known: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        Err(PluginError::Config(format!(
            "there is no setting `{unknown}`: write one of {}",
            known.join(", ")
        )))
    }

    /// Returns a text, or `None` if the key is absent.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the key holds anything but a string.
    pub fn text(&self, key: &str) -> Result<Option<String>, PluginError> {
        self.value(key, "a text", |value| {
            value.string().map(|text| text.into_owned())
        })
    }

    /// Returns a text that must exist and must not be empty.
    ///
    /// # Errors
    /// [`PluginError::Config`] if it is not.
    pub fn required_text(&self, key: &str) -> Result<String, PluginError> {
        let text = self.text(key)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| {
            PluginError::Config(format!("`{key}` is missing from the configuration"))
        })
    }

    /// Returns a list of texts; empty if the key is absent.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the key holds anything but a list of strings.
    pub fn strings(&self, key: &str) -> Result<Vec<String>, PluginError> {
        let list = self.value(key, "a list of texts", |value| {
            let strings = value.is_array().then(|| {
                value
                    .elements()
                    .map(|element| element.string().map(String::from))
                    .collect::<Option<Vec<String>>>()
            });
            strings.flatten()
        })?;
        Ok(list.unwrap_or_default())
    }

    /// Returns a whole number, or `default` if the key is absent.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the key holds anything but a whole number.
    pub fn i64(&self, key: &str, default: i64) -> Result<i64, PluginError> {
        let number = self.value(key, "a whole number", |value| value.raw().parse().ok())?;
        Ok(number.unwrap_or(default))
    }

    /// Returns `true` or `false`, or `default` if the key is absent.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the key holds anything else.
    pub fn bool(&self, key: &str, default: bool) -> Result<bool, PluginError> {
        let value = self.value(key, "true or false", |value| value.raw().parse().ok())?;
        Ok(value.unwrap_or(default))
    }

    fn value<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(Json<'a>) -> Option<T>,
    ) -> Result<Option<T>, PluginError> {
        let Some(value) = self.json().get(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(PluginError::Config(format!(
                "`{key}` is {} where {wanted} is wanted",
                value.raw()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_by_type_and_mistakes_are_named() {
        let config = Config::new(r#"{"a": "x", "list": ["y"], "n": 3, "is": true, "empty": ""}"#);
        assert_eq!(config.text("a").unwrap().as_deref(), Some("x"));
        assert_eq!(config.strings("list").unwrap(), ["y"]);
        assert_eq!(
            (config.i64("n", 1).unwrap(), config.i64("m", 1).unwrap()),
            (3, 1)
        );
        assert!(config.bool("is", false).unwrap());
        assert_eq!(config.text("absent").unwrap(), None);
        let message = |error: PluginError| match error {
            PluginError::Config(message) => message,
            other => panic!("{other}"),
        };
        assert_eq!(
            message(config.text("n").unwrap_err()),
            "`n` is 3 where a text is wanted"
        );
        assert_eq!(
            message(config.strings("a").unwrap_err()),
            "`a` is \"x\" where a list of texts is wanted"
        );
        assert_eq!(
            message(config.required_text("empty").unwrap_err()),
            "`empty` is missing from the configuration"
        );
        let unknown = message(config.only(&["a", "list", "n", "is"]).unwrap_err());
        assert_eq!(
            unknown,
            "there is no setting `empty`: write one of `a`, `list`, `n`, `is`"
        );
        config.only(&["a", "list", "n", "is", "empty"]).unwrap();
    }
}
