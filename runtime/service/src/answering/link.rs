//! The triage as a service sees it: its store may be away for a while, and detection goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use yagura_alerts::{AlertStoreError, Feed, TriageError};
use yagura_engine::live::{CommittedLine, Live};
use yagura_host::Host;

use super::policy::read_policy;
use super::ports::try_plugins;
use super::running::RunningTriage;
use crate::config::Config;

/// How long a step waits for the store of alerts.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it is left alone then.
const PAUSE: Duration = Duration::from_secs(5);
/// How often it is looked for reports that were given up.
const DEAD_LETTERS: Duration = Duration::from_secs(20);
/// Lines that are handed over at once when it is back.
const AT_ONCE: usize = 5_000;

/// How long it is left alone at most, if it is away when the service starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The triage of a service, and how far it is.
pub struct TriageLink {
    triage: LinkState,
    /// Number of the last line that it has.
    taken: i64,
    /// When it is asked again, while its store is away.
    away: Option<Instant>,
    /// It lacks lines that were committed before.
    is_behind: bool,
    /// Reports that were given up, by notifier, and when that was found out.
    dead: BTreeMap<String, u64>,
    counted: Option<Instant>,
}

enum LinkState {
    Open(Box<RunningTriage>),
    /// Its store was away at the start, and is tried again and again.
    Opening(Attempts),
}

/// A task that tries to open the triage; it ends with who waits for it.
struct Attempts(JoinHandle<Result<OpenedTriage>>);

impl Drop for Attempts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A triage with the number of its last line, and its messages.
struct OpenedTriage {
    answering: Box<RunningTriage>,
    taken: i64,
    messages: String,
}

/// What a triage is opened with.
struct TriageOpener {
    config: Config,
    host: Host,
    policy: PathBuf,
    rules: BTreeSet<String>,
    feed: Feed,
}

impl TriageOpener {
    async fn open(&self) -> Result<OpenedTriage> {
        let mut messages = Vec::new();
        let (config, host) = (&self.config, &self.host);
        let answering = RunningTriage::open(
            config,
            host,
            &self.policy,
            &self.rules,
            self.feed,
            &mut messages,
        )
        .await?;
        Ok(OpenedTriage {
            taken: answering.last().await?,
            answering: Box::new(answering),
            messages: String::from_utf8_lossy(&messages).trim_end().to_owned(),
        })
    }

    /// Opens the triage as soon as its store answers.
    async fn open_when_store_answers(self) -> Result<OpenedTriage> {
        let mut pause = PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            match self.open().await {
                Err(error) if is_away(&error) => pause = (pause * 2).min(LONGEST_PAUSE),
                opened => return opened,
            }
        }
    }
}

impl TriageLink {
    /// Opens the triage; nothing where there is no policy. While its store is away the service works, and what is for the store waits
    /// in the state. `rules` are the ids of the rules that run.
    ///
    /// # Errors
    /// When the triage cannot be opened at all.
    pub async fn open(
        config: &Config,
        host: &Host,
        rules: BTreeSet<String>,
        feed: Feed,
        err: &mut impl Write,
    ) -> Result<Option<Self>> {
        let Some(policy) = config.policy.clone() else {
            return Ok(None);
        };
        let opener = TriageOpener {
            config: config.clone(),
            host: host.clone(),
            policy,
            rules,
            feed,
        };
        match opener.open().await {
            Ok(opened) => {
                writeln!(err, "{}", opened.messages)?;
                Ok(Some(Self::of(opened, false)))
            }
            Err(error) if is_away(&error) => {
                writeln!(err, "warning: {}", away(&format!("{error:#}")))?;
                // What is wrong with the policy is said now, not when the store answers.
                let (read, _) = read_policy(&opener.policy, Some(&opener.rules), err)?;
                let tried = tokio::task::block_in_place(|| try_plugins(config, host, &read.policy));
                if let Err(error) = tried {
                    writeln!(err, "warning: {error:#}")?;
                }
                Ok(Some(Self {
                    triage: LinkState::Opening(Attempts(tokio::spawn(
                        opener.open_when_store_answers(),
                    ))),
                    taken: feed.delivered,
                    away: None,
                    is_behind: true,
                    dead: BTreeMap::new(),
                    counted: None,
                }))
            }
            Err(error) => Err(error),
        }
    }

    fn of(opened: OpenedTriage, is_behind: bool) -> Self {
        Self {
            triage: LinkState::Open(opened.answering),
            taken: opened.taken,
            away: None,
            is_behind,
            dead: BTreeMap::new(),
            counted: None,
        }
    }

    /// Returns the number of the last line that the triage has.
    pub fn taken(&self) -> i64 {
        self.taken
    }

    /// Hands lines to the triage. While its store is away they stay in the state, and are handed over when it is back. Returns a
    /// message for people.
    ///
    /// # Errors
    /// When the triage cannot go on at all.
    pub async fn hand(&mut self, live: &Live, lines: &[CommittedLine]) -> Result<Option<String>> {
        let mut message = None;
        if let LinkState::Opening(opening) = &mut self.triage {
            if !opening.0.is_finished() {
                return Ok(None);
            }
            let opened = (&mut opening.0)
                .await
                .context("the policy cannot be opened")??;
            let messages = opened.messages.replace('\n', "; ");
            message = Some(format!("the store of alerts answers; {messages}"));
            *self = Self::of(opened, true);
        }
        let LinkState::Open(answering) = &self.triage else {
            return Ok(message);
        };
        if self.away.is_some_and(|next| Instant::now() < next) {
            return Ok(message);
        }
        let was_away = self.away.is_some();
        let is_behind = was_away || self.is_behind;
        if lines.is_empty() && !is_behind {
            return Ok(message);
        }
        let taken = timeout(ANSWER, async {
            if !is_behind {
                return answering.take(lines).await;
            }
            // What was asked for before the store went may have been done.
            let from = answering.last().await?;
            answering.take(&live.lines_after(from, AT_ONCE)?).await
        });
        let news = match taken.await {
            Ok(Ok(taken)) => {
                self.taken = taken;
                self.away = None;
                self.is_behind = taken < live.last_line();
                was_away.then(|| "the store of alerts answers again".to_owned())
            }
            Ok(Err(error)) if is_final(&error) => return Err(error),
            Ok(Err(error)) => self.lose(was_away, &format!("{error:#}")),
            Err(_) => self.lose(was_away, "it does not answer"),
        };
        Ok(message.or(news))
    }

    /// Returns how many reports were given up, by notifier, as far as that is known.
    pub async fn dead_letters(&mut self) -> BTreeMap<String, u64> {
        let is_known = self.counted.is_some_and(|at| at.elapsed() < DEAD_LETTERS);
        if let LinkState::Open(answering) = &self.triage
            && self.away.is_none()
            && !is_known
        {
            self.counted = Some(Instant::now());
            if let Ok(Ok(dead)) = timeout(ANSWER, answering.dead_letters()).await {
                self.dead = dead;
            }
        }
        self.dead.clone()
    }

    /// Takes note that the store is away.
    fn lose(&mut self, was_away: bool, reason: &str) -> Option<String> {
        self.away = Some(Instant::now() + PAUSE);
        (!was_away).then(|| away(reason))
    }

    /// Waits until reports or investigations cannot go on, and returns why.
    pub async fn failed(&mut self) -> anyhow::Error {
        match &mut self.triage {
            LinkState::Open(answering) => answering.failed().await,
            LinkState::Opening(_) => std::future::pending().await,
        }
    }

    /// Waits for what is under way, within reason, and ends.
    pub async fn stop(self) -> Result<()> {
        match self.triage {
            LinkState::Open(answering) if self.away.is_none() => answering.stop().await,
            LinkState::Open(_) | LinkState::Opening(_) => Ok(()),
        }
    }
}

fn away(reason: &str) -> String {
    format!(
        "the store of alerts cannot be used: {reason}; detection goes on, alerts are written to their file, and what is for the store waits in the state"
    )
}

/// Returns whether the store may answer later.
fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_store = cause.downcast_ref::<AlertStoreError>();
        let of_triage = match cause.downcast_ref::<TriageError>() {
            Some(TriageError::Store(error)) => Some(error),
            _ => None,
        };
        of_store.or(of_triage).is_some_and(AlertStoreError::is_away)
    })
}

/// Returns whether another try cannot help.
fn is_final(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<AlertStoreError>(),
            Some(AlertStoreError::TakenOver | AlertStoreError::Damaged { .. })
        ) || matches!(
            cause.downcast_ref::<TriageError>(),
            Some(
                TriageError::Gap { .. }
                    | TriageError::Store(
                        AlertStoreError::TakenOver | AlertStoreError::Damaged { .. }
                    )
            )
        )
    })
}
