//! Packs for a run: their rules, and their plugins loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use yagura_core::pack::{Identity, Manifest};
use yagura_core::{Correlation, Fault, Grants, MostLimits, OrFault, Pack, files};
use yagura_correlate::Geolocation;
use yagura_engine::PluginSource;
use yagura_host::{CacheError, Host, HostConfig, HostError, Meter, default_cache_dir};
use yagura_plan::{RuleSource, SigmaInput};
use yagura_rules::sigma::{self, FieldMap, Load};

use crate::config::PLUGIN_MEMORY_MIB;

/// Returns a host that keeps compiled plugins in the user's cache, or compiles them each time where there can be none.
pub fn host(meter: Meter) -> Result<Host> {
    host_with(meter, PLUGIN_MEMORY_MIB)
}

/// Does the same with so many MiB for all plugins together.
pub fn host_with(meter: Meter, memory_mib: usize) -> Result<Host> {
    let most_memory = Some(memory_mib.saturating_mul(1 << 20));
    let cached = Host::new(HostConfig {
        cache_dir: default_cache_dir(),
        meter,
        most_memory,
        on_compile: Some(show_compiling),
    });
    match cached {
        // A home that cannot be written to is common in containers, and no reason not to run.
        Err(HostError::Cache(error @ CacheError::Unusable { .. })) => {
            tracing::warn!(%error, "compiled plugins are not kept");
            Host::new(HostConfig {
                cache_dir: None,
                meter,
                most_memory,
                on_compile: Some(show_compiling),
            })
        }
        other => other,
    }
    .context("cannot start the plugin host")
}

/// Shows what takes so long: a component with an interpreter in it takes seconds.
#[expect(clippy::print_stderr, reason = "progress is not a result")]
fn show_compiling(name: &str, bytes: usize) {
    const LARGE: usize = 8 << 20;
    if bytes >= LARGE {
        eprintln!("compiling {name} ({} MiB), once", bytes >> 20);
    }
}

/// The rules and plugins of several packs.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The packs.
    pub packs: Vec<Identity>,
    /// Their own rules.
    pub rules: Vec<RuleSource>,
    /// Their Sigma rules, and those of directories.
    pub sigma: SigmaInput,
    /// Their plugins, loaded.
    pub plugins: Vec<PluginSource>,
    /// What plugins ask for of their limits and do not have, a sentence each.
    pub not_granted: Vec<String>,
    /// Geolocation databases, by rule.
    pub geolocation: BTreeMap<String, Geolocation>,
}

/// Reads the packs, loads the plugins that their rules use, and reads the Sigma rules of packs and directories.
pub fn load(
    dirs: &[PathBuf],
    sigma: &[PathBuf],
    field_maps: &[PathBuf],
    grants: &Grants,
    meter: Meter,
) -> Result<Loaded> {
    load_by(&host(meter)?, dirs, sigma, field_maps, grants)
}

/// Does the same with a host that is there already.
pub fn load_by(
    host: &Host,
    dirs: &[PathBuf],
    sigma: &[PathBuf],
    field_maps: &[PathBuf],
    grants: &Grants,
) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut sigma = sigma.to_vec();
    let mut ids: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut names: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for dir in dirs {
        let mut pack = Pack::read(dir).or_fault()?;
        let pack_name = pack.manifest.pack.name.clone();
        let granted = grants.of(&pack_name).limits;
        loaded
            .not_granted
            .extend(not_granted(&granted, &pack.manifest));
        pack.manifest.bound(grants);
        if let Some(before) = names.insert(pack_name.clone(), dir) {
            return Err(twice(&pack_name, before, dir).into());
        }
        loaded.packs.push(pack.manifest.pack.clone());
        // Sigma rules lie beside the others, as they are.
        let rules = dir.join("rules");
        if rules.is_dir() {
            sigma.push(rules);
        }
        let mut plugins: BTreeMap<&str, usize> = BTreeMap::new();
        for source in &pack.rules {
            let rule = &source.rule;
            if let Some(first) = ids.insert(rule.id.clone(), source.file.clone()) {
                let message = format!(
                    "{}: `rule.id` `{}` is also the id in {}; the rules of a run need different ids",
                    source.file.display(),
                    rule.id,
                    first.display()
                );
                return Err(Fault::rule(message).into());
            }
            let plugin = match rule.plugin.as_deref() {
                None => None,
                Some(name) => match plugins.get(name) {
                    Some(index) => Some(*index),
                    None => {
                        let plugin = load_plugin(host, &pack, name);
                        // Its pack.toml can ask for more, and would not get it.
                        let own = grants.pack.get(&pack_name);
                        let is_bound = own.is_some_and(|grant| !grant.limits.is_empty());
                        let plugin = plugin.map_err(|error| match is_bound {
                            true => error.context(format!(
                                "within [pack.{pack_name}.limits] of the grants file"
                            )),
                            false => error,
                        });
                        loaded.plugins.push(plugin?);
                        plugins.insert(name, loaded.plugins.len() - 1);
                        Some(loaded.plugins.len() - 1)
                    }
                },
            };
            if let Some(file) = rule.correlation.as_ref().and_then(Correlation::geoip) {
                let geolocation = geolocation_of(dir, file).map_err(|error| {
                    Fault::rule(format!(
                        "{}: `rule.correlation.geoip`: {error:#}",
                        source.file.display()
                    ))
                })?;
                loaded.geolocation.insert(rule.id.clone(), geolocation);
            }
            loaded.rules.push(RuleSource {
                rule: Arc::new(rule.clone()),
                file: source.file.clone(),
                plugin,
                predicate: None,
                fields: Vec::new(),
                alternatives: Default::default(),
            });
        }
    }
    loaded.sigma = load_sigma(&sigma, field_maps)?;
    Ok(loaded)
}

/// Says which limits plugins of a pack ask for and do not have, a sentence each.
pub fn not_granted(granted: &MostLimits, pack: &Manifest) -> Vec<String> {
    let name = &pack.pack.name;
    let over = granted.not_granted(pack).into_iter();
    over.map(|over| {
        format!(
            "`{}` of the pack `{name}` asks for `limits.{} = {}` and has {}, as any {}; to grant it more, write `{} = {}` under \
             [pack.{name}.limits] of the grants file",
            over.plugin,
            over.limit,
            over.asked,
            over.usual,
            over.world.name(),
            over.limit,
            over.asked
        )
    })
    .collect()
}

/// Reads the geolocation database that a rule of a pack names, which lies in the pack.
///
/// # Errors
/// The file is not inside the pack, or cannot be read; the message names it.
pub fn geolocation_of(pack: &Path, file: &Path) -> Result<Geolocation> {
    let found = files::inside(pack, file).with_context(|| {
        let file = pack.join(file);
        format!("cannot read the geolocation database {}", file.display())
    })?;
    Ok(Geolocation::read(&found)?)
}

/// Reads Sigma rules and the field maps: one's own first, then those that are part of Yagura.
pub fn load_sigma(paths: &[PathBuf], field_maps: &[PathBuf]) -> Result<SigmaInput> {
    let mut load = Load::default();
    for path in paths {
        let read = sigma::load_dir(path)
            .with_context(|| format!("cannot read Sigma rules from {}", path.display()))?;
        load.append(read);
    }
    let own = field_maps.iter().map(|file| FieldMap::read(file));
    let mut maps = own.collect::<Result<Vec<_>, _>>()?;
    maps.extend(FieldMap::shipped()?);
    sigma::share_placeholders(&mut maps);
    Ok(SigmaInput { load, maps })
}

fn load_plugin(host: &Host, pack: &Pack, name: &str) -> Result<PluginSource> {
    let manifest = pack
        .manifest
        .plugins
        .iter()
        .find(|plugin| plugin.file == name)
        .with_context(|| format!("{} has no [[plugin]] `{name}`", pack.dir.display()))?;
    let file = pack.dir.join(name);
    if file.exists() {
        files::inside(&pack.dir, Path::new(name))
            .with_context(|| format!("cannot use the plugin {}", file.display()))?;
    }
    if !file.exists() && manifest.source.is_some() {
        let message = format!(
            "{} is not there yet; make it with `yagura build {}`",
            file.display(),
            pack.dir.display()
        );
        return Err(Fault::rule(message).into());
    }
    Ok(PluginSource {
        plugin: host.load_detector(&file, &manifest.limits).or_fault()?,
        config: serde_json::to_string(&manifest.config)?,
    })
}

/// Returns the fault of a pack that is named two times.
pub fn twice(name: &str, one: &Path, other: &Path) -> Fault {
    Fault::rule(format!(
        "the pack `{name}` is named twice, as {} and as {}: leave one of them out",
        one.display(),
        other.display()
    ))
}
