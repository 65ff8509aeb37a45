//! `yagura inspect`: what a pack or a component is, without running it over anything.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use yagura_core::pack::{Limits, World};
use yagura_core::{OrFault, Pack};
use yagura_host::{ComponentInfo, ComponentKind, LoadError, Meter, inspect};
use yagura_packs::grants::PackRequests;
use yagura_packs::{Bounds, Contents};
use yagura_service::{admission, packs};

use crate::output::{OutputFormat, cell, count, printable, table};

/// Show the contents of packs and components: worlds, rules, imports, sizes, limits
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory or archive of a pack, or a Wasm file; may be given more than once
    #[arg(required = true)]
    path: Vec<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

/// A pack as `--format json` prints it.
#[derive(Debug, Serialize)]
struct InspectedPack {
    pack: String,
    version: String,
    api: String,
    description: String,
    license: String,
    maintainers: Vec<String>,
    /// Packs that it needs, with the versions that will do.
    dependencies: BTreeMap<String, String>,
    path: PathBuf,
    /// Of all its files, by its list of them.
    digest: Option<String>,
    files: Option<usize>,
    signatures: Vec<String>,
    /// What its plugins ask for, by file.
    asks: BTreeMap<String, Vec<String>>,
    plugins: Vec<ComponentView>,
    rules: Vec<RuleView>,
}

#[derive(Debug, Serialize)]
struct RuleView {
    id: String,
    title: String,
    severity: String,
    table: String,
    plugin: Option<String>,
    tags: Vec<String>,
}

/// A component as `--format json` prints it. What cannot be found out is absent, and `problem` says why.
#[derive(Debug, Serialize)]
struct ComponentView {
    path: PathBuf,
    kind: &'static str,
    world: Option<&'static str>,
    contract: Option<String>,
    bytes: usize,
    sha256: String,
    imports: Vec<String>,
    exports: Vec<String>,
    /// Rules that the component has code for, as it says itself.
    rules: Vec<String>,
    limits: Limits,
    problem: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let mut out = crate::output::Shown(io::stdout().lock());
    for path in &arguments.path {
        let is_archive = !path.is_dir() && !is_wasm(path)?;
        if path.is_dir() || is_archive {
            let mut unpacked = Vec::new();
            let dir = admission::directory(path, &mut unpacked)?;
            let view = pack(path, &Pack::read(&dir).or_fault()?);
            match arguments.format {
                OutputFormat::Json => json(&mut out, &view)?,
                OutputFormat::Text => pack_text(&mut out, &view)?,
            }
        } else {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let view = component(path, &bytes, &Limits::default()).or_fault()?;
            match arguments.format {
                OutputFormat::Json => json(&mut out, &view)?,
                OutputFormat::Text => component_text(&mut out, &view)?,
            }
        }
    }
    Ok(0)
}

/// Says whether a file is a Wasm module or component; what is none is taken for an archive.
fn is_wasm(path: &Path) -> Result<bool> {
    let cannot = || format!("cannot read {}", path.display());
    let mut start = Vec::new();
    let file = File::open(path).with_context(cannot)?;
    file.take(4).read_to_end(&mut start).with_context(cannot)?;
    Ok(start == *b"\0asm"
        || path
            .extension()
            .is_some_and(|extension| extension == "wasm"))
}

/// `path` is where the person finds the pack, which lies in a directory of its own where it is an archive.
fn pack(path: &Path, pack: &Pack) -> InspectedPack {
    let contents = Contents::read_dir(&pack.dir, &Bounds::default());
    // A directory that is being worked on need not be a pack that could be signed.
    let mut signatures = Vec::new();
    let sealed = contents.ok().and_then(|mut contents| {
        signatures.extend(contents.signatures.keys().cloned());
        contents.seal();
        contents.verify().ok()
    });
    let asks = PackRequests::of(&pack.manifest).entries();
    let identity = &pack.manifest.pack;
    let plugins = pack.manifest.plugins.iter().map(|plugin| {
        let read = fs::read(pack.dir.join(&plugin.file)).map_err(|error| error.to_string());
        let path = path.join(&plugin.file);
        let view = read.and_then(|bytes| {
            component(&path, &bytes, &plugin.limits).map_err(|error| error.to_string())
        });
        view.unwrap_or_else(|problem| {
            ComponentView::missing(&path, plugin.world, &plugin.limits, problem)
        })
    });
    InspectedPack {
        pack: identity.name.clone(),
        version: identity.version.clone(),
        api: identity.api.clone(),
        description: identity.description.clone(),
        license: identity.license.clone(),
        maintainers: identity.maintainers.clone(),
        dependencies: identity.dependencies.clone(),
        path: path.to_owned(),
        digest: sealed.as_ref().map(|pack| pack.digest().tagged()),
        files: sealed.as_ref().map(|pack| pack.manifest().files().len()),
        signatures: sealed
            .iter()
            .flat_map(|pack| {
                signatures
                    .iter()
                    .map(|name| match pack.contents().signatures.contains_key(name) {
                        true => name.to_string(),
                        false => format!("{name} (of other contents: sign them again)"),
                    })
            })
            .collect(),
        asks: asks
            .into_iter()
            .map(|(plugin, asks)| (plugin, asks.iter().map(ToString::to_string).collect()))
            .collect(),
        plugins: plugins.collect(),
        rules: pack
            .rules
            .iter()
            .map(|source| RuleView {
                id: source.rule.id.clone(),
                title: source.rule.title.clone(),
                severity: source.rule.severity.to_string(),
                table: source.rule.table.clone(),
                plugin: source.rule.plugin.clone(),
                tags: source.rule.tags.clone(),
            })
            .collect(),
    }
}

fn component(path: &Path, bytes: &[u8], limits: &Limits) -> Result<ComponentView, LoadError> {
    let name = path.display().to_string();
    let info = inspect(&name, bytes)?;
    let (rules, problem) = match rules_of(&name, bytes, limits, &info) {
        Ok(rules) => (rules, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    Ok(ComponentView {
        path: path.to_owned(),
        kind: match info.kind {
            ComponentKind::Component => "component",
            ComponentKind::CoreModule => "core module",
        },
        world: info.world.map(World::name),
        contract: info.contract,
        bytes: info.size,
        sha256: info.digest,
        imports: info.imports,
        exports: info.exports,
        rules,
        limits: limits.clone(),
        problem,
    })
}

/// Asks a detector which rules it has code for, which runs it under its limits.
fn rules_of(
    name: &str,
    bytes: &[u8],
    limits: &Limits,
    info: &ComponentInfo,
) -> Result<Vec<String>> {
    if info.kind == ComponentKind::Component
        && info.world.is_some_and(|world| world != World::Detector)
    {
        return Ok(Vec::new());
    }
    let plugin = packs::host(Meter::Off)?.load_detector_bytes(name, bytes, limits)?;
    Ok(plugin.rule_ids()?)
}

impl ComponentView {
    fn missing(path: &Path, world: World, limits: &Limits, problem: String) -> Self {
        Self {
            path: path.to_owned(),
            kind: "missing",
            world: Some(world.name()),
            contract: None,
            bytes: 0,
            sha256: String::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            rules: Vec::new(),
            limits: limits.clone(),
            problem: Some(problem),
        }
    }
}

fn json(out: &mut impl Write, view: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, view)?;
    writeln!(out)?;
    Ok(())
}

fn pack_text(out: &mut impl Write, view: &InspectedPack) -> Result<()> {
    writeln!(
        out,
        "pack {} {} (api {}) in {}",
        view.pack,
        view.version,
        view.api,
        view.path.display()
    )?;
    for line in [&view.description, &view.license] {
        if !line.is_empty() {
            writeln!(out, "  {}", printable(line))?;
        }
    }
    for maintainer in &view.maintainers {
        writeln!(out, "  {}", printable(maintainer))?;
    }
    if let (Some(digest), Some(files)) = (&view.digest, view.files) {
        let files = count(files as u64, "file", "files");
        writeln!(out, "  {files}, {digest}")?;
        writeln!(out, "  signatures: {}", none(&view.signatures))?;
    }
    for (name, versions) in &view.dependencies {
        writeln!(out, "  needs {name} {versions}")?;
    }
    for (plugin, asks) in &view.asks {
        for ask in asks {
            writeln!(out, "  {plugin} asks to {}", printable(ask))?;
        }
    }
    writeln!(out)?;
    for plugin in &view.plugins {
        component_text(out, plugin)?;
        writeln!(out)?;
    }
    let mut rules = table(["RULE", "SEVERITY", "TABLE", "CODE", "TITLE"]);
    for rule in &view.rules {
        rules.add_row([
            rule.id.as_str(),
            &rule.severity,
            &rule.table,
            rule.plugin.as_deref().unwrap_or("-"),
            &cell(&rule.title),
        ]);
    }
    writeln!(out, "{rules}")?;
    let rules = view.rules.len() as u64;
    writeln!(out, "{}", count(rules, "rule", "rules"))?;
    Ok(())
}

fn none(list: &[String]) -> String {
    match list {
        [] => "none".to_owned(),
        list => list.join(", "),
    }
}

fn component_text(out: &mut impl Write, view: &ComponentView) -> Result<()> {
    writeln!(out, "plugin {}", view.path.display())?;
    writeln!(
        out,
        "  kind     {}, world {}, contract {}",
        view.kind,
        view.world.unwrap_or("unknown"),
        view.contract.as_deref().unwrap_or("unknown")
    )?;
    writeln!(
        out,
        "  size     {} KiB, sha256 {}",
        view.bytes.div_ceil(1024),
        view.sha256
    )?;
    writeln!(out, "  imports  {}", none(&view.imports))?;
    writeln!(out, "  exports  {}", none(&view.exports))?;
    writeln!(out, "  rules    {}", none(&view.rules))?;
    let limits = &view.limits;
    writeln!(
        out,
        "  limits   {} a call, {} MiB memory, {} MiB output, {} log lines a call",
        limits.time, limits.memory_mib, limits.output_mib, limits.log_lines
    )?;
    if let Some(problem) = &view.problem {
        writeln!(out, "  problem  {}", printable(problem))?;
    }
    Ok(())
}
