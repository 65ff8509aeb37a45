//! `yagura new`: a pack that builds and whose tests pass at once.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use yagura_authoring::schema;
use yagura_authoring::templates::{PackLanguage, TemplateWorld, files};

/// Make a new pack with a rule, its test and comments that explain them
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What the rule is written in
    #[arg(long, value_enum)]
    lang: Language,
    /// What the code is for: detectors evaluate events, normalizers parse raw logs, the others answer alerts
    #[arg(long, value_enum, default_value_t)]
    world: WorldArgument,
    /// Directory to make; it must not hold anything yet
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Go,
    Python,
    /// A condition, no code
    Sql,
    /// A Sigma rule as it is, no code
    Sigma,
}

/// The worlds that there are templates for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum WorldArgument {
    /// Finds what is suspicious in events
    #[default]
    Detector,
    /// Adds facts to alerts
    Enricher,
    /// Assesses alerts
    Reviewer,
    /// Sends reports about incidents
    Notifier,
    /// Parses raw logs for a source
    Normalizer,
}

impl From<Language> for PackLanguage {
    fn from(language: Language) -> Self {
        match language {
            Language::Rust => Self::Rust,
            Language::Go => Self::Go,
            Language::Python => Self::Python,
            Language::Sql => Self::Sql,
            Language::Sigma => Self::Sigma,
        }
    }
}

impl From<WorldArgument> for TemplateWorld {
    fn from(world: WorldArgument) -> Self {
        match world {
            WorldArgument::Detector => Self::Detector,
            WorldArgument::Enricher => Self::Enricher,
            WorldArgument::Reviewer => Self::Reviewer,
            WorldArgument::Notifier => Self::Notifier,
            WorldArgument::Normalizer => Self::Normalizer,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let dir = &arguments.dir;
    let name = name_of(dir)?;
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "{} is not empty: name a directory that does not exist yet",
            dir.display()
        );
    }
    let language = PackLanguage::from(arguments.lang);
    let world = TemplateWorld::from(arguments.world);
    if language.sdk().is_none() && world != TemplateWorld::Detector {
        bail!(
            "a {} is code: give it --lang rust, go or python, not {}",
            world.name(),
            language.name()
        );
    }
    let files = files(language, world, &name)?;
    for (path, text) in &files {
        let file = dir.join(path);
        let parent = file.parent().unwrap_or(dir);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let home = || format!("cannot write to {}", dir.display());
    schema::place(dir).with_context(home)?;
    if let Some(sdk) = language.sdk() {
        sdk.place(dir).with_context(home)?;
    }
    print(language, world, dir, &files)?;
    Ok(0)
}

/// Returns the pack's name: the directory's, in the letters that names have.
fn name_of(dir: &Path) -> Result<String> {
    let absolute = std::path::absolute(dir)
        .with_context(|| format!("cannot find out where {} is", dir.display()))?;
    let last = absolute.file_name().unwrap_or_default().to_string_lossy();
    let name: String = last
        .to_lowercase()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() {
        bail!(
            "{} gives the pack no name: name a directory in letters",
            dir.display()
        );
    }
    Ok(name)
}

fn print(
    language: PackLanguage,
    world: TemplateWorld,
    dir: &Path,
    files: &[(PathBuf, String)],
) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "made {}:", dir.display())?;
    for (path, _) in files {
        writeln!(out, "  {}", path.display())?;
    }
    writeln!(out, "next:")?;
    writeln!(out, "  cd {}", dir.display())?;
    let build = if language.sdk().is_some() {
        "builds the component and runs its tests"
    } else {
        "runs its tests"
    };
    writeln!(out, "  yagura test .     # {build}")?;
    if world == TemplateWorld::Detector {
        writeln!(out, "  yagura dev .      # again on every save")?;
    }
    if let Some(native) = language.native(world) {
        writeln!(out, "  {native}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_is_named_after_its_directory() {
        assert_eq!(name_of(Path::new("/tmp/My Logins!")).unwrap(), "my-logins");
        assert!(name_of(Path::new("/tmp/§§")).is_err());
    }
}
