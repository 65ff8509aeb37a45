//! What the first-party enrichers, reviewers and notifiers share: reading their configuration, addresses that outside services
//! are not asked about, and the same words for the same thing everywhere.

mod ask;
mod pattern;
mod receive;
mod report;
pub mod testing;

use serde::de::DeserializeOwned;
use yagura_sdk::{Config, PluginError};

pub use ask::{Verdict, answer_of, is_public, observables};
pub use pattern::fits;
pub use receive::Receive;
pub use report::{describe, markers, shorten};

/// Reads a configuration.
///
/// # Errors
/// [`PluginError::Config`] saying which setting is wrong, and what there is.
pub fn parse<T: DeserializeOwned>(config: &Config<'_>) -> Result<T, PluginError> {
    serde_json::from_str(config.raw()).map_err(|error| {
        // The place in JSON text means nothing to whoever writes TOML.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        PluginError::Config(format!("the plugin's configuration is wrong: {message}"))
    })
}

/// Returns a base URL without a slash at its end.
///
/// # Errors
/// [`PluginError::Config`] when it is no URL of `https` or `http`, or has a query.
pub fn base_url(url: &str) -> Result<String, PluginError> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['?', '#', '@', ' ']) => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err(PluginError::Config(format!(
            "`base_url` is \"{url}\": write a URL like `https://api.example.com`"
        ))),
    }
}

/// Checks the name of a secret and returns its placeholder.
///
/// # Errors
/// [`PluginError::Config`] when the name could not stand in a placeholder.
pub fn secret(name: &str) -> Result<String, PluginError> {
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_name {
        return Ok(format!("{{{{secret:{name}}}}}"));
    }
    Err(PluginError::Config(format!(
        "`secret` is \"{name}\": write the name of a secret (letters, digits, `_`, `-`, `.`), never the secret itself"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[expect(dead_code, reason = "only its name counts here")]
        channel: String,
    }

    #[test]
    fn mistakes_in_a_configuration_are_named() {
        let message = |text: &str| {
            parse::<Settings>(&Config::new(text))
                .unwrap_err()
                .to_string()
        };
        let unknown = message(r#"{"chanel": "C1"}"#);
        assert!(
            unknown.contains("unknown field `chanel`, expected `channel`"),
            "{unknown}"
        );
        assert!(!unknown.contains("line"), "{unknown}");
        let missing = message("{}");
        assert!(missing.contains("missing field `channel`"), "{missing}");
        parse::<Settings>(&Config::new(r#"{"channel": "C1"}"#)).unwrap();
    }

    #[test]
    fn a_base_url_and_the_name_of_a_secret_are_checked() {
        assert_eq!(
            base_url("https://a.example/api/").unwrap(),
            "https://a.example/api"
        );
        for wrong in [
            "",
            "a.example",
            "ftp://a",
            "https://",
            "https://u:p@a",
            "https://a?b",
        ] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(secret("slack_token").unwrap(), "{{secret:slack_token}}");
        for wrong in ["", "xoxb 1", "a}}", "{{secret:a}}"] {
            assert!(secret(wrong).is_err(), "{wrong}");
        }
    }
}
