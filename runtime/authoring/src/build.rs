//! From a plugin's source to the component that its pack names.
//!
//! In this order: what there is to build and in which language, the language's own toolchain, the component around the core
//! module, and the check that it imports nothing that its world does not offer.

mod component;
mod go;
mod python;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use yagura_core::pack::{Manifest, World, parse};
use yagura_core::{Fault, OrFault};

use crate::files::replace;
use crate::schema;
use crate::sdk::{DIRECTORY, Sdk};

pub use python::installed as python_installed;

/// A plugin that was built.
#[derive(Debug, Serialize)]
pub struct Built {
    /// The component.
    pub path: PathBuf,
    /// What it was made of.
    pub language: SourceLanguage,
    /// Its size.
    pub bytes: u64,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// The language of a plugin's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceLanguage {
    /// A crate: `Cargo.toml`.
    Rust,
    /// A module: `go.mod`.
    Go,
    /// Modules: `*.py`.
    Python,
    /// A core module or component that the author made in some other way: a `.wasm` file.
    Wasm,
}

impl SourceLanguage {
    /// Returns the language of a source by the file that each language has, or nothing.
    fn of(source: &Path) -> Option<Self> {
        if source.is_file() {
            return source
                .extension()
                .is_some_and(|extension| extension == "wasm")
                .then_some(Self::Wasm);
        }
        if source.join("Cargo.toml").is_file() {
            return Some(Self::Rust);
        }
        if source.join("go.mod").is_file() {
            return Some(Self::Go);
        }
        let is_python = |file: PathBuf| file.extension().is_some_and(|extension| extension == "py");
        let mut files = fs::read_dir(source).into_iter().flatten().flatten();
        files
            .any(|file| is_python(file.path()))
            .then_some(Self::Python)
    }

    /// Returns the SDK for the language, and the file by which a source refers to it.
    fn sdk(self) -> Option<(Sdk, &'static str)> {
        match self {
            Self::Rust => Some((Sdk::Rust, "Cargo.toml")),
            Self::Go => Some((Sdk::Go, "go.mod")),
            Self::Python => Some((Sdk::Python, "pyproject.toml")),
            Self::Wasm => None,
        }
    }
}

/// Builds every plugin of the pack in `dir` that has a `source`, or the plugin source in `dir`.
///
/// # Errors
/// When there is nothing to build, no toolchain, when a compiler fails (its own messages go to stderr), and when the result
/// is not a plugin of its world.
pub fn build(dir: &Path) -> Result<Vec<Built>> {
    schema::refresh(dir);
    targets(dir)?.iter().map(build_one).collect()
}

/// Returns whether the pack in `dir` has a plugin to build.
///
/// # Errors
/// When its `pack.toml` cannot be read, or a plugin's source is nothing that can be built.
pub fn has_sources(dir: &Path) -> Result<bool> {
    Ok(!pack_targets(dir)?.is_empty())
}

/// A plugin that must be built.
#[derive(Debug, PartialEq, Eq)]
struct BuildTarget {
    language: SourceLanguage,
    /// Directory of the crate or module, or the file.
    source: PathBuf,
    /// Where the component goes; absent: beside the source's own files, under its name.
    output: Option<PathBuf>,
    /// The world that the pack names; absent: whichever it is.
    world: Option<World>,
    /// The pack, or the source itself where it is in none.
    home: PathBuf,
}

fn targets(dir: &Path) -> Result<Vec<BuildTarget>> {
    if dir.join("pack.toml").is_file() {
        let targets = pack_targets(dir)?;
        if targets.is_empty() {
            return Err(Fault::rule(format!(
                "{} has no plugin to build: give a [[plugin]] its code by `source = \"detector\"`",
                dir.join("pack.toml").display()
            ))
            .into());
        }
        return Ok(targets);
    }
    let Some(language) = SourceLanguage::of(dir) else {
        bail!(
            "{} is neither a pack nor a plugin's source: it has no pack.toml, no Cargo.toml, no go.mod and no *.py",
            dir.display()
        );
    };
    // A source inside a pack goes to the place that the pack names.
    let source = dir
        .canonicalize()
        .with_context(|| format!("cannot read {}", dir.display()))?;
    for pack in source
        .ancestors()
        .skip(1)
        .filter(|pack| pack.join("pack.toml").is_file())
    {
        for target in pack_targets(pack)? {
            if target
                .source
                .canonicalize()
                .is_ok_and(|known| known == source)
            {
                return Ok(vec![target]);
            }
        }
    }
    Ok(vec![BuildTarget {
        language,
        source: dir.to_owned(),
        output: None,
        world: None,
        home: dir.to_owned(),
    }])
}

fn pack_targets(pack: &Path) -> Result<Vec<BuildTarget>> {
    let file = pack.join("pack.toml");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest: Manifest = parse(&file, &text).or_fault()?;
    let with_source = manifest
        .plugins
        .into_iter()
        .filter_map(|plugin| Some((plugin.source?, plugin.file, plugin.world)));
    with_source
        .map(|(source, name, world)| {
            let source = pack.join(source);
            let Some(language) = SourceLanguage::of(&source) else {
                return Err(Fault::rule(format!(
                    "{}: the `source` of `{name}` holds nothing to build: {} has no Cargo.toml, no go.mod and no *.py, and is not a .wasm file",
                    file.display(),
                    source.display()
                ))
                .into());
            };
            Ok(BuildTarget {
                language,
                source,
                output: Some(pack.join(name)),
                world: Some(world),
                home: pack.to_owned(),
            })
        })
        .collect()
}

fn build_one(target: &BuildTarget) -> Result<Built> {
    let start = Instant::now();
    if let Some((sdk, manifest)) = target.language.sdk()
        && fs::read_to_string(target.source.join(manifest))
            .is_ok_and(|text| text.contains(&format!("{DIRECTORY}/sdk/")))
    {
        sdk.place(&target.home).with_context(|| {
            format!(
                "cannot write the SDK to {}",
                target.home.join(DIRECTORY).display()
            )
        })?;
    }
    let made = make(target)?;
    let path = target
        .output
        .clone()
        .unwrap_or_else(|| target.source.join(&made.name));
    let name = path.display().to_string();
    let component = component::componentize(&made.bytes, target.world).map_err(|error| {
        Fault::rule(format!(
            "{} does not become a component: {error:#}",
            target.source.display()
        ))
    })?;
    let imports = component::check(&name, &component, target.world).or_fault()?;
    replace(&path, &component).with_context(|| format!("cannot write {name}"))?;
    Ok(Built {
        path,
        language: target.language,
        bytes: component.len() as u64,
        imports,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// What a toolchain made: a core module or a component.
struct ToolchainOutput {
    /// The file's name, for where no pack gives it one.
    name: String,
    bytes: Vec<u8>,
}

fn make(target: &BuildTarget) -> Result<ToolchainOutput> {
    let read =
        |file: &Path| fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let named = |fallback: &str| {
        let name = target.source.canonicalize().ok();
        let name = name.as_deref().and_then(Path::file_name);
        let name = name.map_or(fallback.into(), |name| name.to_string_lossy());
        format!("{name}.wasm")
    };
    match target.language {
        SourceLanguage::Rust => {
            let file = rust::compile(&target.source)?;
            let name = file.file_name().unwrap_or_default();
            Ok(ToolchainOutput {
                name: name.to_string_lossy().into_owned(),
                bytes: read(&file)?,
            })
        }
        SourceLanguage::Go => {
            let dir = tempfile::tempdir().context("cannot make a directory to build in")?;
            let file = dir.path().join("plugin.wasm");
            go::compile(&target.source, &file)?;
            Ok(ToolchainOutput {
                name: named("plugin"),
                bytes: read(&file)?,
            })
        }
        SourceLanguage::Python => {
            let world = target.world.unwrap_or(World::Detector);
            Ok(ToolchainOutput {
                name: named("plugin"),
                bytes: python::componentize(&target.source, world)?,
            })
        }
        SourceLanguage::Wasm => Ok(ToolchainOutput {
            name: named("plugin"),
            bytes: read(&target.source)?,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: &str = "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n";

    fn crate_at(dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("Cargo.toml"), "").unwrap();
    }

    #[test]
    fn a_pack_names_what_to_build_and_where_to() {
        let dir = tempfile::tempdir().unwrap();
        let pack = dir.path();
        crate_at(&pack.join("code/one"));
        let plugins = "[[plugin]]\nfile = \"a.wasm\"\nworld = \"detector\"\nsource = \"code/one\"\n\
            [[plugin]]\nfile = \"b.wasm\"\nworld = \"notifier\"\n";
        fs::write(pack.join("pack.toml"), format!("{PACK}{plugins}")).unwrap();
        let wanted = |source: PathBuf, pack: &Path| {
            vec![BuildTarget {
                language: SourceLanguage::Rust,
                source,
                output: Some(pack.join("a.wasm")),
                world: Some(World::Detector),
                home: pack.to_owned(),
            }]
        };
        assert_eq!(targets(pack).unwrap(), wanted(pack.join("code/one"), pack));
        // The crate alone goes to the same place.
        let real = pack.canonicalize().unwrap();
        assert_eq!(
            targets(&pack.join("code/one")).unwrap(),
            wanted(real.join("code/one"), &real)
        );
    }

    #[test]
    fn an_error_names_what_cannot_be_built() {
        let dir = tempfile::tempdir().unwrap();
        let error = |dir: &Path| format!("{:#}", targets(dir).unwrap_err());
        assert!(error(dir.path()).contains("neither a pack nor a plugin's source"));
        let file = dir.path().join("pack.toml");
        fs::write(&file, PACK).unwrap();
        assert!(error(dir.path()).contains("no plugin to build"));
        let plugin = "[[plugin]]\nfile = \"a.wasm\"\nworld = \"detector\"\nsource = \"gone\"\n";
        fs::write(&file, format!("{PACK}{plugin}")).unwrap();
        assert!(error(dir.path()).contains("gone has no Cargo.toml"));
        // A crate outside any pack is built beside itself.
        let lone = tempfile::tempdir().unwrap();
        crate_at(lone.path());
        assert_eq!(targets(lone.path()).unwrap()[0].output, None);
    }

    #[test]
    fn the_language_follows_from_the_sources() {
        let dir = tempfile::tempdir().unwrap();
        let language = |file: &str| {
            let source = dir.path().join(file.replace('.', "-"));
            fs::create_dir_all(&source).unwrap();
            fs::write(source.join(file), "").unwrap();
            SourceLanguage::of(&source)
        };
        assert_eq!(language("Cargo.toml"), Some(SourceLanguage::Rust));
        assert_eq!(language("go.mod"), Some(SourceLanguage::Go));
        assert_eq!(language("login.py"), Some(SourceLanguage::Python));
        assert_eq!(language("login.rb"), None);
        let module = dir.path().join("made.wasm");
        fs::write(&module, "").unwrap();
        assert_eq!(SourceLanguage::of(&module), Some(SourceLanguage::Wasm));
    }
}
