//! Plugins as the ports of a triage: they notify, enrich and review.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use yagura_alerts::policy::{EnrichLimit, Enrichment};
use yagura_alerts::ports::{Enrich, Failure, Notify, Review};
use yagura_core::capability::GrantedAccess;
use yagura_core::names::did_you_mean;
use yagura_core::pack::{PluginManifest, World};
use yagura_core::report::{Assessment, Attribute, Enriched, Report, ReportAlert};
use yagura_core::{Fault, Grant, Grants, OrFault, Pack, TimeSpan};
use yagura_host::{
    CallError, Capabilities, Enricher, EnricherPlugin, Host, InstancePool, Notifier,
    NotifierPlugin, PluginError, PluginInstance, Reviewer, ReviewerPlugin, Services,
};
use yagura_http::{self as http, CallOutcome, HttpPolicy, PluginId};

/// The packs that a policy's plugins come from.
pub(super) struct PolicyPlugins<'a> {
    pub(super) host: &'a Host,
    pub(super) packs: BTreeMap<String, Pack>,
    pub(super) grants: Grants,
    pub(super) services: Services,
    /// Lookup tables of each pack.
    pub(super) own_lookups: BTreeMap<String, Vec<String>>,
}

/// A plugin that a policy names, with its configuration.
struct PolicyPlugin<'a> {
    manifest: &'a PluginManifest,
    file: PathBuf,
    bytes: Vec<u8>,
    capabilities: Capabilities,
    config: String,
}

impl PolicyPlugins<'_> {
    /// Loads a notifier and opens it once, so that a wrong configuration is an error at the start.
    pub(super) fn notifier(&self, name: &str, config: &toml::Table) -> Result<Arc<dyn Notify>> {
        let found = self.find(name, World::Notifier, config, HttpPolicy::default())?;
        let plugin = self
            .host
            .load_notifier(
                &found.file.display().to_string(),
                &found.bytes,
                &found.manifest.limits,
            )
            .or_fault()?;
        let pool = PluginPool::open(PoolSource {
            idle: plugin.instance_pool(),
            name: name.to_owned(),
            open: move |config: &str, capabilities: &Capabilities| {
                NotifierPlugin::open(&plugin, config, capabilities)
            },
            config: found.config,
            capabilities: found.capabilities,
        })?;
        Ok(Arc::new(NotifyByPlugin(pool)))
    }

    /// Loads an enricher and opens it once.
    pub(super) fn enricher(&self, enrichment: &Enrichment) -> Result<Arc<dyn Enrich>> {
        let policy = http_policy(enrichment);
        let found = self.find(
            &enrichment.plugin,
            World::Enricher,
            &enrichment.config,
            policy,
        )?;
        let plugin = self
            .host
            .load_enricher(
                &found.file.display().to_string(),
                &found.bytes,
                &found.manifest.limits,
            )
            .or_fault()?;
        let pool = PluginPool::open(PoolSource {
            idle: plugin.instance_pool(),
            name: enrichment.plugin.clone(),
            open: move |config: &str, capabilities: &Capabilities| {
                EnricherPlugin::open(&plugin, config, capabilities)
            },
            config: found.config,
            capabilities: found.capabilities,
        })?;
        Ok(Arc::new(EnrichByPlugin(pool)))
    }

    /// Loads a reviewer and opens it once.
    pub(super) fn reviewer(&self, name: &str, config: &toml::Table) -> Result<Arc<dyn Review>> {
        let found = self.find(name, World::Reviewer, config, HttpPolicy::default())?;
        let plugin = self
            .host
            .load_reviewer(
                &found.file.display().to_string(),
                &found.bytes,
                &found.manifest.limits,
            )
            .or_fault()?;
        let pool = PluginPool::open(PoolSource {
            idle: plugin.instance_pool(),
            name: name.to_owned(),
            open: move |config: &str, capabilities: &Capabilities| {
                ReviewerPlugin::open(&plugin, config, capabilities)
            },
            config: found.config,
            capabilities: found.capabilities,
        })?;
        Ok(Arc::new(ReviewByPlugin(pool)))
    }

    fn find(
        &self,
        name: &str,
        world: World,
        config: &toml::Table,
        policy: HttpPolicy,
    ) -> Result<PolicyPlugin<'_>> {
        let fault =
            |message: String| Fault::rule(format!("the plugin `{name}` of the policy: {message}"));
        let (pack_name, file_name) = name
            .split_once('/')
            .ok_or_else(|| fault("write PACK/FILE.wasm".to_owned()))?;
        let pack = self.packs.get(pack_name).ok_or_else(|| {
            let known = self.packs.keys().map(String::as_str);
            fault(format!(
                "there is no pack `{pack_name}` among `packs` of the configuration{}",
                did_you_mean(pack_name, known)
            ))
        })?;
        let plugins = &pack.manifest.plugins;
        let manifest = plugins
            .iter()
            .find(|plugin| plugin.file == file_name)
            .ok_or_else(|| {
                let known = plugins.iter().map(|plugin| plugin.file.as_str());
                fault(format!(
                    "{} has no [[plugin]] `{file_name}`{}",
                    pack.dir.join("pack.toml").display(),
                    did_you_mean(file_name, known)
                ))
            })?;
        if manifest.world != world {
            return Err(fault(format!(
                "it is of the world `{}`, and a `{}` is needed",
                manifest.world.name(),
                world.name()
            ))
            .into());
        }
        let grant = self.grants.pack.get(pack_name).cloned().unwrap_or_default();
        let id = PluginId {
            pack: pack_name.to_owned(),
            file: file_name.to_owned(),
        };
        let capabilities = capabilities(&id, manifest, &grant, self.services.clone())
            .map_err(|problem| fault(problem.to_string()))?
            .with_http_policy(policy)
            .with_own_lookups(self.own_lookups.get(pack_name).cloned().unwrap_or_default());
        let file = pack.dir.join(file_name);
        let bytes = read(&file, pack, manifest)?;
        let mut merged = manifest.config.clone();
        merged.extend(config.clone());
        Ok(PolicyPlugin {
            manifest,
            file,
            bytes,
            capabilities,
            config: serde_json::to_string(&merged)?,
        })
    }
}

/// Returns what a plugin may reach: what its manifest requests and the operator grants.
///
/// # Errors
/// When the request or the grant names something that cannot be granted.
pub fn capabilities(
    id: &PluginId,
    manifest: &PluginManifest,
    grant: &Grant,
    services: Services,
) -> Result<Capabilities, yagura_core::Diagnostics> {
    let access = GrantedAccess::new(&id.pack, manifest.world, &manifest.request, grant)?;
    Ok(Capabilities::new(id.clone(), access, services))
}

/// Reads a component's bytes.
///
/// # Errors
/// When the file does not exist or cannot be read.
pub fn read(file: &Path, pack: &Pack, manifest: &PluginManifest) -> Result<Vec<u8>> {
    if !file.exists() && manifest.source.is_some() {
        let message = format!(
            "{} is not there yet; make it with `yagura build {}`",
            file.display(),
            pack.dir.display()
        );
        return Err(Fault::rule(message).into());
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn http_policy(enrichment: &Enrichment) -> HttpPolicy {
    let limit = |limit: &EnrichLimit| http::CallLimit {
        calls: limit.calls,
        per: limit.per.to_std(),
    };
    HttpPolicy {
        cache: enrichment.cache.map(TimeSpan::to_std),
        limits: enrichment.limit.iter().map(limit).collect(),
    }
}

/// Opens the instances of a pool.
struct PoolSource<F, I: PluginInstance> {
    name: String,
    open: F,
    config: String,
    capabilities: Capabilities,
    idle: InstancePool<I>,
}

type OpenInstance<I> = dyn Fn(&str, &Capabilities) -> Result<I, CallError> + Send + Sync;

/// Open instances of a plugin: one for each call at a time, kept for the next.
struct PluginPool<I: PluginInstance> {
    name: String,
    open: Box<OpenInstance<I>>,
    config: String,
    capabilities: Capabilities,
    idle: InstancePool<I>,
}

impl<I: PluginInstance> PluginPool<I> {
    fn open<F>(source: PoolSource<F, I>) -> Result<Arc<Self>>
    where
        F: Fn(&str, &Capabilities) -> Result<I, CallError> + Send + Sync + 'static,
    {
        let first = (source.open)(&source.config, &source.capabilities).with_context(|| {
            format!(
                "the plugin `{}` of the policy cannot be opened",
                source.name
            )
        })?;
        source.idle.give_back(first);
        Ok(Arc::new(Self {
            name: source.name,
            open: Box::new(source.open),
            config: source.config,
            capabilities: source.capabilities,
            idle: source.idle,
        }))
    }

    /// Makes a call on a thread of its own. `call` also says whether the instance is spent.
    fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut I) -> (Result<T, CallError>, CallOutcome, bool) + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Failure>> {
        let pool = Arc::clone(self);
        let called = tokio::task::spawn_blocking(move || {
            let mut instance = match pool.idle.take() {
                Some(instance) => instance,
                None => (pool.open)(&pool.config, &pool.capabilities)
                    .map_err(|error| failure(&pool.name, &error, CallOutcome::default()))?,
            };
            let (answer, outcome, is_spent) = call(&mut instance);
            if !is_spent {
                pool.idle.give_back(instance);
            }
            answer.map_err(|error| failure(&pool.name, &error, outcome))
        });
        async move {
            called.await.unwrap_or_else(|error| {
                Err(Failure::Retry {
                    message: format!("the call did not end: {error}"),
                    after: None,
                    is_uncertain: true,
                })
            })
        }
        .boxed()
    }
}

/// Sorts a failed call: what a plugin calls wrong data will stay wrong; anything else may pass, also what an operator must
/// mend, such as a token that has expired.
fn failure(name: &str, error: &CallError, outcome: CallOutcome) -> Failure {
    let message = match error {
        CallError::Guest(
            PluginError::Data(text) | PluginError::Config(text) | PluginError::Retry(text),
        ) => text.clone(),
        other => format!("{name}: {}", yagura_core::causes::causes(other).join(": ")),
    };
    // A server may have done what was asked and answered so that the plugin could not read it. Only the one request that
    // was turned away for its haste was surely not done.
    let is_turned_away = outcome.calls == 1 && outcome.retry_after.is_some();
    let is_uncertain = outcome.uncertain || (outcome.calls > 0 && !is_turned_away);
    match error {
        CallError::Guest(PluginError::Data(_)) => Failure::Permanent { message },
        _ => Failure::Retry {
            message,
            after: outcome.retry_after,
            is_uncertain,
        },
    }
}

struct NotifyByPlugin(Arc<PluginPool<Notifier>>);

impl Notify for NotifyByPlugin {
    fn notify(&self, report: Report) -> BoxFuture<'_, Result<String, Failure>> {
        self.0.call(move |notifier: &mut Notifier| {
            let receipt = notifier.notify(&report);
            (receipt, notifier.last_calls(), notifier.is_poisoned())
        })
    }
}

struct EnrichByPlugin(Arc<PluginPool<Enricher>>);

impl Enrich for EnrichByPlugin {
    fn enrich(&self, alert: ReportAlert) -> BoxFuture<'_, Result<Enriched, Failure>> {
        self.0.call(move |enricher: &mut Enricher| {
            let found = enricher.enrich(&alert);
            (found, enricher.last_calls(), enricher.is_poisoned())
        })
    }
}

struct ReviewByPlugin(Arc<PluginPool<Reviewer>>);

impl Review for ReviewByPlugin {
    fn review(
        &self,
        alert: ReportAlert,
        attributes: Vec<Attribute>,
    ) -> BoxFuture<'_, Result<Option<Assessment>, Failure>> {
        self.0.call(move |reviewer: &mut Reviewer| {
            let assessment = reviewer.review(&alert, &attributes);
            (assessment, CallOutcome::default(), reviewer.is_poisoned())
        })
    }
}
