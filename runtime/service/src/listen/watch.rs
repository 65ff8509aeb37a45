//! What listeners count: kept for `yagura source status`, named in the log, and reported as trouble.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use yagura_core::Timestamp;
use yagura_engine::live::SourceTrouble;
use yagura_listen::{ListenCounts, Listener};

/// What `yagura source status` shows of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenStatus {
    /// Its name in the configuration.
    pub listener: String,
    /// When the process began to listen.
    pub started: Timestamp,
    /// When this was written.
    pub written_at: Timestamp,
    /// What it received and what became of it.
    #[serde(flatten)]
    pub counts: ListenCounts,
}

/// The folder of the listeners' counts in a folder of state.
const FOLDER: &str = "listen";
/// How often the counts are written.
const EVERY: Duration = Duration::from_secs(5);
/// How often what goes wrong is named.
const NAMED_EVERY: Duration = Duration::from_secs(60);

/// What is wrong, by the listener's name.
pub(super) type Troubles = BTreeMap<String, SourceTrouble>;

/// Makes the folder of the counts.
pub(super) fn make_folder(state: &Path) -> Result<()> {
    let folder = state.join(FOLDER);
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Returns what the listeners of a service last wrote of themselves, in order of their names.
///
/// # Errors
/// When a file cannot be read.
pub fn listen_statuses(state: &Path) -> Result<Vec<ListenStatus>> {
    let folder = state.join(FOLDER);
    let Ok(entries) = fs::read_dir(&folder) else {
        return Ok(Vec::new());
    };
    let mut statuses = Vec::new();
    for entry in entries {
        let file = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        if file.extension().is_none_or(|of| of != "json") {
            continue;
        }
        let shown = || format!("cannot read {}", file.display());
        let text = fs::read(&file).with_context(shown)?;
        statuses.push(serde_json::from_slice(&text).with_context(shown)?);
    }
    statuses.sort_by(|a: &ListenStatus, b| a.listener.cmp(&b.listener));
    Ok(statuses)
}

/// Writes the counts, and names what goes wrong.
pub(super) async fn watch(
    listeners: Arc<Vec<Listener>>,
    messages: mpsc::UnboundedSender<String>,
    troubles: Arc<Mutex<Troubles>>,
    state: PathBuf,
    started: Timestamp,
) {
    if listeners.is_empty() {
        return;
    }
    let mut named: Vec<ListenCounts> = vec![ListenCounts::default(); listeners.len()];
    let mut last = tokio::time::Instant::now();
    let mut unwritable = String::new();
    loop {
        let is_due = last.elapsed() >= NAMED_EVERY;
        for (listener, named) in listeners.iter().zip(&mut named) {
            let counts = listener.counts();
            if let Err(error) = write_status(&state, listener.name(), started, &counts) {
                let text = format!("warning: {error:#}");
                if text != unwritable {
                    unwritable.clone_from(&text);
                    let _ = messages.send(text);
                }
            }
            let is_new = counts.trouble.is_some() && named.trouble.is_none();
            let drops = counts.all_dropped() > 0 && named.all_dropped() == 0;
            if is_due || is_new || drops {
                let mut troubles = troubles.lock().unwrap_or_else(PoisonError::into_inner);
                // It lasts until a minute has passed without it.
                match trouble(listener.name(), named, &counts) {
                    Some(trouble) => troubles.insert(listener.name().to_owned(), trouble),
                    None => troubles.remove(listener.name()),
                };
                for line in lines(listener.name(), named, &counts) {
                    let _ = messages.send(line);
                }
                *named = counts;
            }
        }
        if is_due {
            last = tokio::time::Instant::now();
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Returns what goes wrong with a listener, if messages are lost or cannot be written.
fn trouble(name: &str, before: &ListenCounts, now: &ListenCounts) -> Option<SourceTrouble> {
    let dropped = now.all_dropped().saturating_sub(before.all_dropped());
    let (title, details) = if dropped > 0 {
        // In powers of ten, so that the trouble seldom changes while it lasts.
        let about = 10_u64.saturating_pow(now.all_dropped().ilog10());
        (
            format!("listener `{name}` drops datagrams: rules miss what is in them"),
            vec![("dropped since it was started", format!("at least {about}"))],
        )
    } else {
        let trouble = now.trouble.clone()?;
        (
            format!("listener `{name}` cannot write what it receives: rules do not see it"),
            vec![("problem", trouble)],
        )
    };
    Some(SourceTrouble {
        source: format!("listen.{name}"),
        title,
        details,
    })
}

/// Returns a line for each thing that went wrong since `before`.
fn lines(name: &str, before: &ListenCounts, now: &ListenCounts) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |before: u64, now: u64, what: &str| {
        let more = now.saturating_sub(before);
        if more > 0 {
            lines.push(format!("warning: listener {name}: {more} {what}"));
        }
    };
    say(
        before.dropped,
        now.dropped,
        "datagrams dropped: objects are not written as fast as messages come",
    );
    say(
        before.dropped_by_system,
        now.dropped_by_system,
        "datagrams dropped by the system: they come faster than they are read; raise net.core.rmem_max",
    );
    say(
        before.cut,
        now.cut,
        "messages longer than `message_kib`; their ends are not kept",
    );
    say(
        before.incomplete,
        now.incomplete,
        "messages within which their connection ended",
    );
    say(
        before.without_count,
        now.without_count,
        "connections closed: a message had no count, and `framing` requires one",
    );
    say(
        before.refused,
        now.refused,
        "connections refused: `connections` are open already",
    );
    say(
        before.not_allowed,
        now.not_allowed,
        "datagrams and connections of peers that `allow` does not name",
    );
    let why = now.last_failure.as_deref().unwrap_or_default();
    say(
        before.failed,
        now.failed,
        &format!("connections failed; the last: {why}"),
    );
    if let Some(trouble) = &now.trouble
        && before.trouble.as_ref() != Some(trouble)
    {
        lines.push(format!(
            "warning: listener {name}: {trouble}; it is tried again"
        ));
    }
    lines
}

pub(super) fn write_status(
    state: &Path,
    name: &str,
    started: Timestamp,
    counts: &ListenCounts,
) -> Result<()> {
    let folder = state.join(FOLDER);
    let file = folder.join(format!("{name}.json"));
    let cannot = || format!("cannot write {}", file.display());
    let status = ListenStatus {
        listener: name.to_owned(),
        started,
        written_at: now(),
        counts: counts.clone(),
    };
    let mut new = tempfile::NamedTempFile::new_in(&folder).with_context(cannot)?;
    serde_json::to_writer(&mut new, &status).with_context(cannot)?;
    new.persist(&file)
        .map_err(|error| error.error)
        .with_context(cannot)?;
    Ok(())
}

/// Returns the time of the clock.
pub(super) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    Timestamp::clamped(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_is_named_by_its_growth() {
        let before = ListenCounts {
            dropped: 3,
            ..ListenCounts::default()
        };
        let mut now = before.clone();
        assert_eq!(lines("edge", &before, &now), Vec::<String>::new());
        assert_eq!(trouble("edge", &before, &now), None);
        now.dropped = 10;
        now.cut = 1;
        let said = lines("edge", &before, &now);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("warning: listener edge: 7 datagrams dropped"));
        let trouble = trouble("edge", &before, &now).unwrap();
        assert_eq!(trouble.source, "listen.edge");
        assert_eq!(trouble.details[0].1, "at least 10");
    }
}
