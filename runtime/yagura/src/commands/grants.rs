//! `yagura grants`: what packs ask for, what they get, and what an upgrade changes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use yagura_core::names::did_you_mean;
use yagura_core::{Fault, Grant, Grants, OrFault};
use yagura_packs::grants::{
    CapabilityEntry, CapabilityKind, Changes, Comparison, GrantAnswer, PackRequests,
    RequestedEntry, upgrade,
};
use yagura_packs::{Gate, GateError, VerifiedPack};
use yagura_service::admission::{self, Admission};
use yagura_service::config::Config;
use yagura_service::packs;

use super::verify;
use crate::exit::FAILED;
use crate::output::{OutputFormat, printable};

/// Show what packs request and what they are granted, before any of their code runs
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Configuration that names packs, grants and trust
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Other packs to look at, instead of those of the configuration
    #[arg(value_name = "PACK")]
    paths: Vec<PathBuf>,
    /// Let a pack load as it is now, with no more than it is granted; may be given more than once
    #[arg(long, value_name = "NAME")]
    accept: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
A plugin reaches what its pack.toml asks for and the grants file names; asking alone gives it nothing. An upgrade that asks for
more than the version before it does not load until that is granted or accepted. Nothing of a pack is run by this command.
Exit code 0 where all packs would load, 1 where one would not.";

/// What is printed of a pack.
#[derive(Debug, Serialize)]
struct GrantsView {
    pack: String,
    version: String,
    /// The version that was used before, where it was another.
    before: Option<String>,
    asked: Vec<AskedView>,
    /// Granted, and asked for by no plugin.
    unasked: Vec<String>,
    /// Limits that are less than what is asked for.
    limits: Vec<String>,
    /// What changes from the version before.
    changes: Vec<String>,
    /// Files that are new (`+`), others (`~`) or gone (`-`).
    files: Vec<String>,
    /// Why it would not load, with what would let it.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AskedView {
    plugin: String,
    ask: String,
    granted: &'static str,
    /// What it gets of it, where it is a part; where it is or may go; what to write, where it is nothing.
    detail: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let config = Config::read(&arguments.config)?;
    let mut admission = Admission::read(&config)?;
    let paths = match arguments.paths.as_slice() {
        [] => config.packs.as_slice(),
        paths => paths,
    };
    if paths.is_empty() {
        bail!("{} names no packs", arguments.config.display());
    }
    let mut packs: Vec<VerifiedPack> = Vec::new();
    let mut their_paths: Vec<PathBuf> = Vec::new();
    let mut views: Vec<GrantsView> = Vec::new();
    for path in paths {
        match read(path, &admission) {
            Ok(pack) => {
                packs.push(pack);
                their_paths.push(path.clone());
            }
            // Nothing is accepted beside what is damaged.
            Err(error) if !arguments.accept.is_empty() => return Err(error),
            Err(error) => views.push(GrantsView::broken(path, &error)),
        }
    }
    let mut out = io::stdout().lock();
    accept(arguments, &packs, &mut admission)?;
    let mut all_load = true;
    let is_whole = arguments.paths.is_empty() && views.is_empty();
    let together = match is_whole {
        true => together(&packs, &their_paths),
        false => Ok(()),
    };
    let readable = packs.iter().map(|pack| view(pack, &admission, &config));
    views.extend(readable);
    for view in views {
        all_load &= view.problems.is_empty();
        match arguments.format {
            OutputFormat::Json => {
                serde_json::to_writer(&mut out, &view)?;
                writeln!(out)?;
            }
            OutputFormat::Text => text(&view, &mut out)?,
        }
    }
    if arguments.paths.is_empty() && matches!(arguments.format, OutputFormat::Text) {
        let names = packs.iter().map(VerifiedPack::name);
        let mut lines = admission.grants.unknown_packs(names.clone());
        if let Some(trust) = &admission.trust {
            lines.extend(trust.unknown_packs(names));
        }
        for line in lines {
            writeln!(out, "\n{}", printable(&line))?;
        }
    }
    if let Err(problem) = together {
        all_load = false;
        writeln!(io::stderr(), "error: {problem:#}")?;
    }
    Ok(if all_load { 0 } else { FAILED })
}

/// Says what keeps the packs of a configuration from running together.
fn together(packs: &[VerifiedPack], paths: &[PathBuf]) -> Result<()> {
    for (at, pack) in packs.iter().enumerate() {
        let mut earlier = packs.iter().take(at);
        if let Some(before) = earlier.position(|other| other.name() == pack.name()) {
            return Err(packs::twice(pack.name(), &paths[before], &paths[at]).into());
        }
    }
    admission::needs(packs.iter().map(VerifiedPack::identity))
}

/// Reads a pack; a directory that nobody need sign may have changed since its list of files was written.
fn read(path: &Path, admission: &Admission) -> Result<VerifiedPack> {
    if admission.trust.is_none() && path.is_dir() {
        let bounds = yagura_packs::Bounds::default();
        let mut contents = yagura_packs::Contents::read_dir(path, &bounds).or_fault()?;
        contents.seal();
        return Ok(contents.verify().or_fault()?);
    }
    verify::read(path)
}

/// Remembers what is accepted; only of packs that are trusted.
fn accept(arguments: &Arguments, packs: &[VerifiedPack], admission: &mut Admission) -> Result<()> {
    for name in &arguments.accept {
        let Some(pack) = packs.iter().find(|pack| pack.name() == name) else {
            let names = packs.iter().map(VerifiedPack::name);
            bail!(
                "there is no pack `{name}` to accept{}",
                did_you_mean(name, names)
            );
        };
        match admit(pack, admission) {
            Err(GateError::Refused(verdict)) => {
                bail!("{verdict}\nwhat is not trusted cannot be accepted")
            }
            Err(error @ GateError::Older(_)) => return Err(Fault::of(error).into()),
            _ => {
                admission.installed.record(pack);
                let version = &pack.pack().pack.version;
                writeln!(io::stderr(), "accepted `{name}` {version} as it is")?;
            }
        }
    }
    admission.write_installed()
}

fn admit(
    pack: &VerifiedPack,
    admission: &Admission,
) -> Result<yagura_packs::OpenedPack, GateError> {
    let gate = Gate {
        trust: admission.trust.as_ref(),
        installed: &admission.installed,
        grants: &admission.grants,
        bounds: yagura_packs::Bounds::default(),
        allow_rollback: false,
    };
    gate.admit(pack.clone())
}

fn view(pack: &VerifiedPack, admission: &Admission, config: &Config) -> GrantsView {
    let name = pack.name();
    let version = pack.pack().pack.version.clone();
    let grant = admission.grants.of(name);
    let asks = PackRequests::of(pack.pack());
    let Comparison { asked, unasked } = asks.compare(name, &grant);
    let seen = admission.installed.pack.get(name);
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    if let Some(seen) = seen {
        let between = Changes::between(&seen.asks, &asks);
        // A vector takes all that is written to it.
        let _ = admission::changes(&between, &mut changes);
        let held = upgrade(name, &seen.asks, &asks, &grant);
        problems.extend(held.iter().map(ToString::to_string));
    }
    match admit(pack, admission) {
        Err(GateError::Refused(verdict)) => problems.push(verdict.to_string()),
        Err(GateError::Older(older)) => problems.push(older.to_string()),
        _ => {}
    }
    let changes = String::from_utf8_lossy(&changes);
    GrantsView {
        pack: name.to_owned(),
        before: seen
            .map(|seen| seen.version.clone())
            .filter(|before| *before != version),
        version,
        asked: asked
            .into_iter()
            .map(|asked| asked_view(asked, &grant, config))
            .collect(),
        unasked: unasked.iter().map(ToString::to_string).collect(),
        limits: limits(pack, &admission.grants),
        files: admission.files_changed(pack),
        changes: changes.lines().map(|line| line.trim().to_owned()).collect(),
        problems,
    }
}

/// Says which limits of the manifest the grants bound, or the usual ones where they say nothing.
fn limits(pack: &VerifiedPack, grants: &Grants) -> Vec<String> {
    let mut bound = pack.pack().clone();
    bound.bound(grants);
    let granted = grants.of(pack.name()).limits;
    let less = Changes::between(&PackRequests::of(pack.pack()), &PackRequests::of(&bound));
    let lines = less.limits.into_iter().map(|limit| {
        format!(
            "{} has limits.{} = {}{}, and asks for {}",
            limit.plugin,
            limit.limit,
            limit.now,
            match granted.names(limit.limit) {
                true => " by the grants",
                false => ", as usual",
            },
            limit.before
        )
    });
    lines.collect()
}

impl GrantsView {
    /// The error of a pack that cannot be read.
    fn broken(path: &Path, error: &anyhow::Error) -> Self {
        Self {
            pack: path.display().to_string(),
            version: String::new(),
            before: None,
            asked: Vec::new(),
            unasked: Vec::new(),
            limits: Vec::new(),
            changes: Vec::new(),
            files: Vec::new(),
            problems: vec![format!("{error:#}")],
        }
    }
}

/// Says where a directory is and where a secret may go, and what of it is not there.
fn granted(ask: &CapabilityEntry, grant: &Grant, config: &Config) -> String {
    match ask.kind {
        CapabilityKind::Directories => match grant.directories.get(&ask.entry) {
            Some(path) if path.is_dir() => path.display().to_string(),
            Some(path) => format!("{}, WHICH IS NOT A DIRECTORY", path.display()),
            None => String::new(),
        },
        CapabilityKind::Secrets => {
            let hosts = grant.secrets.get(&ask.entry);
            let hosts = hosts.map(|hosts| hosts.join(", ")).unwrap_or_default();
            match config.secret.contains_key(&ask.entry) || ask.entry == "*" {
                true => hosts,
                false => format!(
                    "{hosts}, AND THE CONFIGURATION HAS NO [secret.{}]",
                    ask.entry
                ),
            }
        }
        _ => String::new(),
    }
}

fn asked_view(asked: RequestedEntry, grant: &Grant, config: &Config) -> AskedView {
    let (answer, detail) = match asked.answer {
        GrantAnswer::Granted => ("yes", granted(&asked.ask, grant, config)),
        GrantAnswer::Partly(part) => ("partly", part.join(", ")),
        GrantAnswer::Missing(line) => ("no", line),
    };
    AskedView {
        plugin: asked.plugin,
        ask: asked.ask.to_string(),
        granted: answer,
        detail,
    }
}

fn text(view: &GrantsView, out: &mut impl Write) -> Result<()> {
    write!(
        out,
        "{}",
        printable(format!("{} {}", view.pack, view.version).trim_end())
    )?;
    match &view.before {
        Some(before) => writeln!(out, ", used before: {before}")?,
        None => writeln!(out)?,
    }
    let mut plugin = "";
    for asked in &view.asked {
        if plugin != asked.plugin {
            plugin = &asked.plugin;
            writeln!(out, "  {plugin} asks to")?;
        }
        let answer = match (asked.granted, asked.detail.as_str()) {
            ("yes", "") => "granted".to_owned(),
            ("yes" | "partly", part) => format!("granted: {part}"),
            (_, line) => format!("NOT granted: {line}"),
        };
        writeln!(out, "    {}: {}", printable(&asked.ask), printable(&answer))?;
    }
    if view.asked.is_empty() && !view.version.is_empty() {
        writeln!(out, "  asks for nothing")?;
    }
    for limit in &view.limits {
        writeln!(out, "  {}", printable(limit))?;
    }
    for unasked in &view.unasked {
        writeln!(
            out,
            "  granted, and asked for by no plugin: {}",
            printable(unasked)
        )?;
    }
    if !view.changes.is_empty() {
        writeln!(out, "  since the version that was used before:")?;
        for change in &view.changes {
            writeln!(out, "    {}", printable(change))?;
        }
    }
    if !view.files.is_empty() {
        match view.changes.is_empty() {
            true => writeln!(out, "  files, since what was used before:")?,
            false => writeln!(out, "  files, since then:")?,
        }
        for line in &view.files {
            writeln!(out, "    {}", printable(line))?;
        }
    }
    for problem in &view.problems {
        for (number, line) in problem.lines().enumerate() {
            let head = if number == 0 {
                "WOULD NOT LOAD: "
            } else {
                "  "
            };
            writeln!(out, "  {head}{}", printable(line))?;
        }
    }
    Ok(())
}
