//! For the plugins' tests: what every one of them must answer to a service that does not work.

use yagura_sdk::PluginError;
use yagura_sdk::http::HttpError;
use yagura_sdk::testing::{Answer, Host};

/// Who must act after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nobody: the same is tried again.
    Retry,
    /// The operator.
    Config,
    /// Nobody can: this one is given up.
    Data,
}

impl Blame {
    /// Returns who must act after an error.
    pub fn of(error: &PluginError) -> Self {
        match error {
            PluginError::Retry(_) => Self::Retry,
            PluginError::Config(_) => Self::Config,
            PluginError::Data(_) => Self::Data,
        }
    }
}

/// Answers one request in every way that is no answer, and checks whom the plugin blames: outages pass, credentials and grants
/// are the operator's.
///
/// # Panics
/// When the plugin blames somebody else, or is content.
pub fn blames_the_right_one<T>(request: &str, call: impl Fn() -> Result<T, PluginError>) {
    let cases = [
        (
            Answer::json(429, "{}").header("retry-after", "3"),
            Blame::Retry,
        ),
        (Answer::text(500, "oops"), Blame::Retry),
        (Answer::text(503, ""), Blame::Retry),
        (Answer::error(HttpError::Timeout), Blame::Retry),
        (
            Answer::error(HttpError::Failed("reset".to_owned())),
            Blame::Retry,
        ),
        (
            Answer::error(HttpError::Limited("later".to_owned())),
            Blame::Retry,
        ),
        (
            Answer::error(HttpError::Denied("no grant".to_owned())),
            Blame::Config,
        ),
        (Answer::json(401, r#"{"message":"no"}"#), Blame::Config),
    ];
    for (answer, blame) in cases {
        let what = format!("{answer:?}");
        let _host = Host::new().answers(request, answer);
        let error = call().err();
        assert_eq!(
            error.as_ref().map(Blame::of),
            Some(blame),
            "{what}: {error:?}"
        );
    }
}
