//! The desk as a service sees it: its store may be away for a while, and detection goes on.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::timeout;
use yagura_alerts::{DeskError, StoreError};
use yagura_engine::live::Live;
use yagura_host::Host;

use super::Answering;
use crate::config::Config;

/// How long a step waits for the store of alerts.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it is left alone then.
const PAUSE: Duration = Duration::from_secs(5);
/// Lines that are handed over at once when it is back.
const AT_ONCE: usize = 5_000;

/// The desk of a service, and how far it is.
pub(crate) struct Link {
    answering: Answering,
    /// Number of the last line that it has.
    taken: i64,
    /// When it is asked again, while its store is away.
    away: Option<Instant>,
    /// It lacks lines that were committed before.
    is_behind: bool,
}

impl Link {
    /// Opens the desk; nothing where there is no policy. As [`Answering::open`].
    pub(crate) async fn open(
        config: &Config,
        host: &Host,
        rules: BTreeSet<String>,
        written: i64,
        err: &mut impl Write,
    ) -> Result<Option<Self>> {
        let Some(answering) = Answering::open(config, host, rules, written, err).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            taken: answering.last().await?,
            answering,
            away: None,
            is_behind: false,
        }))
    }

    /// Returns the number of the last line that the desk has.
    pub(crate) fn taken(&self) -> i64 {
        self.taken
    }

    /// Hands lines to the desk. While its store is away they stay in the state, and are handed over when it is back. Returns what
    /// to tell.
    ///
    /// # Errors
    /// When the desk cannot go on at all.
    pub(crate) async fn hand(
        &mut self,
        live: &Live,
        lines: &[(i64, String)],
    ) -> Result<Option<String>> {
        if self.away.is_some_and(|next| Instant::now() < next) {
            return Ok(None);
        }
        let was_away = self.away.is_some();
        let is_behind = was_away || self.is_behind;
        if lines.is_empty() && !is_behind {
            return Ok(None);
        }
        let taken = timeout(ANSWER, async {
            if !is_behind {
                return self.answering.take(lines).await;
            }
            // What was asked for before the store went may have been done.
            let from = self.answering.last().await?;
            self.answering.take(&live.lines_after(from, AT_ONCE)?).await
        });
        match taken.await {
            Ok(Ok(taken)) => {
                self.taken = taken;
                self.away = None;
                self.is_behind = taken < live.last_line();
                Ok(was_away.then(|| "the store of alerts answers again".to_owned()))
            }
            Ok(Err(error)) if is_final(&error) => Err(error),
            Ok(Err(error)) => Ok(self.lose(was_away, &format!("{error:#}"))),
            Err(_) => Ok(self.lose(was_away, "it does not answer")),
        }
    }

    /// Takes note that the store is away.
    fn lose(&mut self, was_away: bool, reason: &str) -> Option<String> {
        self.away = Some(Instant::now() + PAUSE);
        let message = || {
            format!(
                "the store of alerts cannot be used: {reason}; detection goes on, alerts are written to their file, and what is for the store waits in the state"
            )
        };
        (!was_away).then(message)
    }

    /// Waits until reports or investigations cannot go on, and returns why.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        self.answering.failed().await
    }

    /// Waits for what is under way, within reason, and ends.
    pub(crate) async fn stop(self) -> Result<()> {
        if self.away.is_some() {
            return Ok(());
        }
        self.answering.stop().await
    }
}

/// Says whether trying again is of no use.
fn is_final(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<StoreError>(),
            Some(StoreError::TakenOver | StoreError::Damaged { .. })
        ) || matches!(
            cause.downcast_ref::<DeskError>(),
            Some(
                DeskError::Gap { .. }
                    | DeskError::Begun { .. }
                    | DeskError::Store(StoreError::TakenOver | StoreError::Damaged { .. })
            )
        )
    })
}
