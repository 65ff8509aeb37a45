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
    fn native(self) -> Option<&'static str> {
        match self {
            Self::Rust => Some("(cd detector && cargo test)"),
            Self::Go => Some("(cd detector && go test .)"),
            Self::Python => Some(
                "(cd detector && PYTHONPATH=.:../.yagura/sdk/python/src python3 -m unittest discover tests)",
            ),
            Self::Sql | Self::Sigma => None,
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
    let language = arguments.lang;
    let files = files(language, &name)?;
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
    tell(language, dir, &files)?;
    Ok(0)
}

/// Returns the files of the pack, in order of path.
fn files(language: Language, name: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for part in ["common", language.name()] {
        let dir = TEMPLATES
            .get_dir(part)
            .with_context(|| format!("there is no template {part}"))?;
        collect(dir, Path::new(part), &mut files)?;
    }
    if language.sdk().is_some() {
        let rule = text_of("rule.toml")?;
        files.push(("rules/root-login.toml".into(), rule.to_owned()));
    }
    let plugin = match language.sdk() {
        Some(_) => text_of("plugin.toml")?,
        None => "",
    };
    for (_, text) in &mut files {
        *text = text
            .replace("{{name}}", name)
            .replace("{{plugin}}", plugin.trim_end())
            .replace("{{fuel}}", language.fuel())
            .replace("{{workflow}}\n", language.workflow());
    }
    files.sort();
    Ok(files)
}

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

fn tell(language: Language, dir: &Path, files: &[(PathBuf, String)]) -> Result<()> {
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
    writeln!(out, "  yagura dev .      # again on every save")?;
    if let Some(native) = language.native() {
        writeln!(out, "  {native}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_template_leaves_a_gap() {
        for language in Language::value_variants() {
            let files = files(*language, "logins").unwrap();
            let names: Vec<String> = files
                .iter()
                .map(|(path, _)| path.display().to_string())
                .collect();
            for name in ["pack.toml", ".gitignore", ".github/workflows/test.yml"] {
                assert!(names.iter().any(|known| known == name), "{names:?}");
            }
            for (path, text) in &files {
                assert!(!text.contains("{{"), "{}: {text}", path.display());
                assert_ne!(path.extension().unwrap_or_default(), "in");
            }
        }
    }

    #[test]
    fn the_pack_is_named_after_its_directory() {
        assert_eq!(name_of(Path::new("/tmp/My Logins!")).unwrap(), "my-logins");
        assert!(name_of(Path::new("/tmp/§§")).is_err());
    }
}
