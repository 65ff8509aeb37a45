//! Secrets: their sources, how long a value is used, and types that never print them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use yagura_core::names::did_you_mean;
use zeroize::Zeroizing;

use crate::redact::{MIN_COUNTING, Redactor, is_ignored};

/// How long a value is used before it is read again.
const MAX_AGE: Duration = Duration::from_secs(300);

/// How long a value that a server refused is used before it is read again.
const MAX_AGE_REFUSED: Duration = Duration::from_secs(10);

/// Maximum run time of a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a secret in bytes.
const MAX_BYTES: usize = 65_536;

/// How many values of one secret are redacted in answers: the current one and earlier ones.
const REDACTED_VALUES: usize = 3;

/// The source of a secret. One line break at the end of a value is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The environment variable of that name.
    Env(String),
    /// The content of a file.
    File(PathBuf),
    /// The output of a command: a program and its arguments.
    Command(Vec<String>),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            // Arguments may be secret themselves.
            Self::Command(words) => {
                let program = words.first().map_or("", String::as_str);
                write!(f, "the command `{program}`")
            }
        }
    }
}

/// The value of a secret. It is never printed, and its memory is cleared on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Returns the value.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret has no value. Messages contain no value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The configuration has no secret of that name.
    #[error("there is no secret `{name}` in the configuration{}", did_you_mean(.name, .known.iter().map(String::as_str)))]
    Unknown {
        /// The name.
        name: String,
        /// The names of all secrets.
        known: Vec<String>,
    },
    /// Its source has no usable value.
    #[error("cannot read the secret `{name}` from {from}: {reason}")]
    Read {
        /// The name.
        name: String,
        /// Its source.
        from: SecretSource,
        /// The cause; it is part of the message.
        reason: SecretReadError,
    },
}

/// Why a source has no usable value.
#[derive(Debug, thiserror::Error)]
pub enum SecretReadError {
    /// The environment variable is not set.
    #[error("it is not set")]
    NotSet,
    /// The file or the program cannot be read or started.
    #[error("{0}")]
    Io(std::io::Error),
    /// The command is empty.
    #[error("the command is empty: name a program")]
    NoProgram,
    /// The command did not end in time.
    #[error("it took more than {} s", COMMAND_TIMEOUT.as_secs())]
    Timeout,
    /// The command failed.
    #[error("it ended with {0}")]
    Failed(ExitStatus),
    /// Ordinary text in an answer would match the value.
    #[error(
        "it has {size} bytes, and {counting} that are not white space, `=` or `+`; a secret must have at least {MIN_COUNTING} of \
         these, so that it can be found in answers: use a longer one"
    )]
    TooShort {
        /// Its size in bytes.
        size: usize,
        /// The number of bytes that a search in answers compares.
        counting: usize,
    },
    /// The value is too long to be searched for in answers.
    #[error("it has {size} bytes, and a secret has at most {MAX_BYTES}")]
    TooLong {
        /// Its size in bytes.
        size: usize,
    },
}

/// The operator's secrets by name. A secret is read when it is first needed, and again after five minutes, or after ten seconds
/// if a server refused it.
pub struct Secrets {
    sources: BTreeMap<String, SecretSource>,
    values: Mutex<SecretValues>,
}

#[derive(Default)]
struct SecretValues {
    loaded: BTreeMap<String, LoadedSecret>,
    refused: BTreeSet<String>,
    redactor: Option<Arc<Redactor>>,
}

struct LoadedSecret {
    /// The current value first.
    values: Vec<Secret>,
    at: Instant,
}

impl Secrets {
    /// Stores the sources; nothing is read yet.
    pub fn new(sources: BTreeMap<String, SecretSource>) -> Self {
        Self {
            sources,
            values: Mutex::default(),
        }
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// Returns a secret, and reads its source if its value is too old. If the source fails, the earlier value stays in use.
    ///
    /// # Errors
    /// [`SecretError`]
    pub async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        let Some(source) = self.sources.get(name) else {
            return Err(self.unknown(name));
        };
        if let Some(secret) = self.fresh(name) {
            return Ok(secret);
        }
        let read = read(source).await.and_then(checked);
        let mut values = self.values();
        match read {
            Ok(value) => {
                let secret = Secret(Arc::new(value));
                values.insert(name, secret.clone());
                Ok(secret)
            }
            Err(reason) => {
                let earlier = values.loaded.get_mut(name).and_then(|loaded| {
                    // Not read again with every call.
                    loaded.at = Instant::now();
                    loaded.values.first().cloned()
                });
                let error = SecretError::Read {
                    name: name.to_owned(),
                    from: source.clone(),
                    reason,
                };
                match earlier {
                    Some(secret) => {
                        tracing::warn!(%error, "the earlier value of a secret stays in use");
                        Ok(secret)
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// Returns why a secret has no usable value now, if so. Commands are not run for this.
    pub fn problem(&self, name: &str) -> Option<SecretError> {
        let Some(source) = self.sources.get(name) else {
            return Some(self.unknown(name));
        };
        let value = match source {
            SecretSource::Env(variable) => match std::env::var_os(variable) {
                Some(value) => Ok(value.into_encoded_bytes()),
                None => Err(SecretReadError::NotSet),
            },
            SecretSource::File(path) => std::fs::read(path).map_err(SecretReadError::Io),
            SecretSource::Command(_) => return None,
        };
        let reason = value.map(Zeroizing::new).and_then(checked).err()?;
        Some(SecretError::Read {
            name: name.to_owned(),
            from: source.clone(),
            reason,
        })
    }

    fn unknown(&self, name: &str) -> SecretError {
        SecretError::Unknown {
            name: name.to_owned(),
            known: self.sources.keys().cloned().collect(),
        }
    }

    /// Marks secrets that a server refused: their values may have changed.
    pub(crate) fn refused<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut values = self.values();
        values.refused.extend(names.map(str::to_owned));
    }

    /// Returns the redactor of all values that were read.
    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        let mut values = self.values();
        if let Some(redactor) = &values.redactor {
            return redactor.clone();
        }
        let secrets = values.loaded.iter().flat_map(|(name, loaded)| {
            let values = loaded.values.iter();
            values.map(move |secret| (name.as_str(), secret.expose()))
        });
        let redactor = Arc::new(Redactor::new(secrets));
        values.redactor = Some(redactor.clone());
        redactor
    }

    fn fresh(&self, name: &str) -> Option<Secret> {
        let values = self.values();
        let loaded = values.loaded.get(name)?;
        let max_age = match values.refused.contains(name) {
            true => MAX_AGE_REFUSED,
            false => MAX_AGE,
        };
        (loaded.at.elapsed() < max_age).then(|| loaded.values.first().cloned())?
    }

    fn values(&self) -> MutexGuard<'_, SecretValues> {
        // No panic can leave the values half changed.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecretValues {
    fn insert(&mut self, name: &str, secret: Secret) {
        self.refused.remove(name);
        let loaded = self
            .loaded
            .entry(name.to_owned())
            .or_insert_with(|| LoadedSecret {
                values: Vec::new(),
                at: Instant::now(),
            });
        loaded.at = Instant::now();
        if loaded.values.first() != Some(&secret) {
            loaded.values.retain(|earlier| *earlier != secret);
            loaded.values.insert(0, secret);
            loaded.values.truncate(REDACTED_VALUES);
            self.redactor = None;
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

async fn read(source: &SecretSource) -> Result<Zeroizing<Vec<u8>>, SecretReadError> {
    match source {
        SecretSource::Env(name) => match std::env::var_os(name) {
            Some(value) => Ok(Zeroizing::new(value.into_encoded_bytes())),
            None => Err(SecretReadError::NotSet),
        },
        SecretSource::File(path) => match tokio::fs::read(path).await {
            Ok(bytes) => Ok(Zeroizing::new(bytes)),
            Err(error) => Err(SecretReadError::Io(error)),
        },
        SecretSource::Command(words) => run(words).await,
    }
}

async fn run(words: &[String]) -> Result<Zeroizing<Vec<u8>>, SecretReadError> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(SecretReadError::NoProgram);
    };
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(COMMAND_TIMEOUT, output).await {
        Err(_) => Err(SecretReadError::Timeout),
        Ok(Err(error)) => Err(SecretReadError::Io(error)),
        Ok(Ok(output)) if !output.status.success() => Err(SecretReadError::Failed(output.status)),
        Ok(Ok(output)) => Ok(Zeroizing::new(output.stdout)),
    }
}

/// Removes a line break at the end of a value, and checks its size.
fn checked(mut value: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, SecretReadError> {
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    let size = value.len();
    let counting = value.iter().filter(|byte| !is_ignored(**byte)).count();
    if counting < MIN_COUNTING {
        return Err(SecretReadError::TooShort { size, counting });
    }
    if size > MAX_BYTES {
        return Err(SecretReadError::TooLong { size });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: SecretSource) -> Secrets {
        Secrets::new(BTreeMap::from([("TOKEN".to_owned(), source)]))
    }

    fn command(script: &str) -> SecretSource {
        SecretSource::Command(["sh", "-c", script].map(str::to_owned).to_vec())
    }

    #[tokio::test]
    async fn every_source_gives_its_secret_without_the_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-file\r\n").unwrap();
        for (source, value) in [
            (SecretSource::File(file.path().to_owned()), "from-file"),
            (command("echo from-command"), "from-command"),
        ] {
            let secret = of(source).get("TOKEN").await.unwrap();
            assert_eq!(secret.expose(), value.as_bytes());
            assert_eq!(format!("{secret:?}"), "Secret(…)");
        }
        let home = of(SecretSource::Env("PATH".to_owned()));
        let path = std::env::var("PATH").unwrap();
        assert_eq!(home.get("TOKEN").await.unwrap().expose(), path.as_bytes());
    }

    #[tokio::test]
    async fn failures_are_reported_without_a_value() {
        for (source, part) in [
            (
                SecretSource::Env("YAGURA_NO_SUCH".to_owned()),
                "`YAGURA_NO_SUCH`: it is not set",
            ),
            (SecretSource::File("/no/such".into()), "the file /no/such: "),
            (
                command("echo hidden; exit 3"),
                "the command `sh`: it ended with exit status: 3",
            ),
            (command("echo four"), "it has 4 bytes"),
            (
                command("echo 'a = b + c '"),
                "and 3 that are not white space",
            ),
            (SecretSource::Command(Vec::new()), "the command is empty"),
        ] {
            let error = of(source).get("TOKEN").await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(
                !error.contains("hidden") && !error.contains("four"),
                "{error}"
            );
        }
        let error = of(command("")).get("TOKE").await.unwrap_err().to_string();
        assert!(error.ends_with("did you mean `TOKEN`?"), "{error}");
    }

    #[tokio::test]
    async fn failures_are_reported_before_the_secret_is_needed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short\n").unwrap();
        let problem = |source| of(source).problem("TOKEN").map(|error| error.to_string());
        let short = problem(SecretSource::File(file.path().to_owned())).unwrap();
        assert!(short.contains("it has 5 bytes"), "{short}");
        assert!(!short.contains("short"), "{short}");
        assert!(problem(SecretSource::Env("YAGURA_NO_SUCH".to_owned())).is_some());
        assert_eq!(problem(SecretSource::Env("PATH".to_owned())), None);
        assert_eq!(problem(command("exit 1")), None);
        assert!(of(command("")).problem("OTHER").is_some());
    }

    #[tokio::test]
    async fn a_secret_is_reused_and_its_earlier_values_are_still_redacted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first-value").unwrap();
        let secrets = of(SecretSource::File(file.path().to_owned()));
        let get = async || secrets.get("TOKEN").await.unwrap().expose().to_vec();
        assert_eq!(get().await, b"first-value");
        std::fs::write(file.path(), "second-value").unwrap();
        assert_eq!(get().await, b"first-value");
        let age = |by: Duration| {
            let mut values = secrets.values();
            let loaded = values.loaded.get_mut("TOKEN").unwrap();
            loaded.at = Instant::now().checked_sub(by).unwrap();
        };
        // Refused, but read only just now.
        secrets.refused(["TOKEN"].into_iter());
        assert_eq!(get().await, b"first-value");
        age(MAX_AGE_REFUSED);
        assert_eq!(get().await, b"second-value");
        let redactor = secrets.redactor();
        assert_eq!(
            redactor.text("first-value, second-value".to_owned()),
            "{{secret:TOKEN}}, {{secret:TOKEN}}"
        );
        // A source that fails later leaves the value.
        std::fs::remove_file(file.path()).unwrap();
        age(MAX_AGE);
        assert_eq!(get().await, b"second-value");
    }
}
