//! `yagura new`: a pack that builds and whose tests pass at once.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use include_dir::{Dir, DirEntry, include_dir};

use crate::schema;
use crate::sdk::Sdk;

/// Make a new pack with a rule, its test and comments that teach.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What the rule is written in
    #[arg(long, value_enum)]
    lang: Language,
    /// What the code is for: detectors evaluate events, the others answer alerts
    #[arg(long, value_enum, default_value_t)]
    world: World,
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
enum World {
    /// Finds what is suspicious in events
    #[default]
    Detector,
    /// Adds facts to alerts
    Enricher,
    /// Evaluates alerts
    Reviewer,
    /// Tells people about incidents
    Notifier,
}

impl World {
    /// Returns its name, which is also that of the folder with the code.
    fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Enricher => "enricher",
            Self::Reviewer => "reviewer",
            Self::Notifier => "notifier",
        }
    }
}

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Python => "python",
            Self::Sql => "sql",
            Self::Sigma => "sigma",
        }
    }

    fn sdk(self) -> Option<Sdk> {
        match self {
            Self::Rust => Some(Sdk::Rust),
            Self::Go => Some(Sdk::Go),
            Self::Python => Some(Sdk::Python),
            Self::Sql | Self::Sigma => None,
        }
    }

    /// What the rule's detector may use, about twice what the template's own uses.
    fn fuel(self) -> &'static str {
        match self {
            Self::Rust => "20_000",
            Self::Go => "100_000",
            Self::Python | Self::Sql | Self::Sigma => "1_000_000",
        }
    }

    /// The step of the CI workflow that brings the toolchain.
    fn workflow(self) -> &'static str {
        match self {
            Self::Rust => "      - run: rustup target add wasm32-unknown-unknown\n",
            Self::Go => {
                "      - uses: actions/setup-go@v5\n        with:\n          go-version: stable\n"
            }
            Self::Python => {
                "      - uses: actions/setup-python@v5\n        with:\n          python-version: \"3.12\"\n"
            }
            Self::Sql | Self::Sigma => "",
        }
    }

    /// Where the unit tests are, and how they are run without Wasm.
    fn native(self, world: World) -> Option<String> {
        let tests = match self {
            Self::Rust => "cargo test",
            Self::Go => "go test .",
            Self::Python => {
                "PYTHONPATH=.:../.yagura/sdk/python/src python3 -m unittest discover tests"
            }
            Self::Sql | Self::Sigma => return None,
        };
        Some(format!("(cd {} && {tests})", world.name()))
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
    let (language, world) = (arguments.lang, arguments.world);
    if language.sdk().is_none() && world != World::Detector {
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
    tell(language, world, dir, &files)?;
    Ok(0)
}

/// Returns the files of the pack, in order of path.
fn files(language: Language, world: World, name: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    // Code is in a folder of its world, below that of its language.
    let own = match language.sdk() {
        Some(_) => format!("{}/{}", language.name(), world.name()),
        None => language.name().to_owned(),
    };
    for (part, base) in [("common", "common"), (&own, language.name())] {
        let dir = TEMPLATES
            .get_dir(part)
            .with_context(|| format!("there is no template {part}"))?;
        collect(dir, Path::new(base), &mut files)?;
    }
    let mut plugin = "";
    if language.sdk().is_some() {
        plugin = text_of(&format!("worlds/{}.toml", world.name()))?;
        if world == World::Detector {
            let rule = text_of("rule.toml")?;
            files.push(("rules/root-login.toml".into(), rule.to_owned()));
        } else {
            let case = text_of(&format!("worlds/{}.json", world.name()))?;
            let file = format!("tests/{}/first.json", world.name());
            files.push((file.into(), case.to_owned()));
        }
    }
    let steps = match world {
        World::Detector => text_of("steps/detector.yml")?,
        World::Enricher | World::Reviewer | World::Notifier => text_of("steps/answering.yml")?,
    };
    for (_, text) in &mut files {
        *text = text
            .replace("{{name}}", name)
            .replace("{{plugin}}", plugin.trim_end())
            .replace("{{fuel}}", language.fuel())
            .replace("{{workflow}}\n", language.workflow())
            .replace("{{steps}}\n", steps)
            .replace("{{native}}", &language.native(world).unwrap_or_default());
    }
    files.sort();
    Ok(files)
}

/// Returns a template that is one file.
fn text_of(name: &str) -> Result<&'static str> {
    TEMPLATES
        .get_file(name)
        .and_then(|file| file.contents_utf8())
        .with_context(|| format!("there is no template {name}"))
}

fn collect(
    dir: &'static Dir<'static>,
    base: &Path,
    files: &mut Vec<(PathBuf, String)>,
) -> Result<()> {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => {
                if !dir.path().ends_with("__pycache__") {
                    collect(dir, base, files)?;
                }
            }
            DirEntry::File(file) => {
                let path = file.path().strip_prefix(base).unwrap_or(file.path());
                let text = file
                    .contents_utf8()
                    .with_context(|| format!("the template {} is no text", path.display()))?;
                // Toolchains that look for their own files must not find ours.
                let path = match path.extension() {
                    Some(extension) if extension == "in" => path.with_extension(""),
                    _ => path.to_owned(),
                };
                files.push((path, text.to_owned()));
            }
        }
    }
    Ok(())
}

/// Returns the pack's name: the directory's, in the letters that names have.
fn name_of(dir: &Path) -> Result<String> {
    let absolute = std::path::absolute(dir)
        .with_context(|| format!("cannot tell where {} is", dir.display()))?;
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

fn tell(language: Language, world: World, dir: &Path, files: &[(PathBuf, String)]) -> Result<()> {
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
    if world == World::Detector {
        writeln!(out, "  yagura dev .      # again on every save")?;
    }
    if let Some(native) = language.native(world) {
        writeln!(out, "  {native}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use yagura_core::pack::{Manifest, parse};

    use super::*;

    #[test]
    fn no_template_leaves_a_gap() {
        for language in Language::value_variants() {
            for world in World::value_variants() {
                if language.sdk().is_none() && *world != World::Detector {
                    continue;
                }
                let files = files(*language, *world, "logins").unwrap();
                let names: Vec<String> = files
                    .iter()
                    .map(|(path, _)| path.display().to_string())
                    .collect();
                for name in ["pack.toml", ".gitignore", ".github/workflows/test.yml"] {
                    assert!(names.iter().any(|known| known == name), "{names:?}");
                }
                for (path, text) in &files {
                    assert_eq!(gap(text), None, "{}: {text}", path.display());
                    assert_ne!(path.extension().unwrap_or_default(), "in");
                }
                let manifest = files
                    .iter()
                    .find(|(path, _)| path == Path::new("pack.toml"));
                let (path, text) = manifest.unwrap();
                let manifest: Manifest = parse(path, text).unwrap();
                for plugin in manifest.plugins {
                    assert_eq!(plugin.world.name(), world.name());
                    let source = plugin.source.unwrap();
                    assert!(files.iter().any(|(path, _)| path.starts_with(&source)));
                }
            }
        }
    }

    /// Returns the first `{{name}}` of a text; a secret's placeholder and what languages write with two braces is none.
    fn gap(text: &str) -> Option<&str> {
        text.split("{{").skip(1).find(|rest| {
            rest.split_once("}}").is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase())
            })
        })
    }

    #[test]
    fn the_pack_is_named_after_its_directory() {
        assert_eq!(name_of(Path::new("/tmp/My Logins!")).unwrap(), "my-logins");
        assert!(name_of(Path::new("/tmp/§§")).is_err());
    }
}
