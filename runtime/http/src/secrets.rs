//! Secrets: where they come from, how long they are kept, and that nothing prints them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use yagura_core::names::did_you_mean;
use zeroize::Zeroizing;

use super::redact::{LEAST_COUNTING, Redactor, is_passed_over};

/// How long a secret is used before it is read again.
const KEPT: Duration = Duration::from_secs(300);

/// How soon a secret may be read again that a server refused.
const REFUSED: Duration = Duration::from_secs(10);

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(10);

/// Longest secret, in bytes.
const LONGEST: usize = 65_536;

/// Why an environment variable gives no secret.
const NOT_SET: &str = "it is not set";

/// How many values of one secret are looked for in answers: the last, and those before it.
const REMEMBERED: usize = 3;

/// Where a secret comes from. One line break at its end is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The environment variable of that name.
    Env(String),
    /// The content of a file.
    File(PathBuf),
    /// What a program prints; the program and its arguments.
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

/// A secret's value. It is never printed, and its memory is cleared when it is dropped.
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

/// Why a secret cannot be had. Messages hold no value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The configuration has none of that name.
    #[error("there is no secret `{name}` in the configuration{}", did_you_mean(.name, .known.iter().map(String::as_str)))]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Its source has none.
    #[error("cannot read the secret `{name}` from {from}: {reason}")]
    Read {
        /// The name.
        name: String,
        /// Its source.
        from: SecretSource,
        /// What happened.
        reason: String,
    },
}

/// The operator's secrets by name, read when they are first needed and again after five minutes, or sooner when a server
/// refuses them.
pub struct Secrets {
    sources: BTreeMap<String, SecretSource>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: BTreeMap<String, Loaded>,
    refused: BTreeSet<String>,
    redactor: Option<Arc<Redactor>>,
}

struct Loaded {
    /// The last value first.
    values: Vec<Secret>,
    at: Instant,
}

impl Secrets {
    /// Takes the sources; nothing is read yet.
    pub fn new(sources: BTreeMap<String, SecretSource>) -> Self {
        Self {
            sources,
            state: Mutex::default(),
        }
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// Returns a secret, from its source where it is due. When the source fails, an earlier value is used on.
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
        let mut state = self.state();
        match read {
            Ok(value) => {
                let secret = Secret(Arc::new(value));
                state.keep(name, secret.clone());
                Ok(secret)
            }
            Err(reason) => {
                let earlier = state.loaded.get_mut(name).and_then(|loaded| {
                    // Not again with every call.
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
                        tracing::warn!(%error, "the earlier value of a secret is used on");
                        Ok(secret)
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// Says why a secret cannot be had from its source now, if it cannot. A command is not run for that.
    pub fn problem(&self, name: &str) -> Option<SecretError> {
        let Some(source) = self.sources.get(name) else {
            return Some(self.unknown(name));
        };
        let value = match source {
            SecretSource::Env(variable) => match std::env::var_os(variable) {
                Some(value) => Ok(value.into_encoded_bytes()),
                None => Err(NOT_SET.to_owned()),
            },
            SecretSource::File(path) => std::fs::read(path).map_err(|error| error.to_string()),
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

    /// Takes note that a server refused a secret: it may have changed.
    pub(crate) fn refused<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut state = self.state();
        state.refused.extend(names.map(str::to_owned));
    }

    /// Returns what finds every secret that was ever read.
    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        let mut state = self.state();
        if let Some(redactor) = &state.redactor {
            return redactor.clone();
        }
        let secrets = state.loaded.iter().flat_map(|(name, loaded)| {
            let values = loaded.values.iter();
            values.map(move |secret| (name.as_str(), secret.expose()))
        });
        let redactor = Arc::new(Redactor::new(secrets));
        state.redactor = Some(redactor.clone());
        redactor
    }

    fn fresh(&self, name: &str) -> Option<Secret> {
        let state = self.state();
        let loaded = state.loaded.get(name)?;
        let kept = match state.refused.contains(name) {
            true => REFUSED,
            false => KEPT,
        };
        (loaded.at.elapsed() < kept).then(|| loaded.values.first().cloned())?
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, name: &str, secret: Secret) {
        self.refused.remove(name);
        let loaded = self
            .loaded
            .entry(name.to_owned())
            .or_insert_with(|| Loaded {
                values: Vec::new(),
                at: Instant::now(),
            });
        loaded.at = Instant::now();
        if loaded.values.first() != Some(&secret) {
            loaded.values.retain(|earlier| *earlier != secret);
            loaded.values.insert(0, secret);
            loaded.values.truncate(REMEMBERED);
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

async fn read(source: &SecretSource) -> Result<Zeroizing<Vec<u8>>, String> {
    match source {
        SecretSource::Env(name) => match std::env::var_os(name) {
            Some(value) => Ok(Zeroizing::new(value.into_encoded_bytes())),
            None => Err(NOT_SET.to_owned()),
        },
        SecretSource::File(path) => match tokio::fs::read(path).await {
            Ok(bytes) => Ok(Zeroizing::new(bytes)),
            Err(error) => Err(error.to_string()),
        },
        SecretSource::Command(words) => run(words).await,
    }
}

async fn run(words: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("it names no program".to_owned());
    };
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(COMMAND, output).await {
        Err(_) => Err(format!("it took more than {} s", COMMAND.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(output)) if !output.status.success() => {
            Err(format!("it ended with {}", output.status))
        }
        Ok(Ok(output)) => Ok(Zeroizing::new(output.stdout)),
    }
}

fn checked(mut value: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, String> {
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    match wrong_size(&value) {
        None => Ok(value),
        Some(reason) => Err(reason),
    }
}

/// Says why a value cannot be a secret, if it cannot: it could not be told from ordinary text in an answer, or is too long to be
/// looked for.
fn wrong_size(value: &[u8]) -> Option<String> {
    let size = value.len();
    let counting = value.iter().filter(|byte| !is_passed_over(**byte)).count();
    if counting < LEAST_COUNTING {
        return Some(format!(
            "it has {size} bytes, and {counting} that are not white space, `=` or `+`; a secret must have at least {LEAST_COUNTING} of \
             these, so that it can be found in answers: use a longer one"
        ));
    }
    (size > LONGEST).then(|| format!("it has {size} bytes, and a secret has at most {LONGEST}"))
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
    async fn what_fails_is_told_without_a_value() {
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
            (SecretSource::Command(Vec::new()), "names no program"),
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
    async fn what_would_fail_is_told_before_it_is_needed() {
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
    async fn a_secret_is_kept_and_its_earlier_values_are_still_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first-value").unwrap();
        let secrets = of(SecretSource::File(file.path().to_owned()));
        let get = async || secrets.get("TOKEN").await.unwrap().expose().to_vec();
        assert_eq!(get().await, b"first-value");
        std::fs::write(file.path(), "second-value").unwrap();
        assert_eq!(get().await, b"first-value");
        let age = |by: Duration| {
            let mut state = secrets.state();
            let loaded = state.loaded.get_mut("TOKEN").unwrap();
            loaded.at = Instant::now().checked_sub(by).unwrap();
        };
        // Refused, but read only just now.
        secrets.refused(["TOKEN"].into_iter());
        assert_eq!(get().await, b"first-value");
        age(REFUSED);
        assert_eq!(get().await, b"second-value");
        let redactor = secrets.redactor();
        assert_eq!(
            redactor.text("first-value, second-value".to_owned()),
            "{{secret:TOKEN}}, {{secret:TOKEN}}"
        );
        // A source that fails later leaves the value.
        std::fs::remove_file(file.path()).unwrap();
        age(KEPT);
        assert_eq!(get().await, b"second-value");
    }
}
