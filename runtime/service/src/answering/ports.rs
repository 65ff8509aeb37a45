//! The ports of a triage: notifiers, enrichers and reviewers, by plugin or by e-mail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::runtime::Handle;
use yagura_alerts::email::{EmailNotifier, EmailSecretError};
use yagura_alerts::policy::{NotifierSettings, Policy};
use yagura_alerts::ports::Notify;
use yagura_alerts::{AlertStore, Investigators};
use yagura_core::diagnostic::Key;
use yagura_core::names::did_you_mean;
use yagura_core::{Grants, OrFault, Pack};
use yagura_host::{Host, SearchPort, Services};
use yagura_http::{self as http, HttpService, Secrets};
use yagura_packs::grants::{GrantAnswer, PackRequests};

use super::audit::{CallWriter, StoredAnswers};
use super::network::Network;
use super::plugins::PolicyPlugins;
use super::services;
use crate::admission;
use crate::config::Config;

/// What the triage needs from outside.
pub(super) struct Ports {
    pub(super) notifiers: BTreeMap<String, Arc<dyn Notify>>,
    pub(super) investigators: Investigators,
}

impl Ports {
    pub(super) async fn load(
        config: &Config,
        host: &Host,
        policy: &Policy,
        network: &Network,
        store: &AlertStore,
        audit: &CallWriter,
    ) -> Result<Self> {
        let runtime = Handle::current();
        let http = HttpService::new(Arc::clone(&network.transport), runtime.clone())
            .with_log(audit.log())
            .with_cache(Arc::new(StoredAnswers(store.clone())));
        let search = Arc::new(services::lake_search(config, runtime).await?);
        let plugins = policy_plugins(config, host, &network.grants, http, search)?;
        // Opening a plugin may call servers: not on a thread that drives tasks.
        tokio::task::block_in_place(|| Self::open(policy, &plugins, &network.secrets))
    }

    fn open(policy: &Policy, plugins: &PolicyPlugins<'_>, secrets: &Arc<Secrets>) -> Result<Self> {
        let mut notifiers = BTreeMap::new();
        for (name, settings) in &policy.notifier {
            let port = notifier(name, settings, plugins, secrets)?;
            notifiers.insert(name.clone(), port);
        }
        let enrichers = policy.enrich.iter().map(|one| plugins.enricher(one));
        let reviewers = policy.review.iter();
        let reviewers = reviewers.map(|one| plugins.reviewer(&one.plugin, &one.config));
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
fn policy_plugins<'a>(
    config: &Config,
    host: &'a Host,
    grants: &Grants,
    http: HttpService,
    search: Arc<dyn SearchPort>,
) -> Result<PolicyPlugins<'a>> {
    let mut lookups = services::Lookups::new(config)?;
    let mut packs = BTreeMap::new();
    let mut own_lookups = BTreeMap::new();
    for dir in &config.packs {
        let mut pack = Pack::read(dir).or_fault()?;
        let name = pack.manifest.pack.name.clone();
        pack.manifest.bound(grants);
        if let Some(grant) = grants.pack.get(&name) {
            lookups.add_directories(&name, grant)?;
        }
        let names = lookups.add_pack(&name, dir)?;
        own_lookups.insert(name.clone(), names);
        packs.insert(name, pack);
    }
    Ok(PolicyPlugins {
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

/// Opens the plugins of a policy as a service would, but without network. Returns warnings about what they may reach.
///
/// # Errors
/// When the service could not start with these plugins.
pub fn try_plugins(config: &Config, host: &Host, policy: &Policy) -> Result<Vec<String>> {
    let offline = Arc::new(http::Replay::new(Vec::new()));
    let http = HttpService::new(offline, Handle::current());
    let grants = admission::grants(config.grants.as_deref())?;
    let plugins = policy_plugins(config, host, &grants, http, Arc::new(services::NoSearch))?;
    let secrets = Arc::new(services::secrets(config)?);
    Ports::open(policy, &plugins, &secrets)?;
    Ok(warnings(config, policy, &grants))
}

/// Returns warnings about what a policy's plugins ask for and nothing grants, and about secrets that they would not get.
/// Otherwise that shows only with the first alert.
pub(super) fn warnings(config: &Config, policy: &Policy, grants: &Grants) -> Vec<String> {
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
        let mut asks = PackRequests::of(&pack.manifest);
        asks.0.retain(|of, _| of == file);
        for asked in asks.compare(name, &grant).missing() {
            if let GrantAnswer::Missing(line) = &asked.answer {
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
    settings: &NotifierSettings,
    plugins: &PolicyPlugins<'_>,
    secrets: &Arc<Secrets>,
) -> Result<Arc<dyn Notify>> {
    if let Some(plugin) = &settings.plugin {
        return plugins.notifier(plugin, &settings.config);
    }
    let email = settings
        .email
        .as_ref()
        .with_context(|| format!("the notifier `{name}` has neither `plugin` nor `email`"))?;
    let secrets = Arc::clone(secrets);
    let runtime = Handle::current();
    let secret = move |name: &str| {
        let text =
            tokio::task::block_in_place(|| runtime.block_on(services::secret_text(&secrets, name)));
        text.map_err(|error| EmailSecretError(error.to_string()))
    };
    let key = Key::top("notifier").name(name).name("email");
    let email = EmailNotifier::new(email, secret).map_err(|error| error.under(&key));
    let email = email.or_fault()?;
    Ok(Arc::new(email))
}
