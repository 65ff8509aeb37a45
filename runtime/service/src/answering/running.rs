//! A triage at work, with its deliveries and investigations.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::timeout;
use yagura_alerts::{
    AlertStore, Clock, Deliver, DeliverOptions, Feed, FeedPosition, Investigate,
    InvestigateOptions, Triage, TriageError,
};
use yagura_engine::live::CommittedLine;
use yagura_host::Host;

use super::audit::CallWriter;
use super::network::Network;
use super::policy::read_policy;
use super::ports::{Ports, warnings};
use crate::config::Config;

/// How long the end of a service waits for the connections of its store.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// The triage of a service, with its workers.
pub(super) struct RunningTriage {
    triage: Triage,
    deliver: Deliver,
    investigate: Investigate,
    audit: CallWriter,
}

impl RunningTriage {
    /// Opens the store of alerts, loads the plugins of the policy in `file`, and begins to work. `rules` are the ids of the rules
    /// that run; `feed` is what the state has for the store.
    pub(super) async fn open(
        config: &Config,
        host: &Host,
        file: &Path,
        rules: &BTreeSet<String>,
        feed: Feed,
        err: &mut impl Write,
    ) -> Result<Self> {
        let (policy, compiled) = read_policy(file, Some(rules), err)?;
        let location = config.store_location()?;
        if let Some(dir) = location.file().and_then(Path::parent) {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        }
        let store = AlertStore::open(&location, Clock::system()).await?;
        let network = Network::open(config)?;
        let audit = CallWriter::start(store.clone());
        let ports = Ports::load(config, host, &policy.policy, &network, &store, &audit).await?;
        for lint in warnings(config, &policy.policy, &network.grants) {
            writeln!(err, "warning: {lint}")?;
        }
        let rules: Vec<String> = rules.iter().cloned().collect();
        let triage = Triage::open(&store, Arc::new(compiled), &rules).await?;
        if let FeedPosition::Anew { taken, next } = triage.follow(feed).await? {
            writeln!(
                err,
                "the store of alerts {location} already has {taken} lines of another state, or of this one when it was newer: it goes on with line {next}, and alerts that it knows stay in their incidents"
            )?;
        }
        let deliver = Deliver::start(&triage, ports.notifiers, DeliverOptions::default());
        let investigate =
            Investigate::start(&triage, ports.investigators, InvestigateOptions::default());
        writeln!(
            err,
            "policy {}: {}, {}, {}; alerts are kept in {location}",
            file.display(),
            counted(policy.policy.notifier.len(), "notifier"),
            counted(policy.policy.enrich.len(), "enricher"),
            counted(policy.policy.review.len(), "reviewer")
        )?;
        Ok(Self {
            triage,
            deliver,
            investigate,
            audit,
        })
    }

    /// Returns the number of the last line that the triage has.
    pub(super) async fn last(&self) -> Result<i64> {
        Ok(self.triage.last().await?)
    }

    /// Hands lines to the triage, and returns the number of the last one that it has then.
    pub(super) async fn take(&self, lines: &[CommittedLine]) -> Result<i64> {
        match self.triage.take(lines.iter().map(|line| &line.line)).await {
            Ok(taken) => Ok(taken.seq),
            Err(error @ TriageError::Gap { .. }) => Err(anyhow!(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns how many reports were given up, by notifier.
    pub(super) async fn dead_letters(&self) -> Result<BTreeMap<String, u64>> {
        Ok(self.triage.store().count_dead_letters().await?)
    }

    /// Waits until reports or investigations cannot go on, and returns why.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let error = tokio::select! {
            error = self.deliver.failed() => error,
            error = self.investigate.failed() => error,
        };
        error.into()
    }

    /// Waits for what is under way, and ends.
    pub(super) async fn stop(self) -> Result<()> {
        let (delivered, investigated) = tokio::join!(self.deliver.stop(), self.investigate.stop());
        self.audit.stop().await;
        // SQLite moves its log into the file, which then is whole by itself.
        let closed = timeout(CLOSED_WITHIN, self.triage.store().close());
        if closed.await.is_err() {
            tracing::debug!("the store of alerts is still in use; its log stays beside it");
        }
        delivered?;
        Ok(investigated?)
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
