//! From lines of alerts to reports: the triage with what it needs from outside, as a configuration names it.

mod audit;
mod link;
mod plugins;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::runtime::Handle;
use yagura_alerts::email::EmailNotifier;
use yagura_alerts::policy::{CompiledPolicy, Level, Notifier, Policy, PolicyFile};
use yagura_alerts::ports::Notify;
use yagura_alerts::{
    Clock, Deliver, DeliverOptions, Feed, Followed, Investigate, InvestigateOptions, Investigators,
    Store, Triage, TriageError,
};
use yagura_core::names::did_you_mean;
use yagura_core::report::AlertLine;
use yagura_core::{Grants, Pack, Timestamp};
use yagura_http::{self as http, HttpService, Secrets, SystemResolver, Transport};
use yagura_host::{Host, Search, Services};
use yagura_packs::grants::{Answer, Asks};

use crate::config::Config;
use crate::exit::RuleFault;
use crate::operator;

pub(crate) use link::Link;

pub(crate) use plugins::{reach, read as read_component};
pub(crate) use services::{TIME, text_column};

/// The network, with the secrets of a configuration, and what is granted.
pub(crate) struct Network {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) grants: Grants,
    secrets: Arc<Secrets>,
}

impl Network {
    /// Reads the grants; no secret is read before it is used.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let secrets = Arc::new(services::secrets(config)?);
        let live = http::Live::new(Arc::clone(&secrets), Arc::new(SystemResolver))
            .context("cannot set up HTTP")?;
        Ok(Self {
            transport: Arc::new(live),
            grants: operator::grants(config.grants.as_deref())?,
            secrets,
        })
    }
}

/// Reads a policy, and tells what looks wrong with it.
///
/// # Errors
/// What keeps it from being used, a line for each.
pub(crate) fn read_policy(
    file: &Path,
    rules: Option<&BTreeSet<String>>,
    err: &mut impl Write,
) -> Result<(PolicyFile, CompiledPolicy)> {
    let policy = Policy::read(file)?;
    let problems = policy.lint(rules, now());
    let (errors, warnings): (Vec<_>, Vec<_>) = problems
        .into_iter()
        .partition(|problem| problem.level == Level::Error);
    for warning in warnings {
        writeln!(err, "warning: {warning}")?;
    }
    if !errors.is_empty() {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(RuleFault(lines.join("\n")).into());
    }
    let compiled = policy.compile().map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        RuleFault(lines.join("\n"))
    })?;
    Ok((policy, compiled))
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

/// The triage of a service, with its workers.
pub(crate) struct Answering {
    triage: Triage,
    deliver: Deliver,
    investigate: Investigate,
    audit: audit::Writer,
}

impl Answering {
    /// Opens the store of alerts, loads the plugins of the policy in `file`, and begins to work. `rules` are the ids of the rules
    /// that run; `feed` is what the state has for the store.
    async fn open(
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
        let store = Store::open(&location, Clock::system()).await?;
        let network = Network::open(config)?;
        let audit = audit::Writer::start(store.clone());
        let ports = Ports::load(config, host, &policy.policy, &network, &store, &audit).await?;
        for lint in lints(config, &policy.policy, &network.grants) {
            writeln!(err, "warning: {lint}")?;
        }
        let rules: Vec<String> = rules.iter().cloned().collect();
        let triage = Triage::open(&store, Arc::new(compiled), &rules).await?;
        if let Followed::Anew { taken, next } = triage.follow(feed).await? {
            writeln!(
                err,
                "the store of alerts {location} has taken {taken} lines of another state, or of this one when it was newer: it goes on with line {next}, and alerts that it knows stay in their incidents"
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
    pub(crate) async fn last(&self) -> Result<i64> {
        Ok(self.triage.last().await?)
    }

    /// Hands lines to the triage, and returns the number of the last one that it has then.
    pub(crate) async fn take(&self, lines: &[(i64, String)]) -> Result<i64> {
        let lines = lines
            .iter()
            .map(|(_, line)| serde_json::from_str::<AlertLine>(line))
            .collect::<Result<Vec<_>, _>>()
            .context("a line of the alerts cannot be read back")?;
        match self.triage.take(&lines).await {
            Ok(taken) => Ok(taken.seq),
            Err(error @ TriageError::Gap { .. }) => Err(anyhow!(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns how many reports were given up, by notifier.
    pub(crate) async fn dead_letters(&self) -> Result<BTreeMap<String, u64>> {
        Ok(self.triage.store().count_dead_letters().await?)
    }

    /// Waits until reports or investigations cannot go on, and returns why.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let error = tokio::select! {
            error = self.deliver.failed() => error,
            error = self.investigate.failed() => error,
        };
        error.into()
    }

    /// Waits for what is under way, and ends.
    pub(crate) async fn stop(self) -> Result<()> {
        let (delivered, investigated) = tokio::join!(self.deliver.stop(), self.investigate.stop());
        self.audit.stop().await;
        delivered?;
        Ok(investigated?)
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What the triage needs from outside.
struct Ports {
    notifiers: BTreeMap<String, Arc<dyn Notify>>,
    investigators: Investigators,
}

impl Ports {
    async fn load(
        config: &Config,
        host: &Host,
        policy: &Policy,
        network: &Network,
        store: &Store,
        audit: &audit::Writer,
    ) -> Result<Self> {
        let runtime = Handle::current();
        let http = HttpService::new(Arc::clone(&network.transport), runtime.clone())
            .with_log(audit.log())
            .with_cache(Arc::new(audit::Kept(store.clone())));
        let search = Arc::new(services::lake_search(config, runtime).await?);
        let shelf = shelf(config, host, &network.grants, http, search)?;
        // Opening a plugin may call servers: not on a thread that drives tasks.
        tokio::task::block_in_place(|| Self::open(policy, &shelf, &network.secrets))
    }

    fn open(policy: &Policy, shelf: &plugins::Shelf<'_>, secrets: &Arc<Secrets>) -> Result<Self> {
        let mut notifiers = BTreeMap::new();
        for (name, settings) in &policy.notifier {
            let port = notifier(name, settings, shelf, secrets)?;
            notifiers.insert(name.clone(), port);
        }
        let enrichers = policy.enrich.iter().map(|one| shelf.enricher(one));
        let reviewers = policy.review.iter();
        let reviewers = reviewers.map(|one| shelf.reviewer(&one.plugin, &one.config));
        Ok(Self {
            notifiers,
            investigators: Investigators {
                enrichers: enrichers.collect::<Result<_>>()?,
                reviewers: reviewers.collect::<Result<_>>()?,
            },
        })
    }
}

/// Reads the packs and lookup tables of a configuration for its plugins.
fn shelf<'a>(
    config: &Config,
    host: &'a Host,
    grants: &Grants,
    http: HttpService,
    search: Arc<dyn Search>,
) -> Result<plugins::Shelf<'a>> {
    let mut lookups = services::Lookups::new(config)?;
    let mut packs = BTreeMap::new();
    let mut own_lookups = BTreeMap::new();
    for dir in &config.packs {
        let mut pack = Pack::read(dir)?;
        let name = pack.manifest.pack.name.clone();
        pack.manifest.bound(&grants.most_limits(&name));
        if let Some(grant) = grants.pack.get(&name) {
            lookups.add_directories(&name, grant)?;
        }
        let names = lookups.add_pack(&name, dir)?;
        own_lookups.insert(name.clone(), names);
        packs.insert(name, pack);
    }
    Ok(plugins::Shelf {
        host,
        packs,
        grants: grants.clone(),
        services: Services {
            http: Arc::new(http),
            search,
            lookup: Arc::new(lookups),
        },
        own_lookups,
    })
}

/// Opens the plugins of a policy as a service would, but without network, and returns what looks wrong with what they may
/// reach.
///
/// # Errors
/// What would keep the service from starting.
pub(crate) fn try_plugins(config: &Config, host: &Host, policy: &Policy) -> Result<Vec<String>> {
    let offline = Arc::new(http::Replay::new(Vec::new()));
    let http = HttpService::new(offline, Handle::current());
    let grants = operator::grants(config.grants.as_deref())?;
    let shelf = shelf(config, host, &grants, http, Arc::new(services::NoSearch))?;
    let secrets = Arc::new(services::secrets(config)?);
    Ports::open(policy, &shelf, &secrets)?;
    Ok(lints(config, policy, &grants))
}

/// Says what a policy's plugins ask for and nothing grants, and which secrets they would not get: what would be found out
/// only with the first alert.
fn lints(config: &Config, policy: &Policy, grants: &Grants) -> Vec<String> {
    let mut found = Vec::new();
    let known = services::secrets(config);
    let packs: Vec<Pack> = config
        .packs
        .iter()
        .filter_map(|dir| Pack::read(dir).ok())
        .collect();
    let names = || packs.iter().map(|pack| pack.manifest.pack.name.as_str());
    for name in grants
        .pack
        .keys()
        .filter(|name| !names().any(|known| known == *name))
    {
        let hint = did_you_mean(name, names());
        found.push(format!(
            "`[pack.{name}]` of the grants is for no pack of the configuration{hint}"
        ));
    }
    let plugins = policy
        .notifier
        .values()
        .filter_map(|notifier| notifier.plugin.as_ref());
    let plugins = plugins.chain(policy.enrich.iter().map(|one| &one.plugin));
    let plugins: BTreeSet<&String> = plugins
        .chain(policy.review.iter().map(|one| &one.plugin))
        .collect();
    let mut secrets = BTreeSet::new();
    for plugin in plugins {
        let Some((name, file)) = plugin.split_once('/') else {
            continue;
        };
        let Some(pack) = packs.iter().find(|pack| pack.manifest.pack.name == name) else {
            continue;
        };
        let grant = grants.pack.get(name).cloned().unwrap_or_default();
        let mut asks = Asks::of(&pack.manifest);
        asks.0.retain(|of, _| of == file);
        for asked in asks.compare(name, &grant).missing() {
            if let Answer::Missing(line) = &asked.answer {
                found.push(format!(
                    "the plugin `{plugin}` asks to {}, which nothing grants: {line}",
                    asked.ask
                ));
            }
        }
        secrets.extend(grant.secrets.into_keys());
    }
    let mails = policy
        .notifier
        .values()
        .filter_map(|notifier| notifier.email.as_ref());
    secrets.extend(mails.filter_map(|email| email.password.clone()));
    found.extend(
        secrets
            .iter()
            .filter_map(|name| services::secret_problem(config, known.as_ref().ok(), name)),
    );
    found
}

fn notifier(
    name: &str,
    settings: &Notifier,
    shelf: &plugins::Shelf<'_>,
    secrets: &Arc<Secrets>,
) -> Result<Arc<dyn Notify>> {
    if let Some(plugin) = &settings.plugin {
        return shelf.notifier(plugin, &settings.config);
    }
    let email = settings
        .email
        .as_ref()
        .with_context(|| format!("the notifier `{name}` has neither `plugin` nor `email`"))?;
    let secrets = Arc::clone(secrets);
    let runtime = Handle::current();
    let secret = move |name: &str| {
        tokio::task::block_in_place(|| runtime.block_on(services::secret_text(&secrets, name)))
    };
    let email = EmailNotifier::new(email, secret)
        .map_err(|error| RuleFault(format!("[notifier.{name}.email] {error}")))?;
    Ok(Arc::new(email))
}
