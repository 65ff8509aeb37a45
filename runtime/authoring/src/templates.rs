//! Templates of new packs: they build, and their tests pass at once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use include_dir::{Dir, DirEntry, include_dir};

use crate::sdk::Sdk;

/// The language that a new pack is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackLanguage {
    /// A crate.
    Rust,
    /// A module.
    Go,
    /// A folder of modules.
    Python,
    /// A condition, no code.
    Sql,
    /// A Sigma rule as it is, no code.
    Sigma,
}

/// The worlds that there are templates for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TemplateWorld {
    /// Finds what is suspicious in events.
    #[default]
    Detector,
    /// Adds facts to alerts.
    Enricher,
    /// Assesses alerts.
    Reviewer,
    /// Sends reports about incidents.
    Notifier,
    /// Parses raw logs for a source.
    Normalizer,
}

impl TemplateWorld {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Detector,
        Self::Enricher,
        Self::Reviewer,
        Self::Notifier,
        Self::Normalizer,
    ];

    /// Returns its name, which is also that of the folder with the code.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Enricher => "enricher",
            Self::Reviewer => "reviewer",
            Self::Notifier => "notifier",
            Self::Normalizer => "normalizer",
        }
    }
}

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

impl PackLanguage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Go, Self::Python, Self::Sql, Self::Sigma];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Python => "python",
            Self::Sql => "sql",
            Self::Sigma => "sigma",
        }
    }

    /// Returns its SDK, where it has one.
    pub fn sdk(self) -> Option<Sdk> {
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

    /// Returns the command that runs the unit tests without Wasm, where there are any.
    pub fn native(self, world: TemplateWorld) -> Option<String> {
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

/// Returns the files of a new pack, in order of path.
///
/// # Errors
/// When a template is missing, which a test rules out.
pub fn files(
    language: PackLanguage,
    world: TemplateWorld,
    name: &str,
) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    // Code is in a folder of its world, below that of its language.
    let own = match language.sdk() {
        Some(_) => format!("{}/{}", language.name(), world.name()),
        None => language.name().to_owned(),
    };
    for (part, base) in [("common", "common"), (&own, language.name())] {
        collect(dir_of(part)?, Path::new(base), &mut files)?;
    }
    let mut plugin = "";
    if language.sdk().is_some() {
        plugin = text_of(&format!("worlds/{}.toml", world.name()))?;
        match world {
            TemplateWorld::Detector => {
                let rule = text_of("rule.toml")?;
                files.push(("rules/root-login.toml".into(), rule.to_owned()));
            }
            TemplateWorld::Normalizer => {
                let base = "worlds/normalizer";
                collect(dir_of(base)?, Path::new(base), &mut files)?;
            }
            TemplateWorld::Enricher | TemplateWorld::Reviewer | TemplateWorld::Notifier => {
                let case = text_of(&format!("worlds/{}.json", world.name()))?;
                let file = format!("tests/{}/first.json", world.name());
                files.push((file.into(), case.to_owned()));
            }
        }
    }
    let steps = match world {
        TemplateWorld::Detector => text_of("steps/detector.yml")?,
        TemplateWorld::Enricher
        | TemplateWorld::Reviewer
        | TemplateWorld::Notifier
        | TemplateWorld::Normalizer => text_of("steps/answering.yml")?,
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

/// Returns a folder of templates.
fn dir_of(name: &str) -> Result<&'static Dir<'static>> {
    TEMPLATES
        .get_dir(name)
        .with_context(|| format!("no template has the name `{name}`"))
}

/// Returns a template that is one file.
fn text_of(name: &str) -> Result<&'static str> {
    TEMPLATES
        .get_file(name)
        .and_then(|file| file.contents_utf8())
        .with_context(|| format!("no template has the name `{name}`"))
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
                    .with_context(|| format!("the template {} is not text", path.display()))?;
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

#[cfg(test)]
mod tests {
    use yagura_core::pack::{Manifest, parse};

    use super::*;

    #[test]
    fn no_template_leaves_a_gap() {
        for language in PackLanguage::ALL {
            for world in TemplateWorld::ALL {
                if language.sdk().is_none() && world != TemplateWorld::Detector {
                    continue;
                }
                let files = files(language, world, "logins").unwrap();
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
}
