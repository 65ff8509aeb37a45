//! `[listen.NAME]`: syslog from sockets, as raw objects for a source.

mod settings;
mod watch;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use yagura_core::Timestamp;
use yagura_core::shown::printable;
use yagura_engine::live::SourceTrouble;
use yagura_lake::Location;
use yagura_listen::{Bound, Listener};

pub use self::settings::{CompressionName, FramingName, ListenSettings};
pub use self::watch::{ListenStatus, listen_statuses};
use self::watch::{Troubles, make_folder, now, write_status};
use crate::config::Config;
use crate::signals::Stop;

/// How long a stop waits for the store.
const LAST_WRITE: Duration = Duration::from_secs(20);

/// The listeners of a process, until they are stopped.
#[derive(Debug)]
pub(crate) struct Listening {
    listeners: Arc<Vec<Listener>>,
    watch: JoinHandle<()>,
    messages: mpsc::UnboundedReceiver<String>,
    troubles: Arc<Mutex<Troubles>>,
    state: PathBuf,
    started: Timestamp,
}

impl Listening {
    /// Opens the sockets of a configuration, and says where it listens.
    pub(crate) async fn start(config: &Config, err: &mut impl Write) -> Result<Self> {
        let state = config.serve.clone().unwrap_or_default().state;
        let mut listeners = Vec::new();
        for (name, settings) in &config.listen {
            let at = || format!("[listen.{name}] of the configuration");
            let options = settings.open(name).with_context(at)?;
            must_be_raw(config, settings).with_context(at)?;
            if config.lake.is_some() && !is_collected(config, settings)? {
                writeln!(
                    err,
                    "warning: listener {name}: no [source.…] of the configuration has a `url` that holds {}: its messages become no events here",
                    Location::parse(&settings.url, &settings.options)?
                )?;
            }
            let listener = Listener::start(options).await.with_context(at)?;
            for (transport, address) in sockets(listener.bound()) {
                writeln!(
                    err,
                    "listener {name}: {transport} {address}, objects to {}",
                    Location::parse(&settings.url, &settings.options)?
                )?;
                if !address.ip().is_loopback()
                    && settings.allow.is_empty()
                    && settings.client_ca.is_none()
                {
                    writeln!(
                        err,
                        "warning: listener {name}: everyone who reaches {transport} {address} can write events: give `allow`, or `client_ca` with `tls`"
                    )?;
                }
            }
            listeners.push(listener);
        }
        if !listeners.is_empty() {
            make_folder(&state)?;
        }
        let listeners = Arc::new(listeners);
        let (sender, messages) = mpsc::unbounded_channel();
        let troubles = Arc::default();
        let started = now();
        let watch = tokio::spawn(watch::watch(
            Arc::clone(&listeners),
            sender,
            Arc::clone(&troubles),
            state.clone(),
            started,
        ));
        Ok(Self {
            listeners,
            watch,
            messages,
            troubles,
            state,
            started,
        })
    }

    /// Waits for what an operator should know; for ever where nothing listens.
    pub(crate) async fn next(&mut self) -> String {
        match self.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// Returns the listeners that lose messages, or cannot write them.
    pub(crate) fn troubles(&self) -> Vec<SourceTrouble> {
        let troubles = self.troubles.lock();
        let troubles = troubles.unwrap_or_else(PoisonError::into_inner);
        troubles.values().cloned().collect()
    }

    /// Ends them, and writes what they have received.
    ///
    /// # Errors
    /// When messages are lost, because the store does not take them.
    pub(crate) async fn stop(self, err: &mut impl Write) -> Result<()> {
        self.watch.abort();
        let _ = self.watch.await;
        // The task that shared them has ended.
        let listeners = Arc::into_inner(self.listeners).unwrap_or_default();
        let mut lost = None;
        for listener in listeners {
            let name = listener.name().to_owned();
            let stopped = listener.stop(LAST_WRITE).await;
            let counts = stopped.counts;
            write_status(&self.state, &name, self.started, &counts)?;
            writeln!(
                err,
                "listener {name}: {} messages received, {} written to {} objects",
                counts.received, counts.written, counts.objects
            )?;
            if stopped.lost > 0 {
                let why = counts
                    .trouble
                    .unwrap_or_else(|| "the store is slow".to_owned());
                lost.get_or_insert(format!(
                    "listener {name}: {} messages are lost, because they could not be written within {} s: {why}",
                    stopped.lost,
                    LAST_WRITE.as_secs()
                ));
            }
        }
        match lost {
            Some(lost) => bail!("{}", printable(&lost)),
            None => Ok(()),
        }
    }
}

/// Runs the listeners of a configuration and nothing else, until the process is asked to end.
///
/// # Errors
/// Whatever keeps them from starting, and messages that are lost at the end.
pub async fn listen(config: &Path, mut err: impl Write) -> Result<()> {
    let stop = Stop::watch();
    let config = Config::read(config)?;
    if config.listen.is_empty() {
        bail!(
            "the configuration has no listener: write [listen.NAME] with `udp`, `tcp` or `tls`, and `url`"
        );
    }
    let mut listening = Listening::start(&config, &mut err).await?;
    let mut stop = stop.end_start();
    loop {
        tokio::select! {
            () = stop.wait() => break,
            message = listening.next() => writeln!(err, "{}", printable(&message))?,
        }
    }
    listening.stop(&mut err).await
}

/// Refuses a place that holds tables: the lake must hold nothing else.
fn must_be_raw(config: &Config, settings: &ListenSettings) -> Result<()> {
    let Some(lake) = &config.lake else {
        return Ok(());
    };
    let lake = Location::parse(&lake.url, &lake.options)?;
    let to = Location::parse(&settings.url, &settings.options)?;
    if to.base == lake.base && to.prefix.prefix_matches(&lake.prefix) {
        bail!(
            "its `url` {to} lies in the lake {lake}, whose folders are tables: give the raw logs a prefix of their own"
        );
    }
    Ok(())
}

/// Says whether a source of the configuration collects what a listener writes.
fn is_collected(config: &Config, settings: &ListenSettings) -> Result<bool> {
    let to = Location::parse(&settings.url, &settings.options)?;
    for source in config.source.values() {
        let from = Location::parse(&source.url, &source.options)?;
        if from.base == to.base && to.prefix.prefix_matches(&from.prefix) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn sockets(bound: Bound) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    [("udp", bound.udp), ("tcp", bound.tcp), ("tls", bound.tls)]
        .into_iter()
        .filter_map(|(name, address)| Some((name, address?)))
}
