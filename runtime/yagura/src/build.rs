//! From a plugin's source to the component that its pack names.
//!
//! In this order: which crates there are to build, a toolchain that compiles to Wasm, cargo, the component around the
//! core module, and the check that it imports nothing that its world does not offer.

mod toolchain;

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use wit_component::ComponentEncoder;
use yagura_core::pack::{Manifest, World, parse};
use yagura_host::{LoadError, inspect};

use crate::exit::RuleFault;
use toolchain::{Toolchain, guests_target};

/// A plugin that was built.
#[derive(Debug, Serialize)]
pub(crate) struct Built {
    /// The component.
    pub(crate) path: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
    /// The interfaces that it imports.
    pub(crate) imports: Vec<String>,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// Builds every plugin of the pack in `dir` that has a `source`, or the plugin crate in `dir`.
///
/// # Errors
/// When there is nothing to build, no toolchain, when cargo fails (its own messages go to stderr), and when the result is
/// not a plugin of its world.
pub(crate) fn build(dir: &Path) -> Result<Vec<Built>> {
    let targets = targets(dir)?;
    let toolchain = Toolchain::find()?;
    tracing::debug!(%toolchain, "building plugins");
    targets
        .iter()
        .map(|target| build_one(&toolchain, target))
        .collect()
}

/// What is to be built.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// Directory of the crate.
    source: PathBuf,
    /// Where the component goes; absent: beside the crate's `Cargo.toml`, under the library's name.
    output: Option<PathBuf>,
    /// The world that the pack names; absent: whichever it is.
    world: Option<World>,
}

fn targets(dir: &Path) -> Result<Vec<Target>> {
    if dir.join("pack.toml").is_file() {
        let targets = pack_targets(dir)?;
        if targets.is_empty() {
            return Err(RuleFault(format!(
                "{} has no plugin to build: give a [[plugin]] its crate by `source = \"detector\"`",
                dir.join("pack.toml").display()
            ))
            .into());
        }
        return Ok(targets);
    }
    if !dir.join("Cargo.toml").is_file() {
        bail!(
            "{} is neither a pack nor a plugin crate: it has no pack.toml and no Cargo.toml",
            dir.display()
        );
    }
    // A crate inside a pack goes to the place that the pack names.
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
    Ok(vec![Target {
        source: dir.to_owned(),
        output: None,
        world: None,
    }])
}

fn pack_targets(pack: &Path) -> Result<Vec<Target>> {
    let file = pack.join("pack.toml");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest: Manifest = parse(&file, &text)?;
    let with_source = manifest
        .plugins
        .into_iter()
        .filter_map(|plugin| Some((plugin.source?, plugin.file, plugin.world)));
    with_source
        .map(|(source, name, world)| {
            let source = pack.join(source);
            if !source.join("Cargo.toml").is_file() {
                return Err(RuleFault(format!(
                    "{}: the `source` of `{name}` holds no Rust crate: there is no {}",
                    file.display(),
                    source.join("Cargo.toml").display()
                ))
                .into());
            }
            Ok(Target {
                source,
                output: Some(pack.join(name)),
                world: Some(world),
            })
        })
        .collect()
}

fn build_one(toolchain: &Toolchain, target: &Target) -> Result<Built> {
    let start = Instant::now();
    let core_file = compile(toolchain, &target.source)?;
    let core =
        fs::read(&core_file).with_context(|| format!("cannot read {}", core_file.display()))?;
    let path = match (&target.output, core_file.file_name()) {
        (Some(output), _) => output.clone(),
        (None, Some(name)) => target.source.join(name),
        (None, None) => bail!("{} is not a file", core_file.display()),
    };
    let name = path.display().to_string();
    let component = componentize(&core).map_err(|error| {
        RuleFault(format!(
            "{} does not become a component: {error:#}",
            target.source.display()
        ))
    })?;
    let imports = check(&name, &component, target.world)?;
    write(&path, &component).with_context(|| format!("cannot write {name}"))?;
    Ok(Built {
        path,
        bytes: component.len() as u64,
        imports,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Runs cargo and returns the core module that it made.
fn compile(toolchain: &Toolchain, source: &Path) -> Result<PathBuf> {
    let manifest = source
        .join("Cargo.toml")
        .canonicalize()
        .with_context(|| format!("cannot read {}", source.display()))?;
    let mut command = toolchain.build_command(source, &guests_target());
    // Compiler errors come rendered on stderr, as the author knows them; artifacts as JSON on stdout.
    command
        .args(["--lib", "--message-format=json-render-diagnostics"])
        .stdout(Stdio::piped());
    let artifacts = run(&mut command)
        .with_context(|| format!("cannot run cargo of {toolchain} in {}", source.display()))?
        .ok_or_else(|| {
            RuleFault(format!(
                "{} does not compile: cargo says why above",
                source.display()
            ))
        })?;
    artifacts
        .iter()
        .find_map(|line| module_of(line, &manifest))
        .ok_or_else(|| {
            RuleFault(format!(
                "{} makes no Wasm module: give it `[lib] crate-type = [\"cdylib\"]`",
                manifest.display()
            ))
            .into()
        })
}

/// Runs a command and returns its lines, or nothing when it failed.
fn run(command: &mut Command) -> Result<Option<Vec<String>>> {
    let mut child = command.spawn()?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| anyhow!("no output to read"))?;
    let lines = std::io::BufReader::new(stdout)
        .lines()
        .collect::<Result<Vec<_>, _>>()?;
    Ok(child.wait()?.success().then_some(lines))
}

/// Cargo's message about an artifact; other messages lack one of these fields.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: ArtifactTarget,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct ArtifactTarget {
    kind: Vec<String>,
}

fn module_of(line: &str, manifest: &Path) -> Option<PathBuf> {
    let artifact: Artifact = serde_json::from_str(line).ok()?;
    let is_ours = artifact.manifest_path == manifest
        && artifact.target.kind.iter().any(|kind| kind == "cdylib");
    let mut modules = artifact.filenames.into_iter();
    modules.find(|file| {
        is_ours
            && file
                .extension()
                .is_some_and(|extension| extension == "wasm")
    })
}

fn componentize(core: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(core)?
        .encode()
}

/// Checks world and imports as the host will, and returns the imports.
fn check(name: &str, component: &[u8], expected: Option<World>) -> Result<Vec<String>> {
    let info = inspect(name, component)?;
    let name = name.to_owned();
    let Some(world) = info.world else {
        return Err(LoadError::NoWorld {
            name,
            expected: expected.unwrap_or(World::Detector),
            exports: info.exports,
        }
        .into());
    };
    if let Some(expected) = expected.filter(|expected| *expected != world) {
        return Err(LoadError::WrongWorld {
            name,
            found: world,
            expected,
        }
        .into());
    }
    let offered = offered(world);
    let is_offered = |import: &str| {
        let interface = import
            .strip_prefix("yagura:plugin/")
            .and_then(|rest| rest.split('@').next());
        interface.is_some_and(|interface| offered.contains(&interface))
    };
    if let Some(import) = info.imports.iter().find(|import| !is_offered(import)) {
        return Err(LoadError::ForbiddenImport {
            name,
            import: import.clone(),
            world,
        }
        .into());
    }
    Ok(info.imports)
}

/// The interfaces that a world offers, `types` among them because it holds no functions.
fn offered(world: World) -> &'static [&'static str] {
    match world {
        World::Detector | World::Normalizer => &["types", "log"],
        World::Enricher => &["types", "log", "http", "search", "lookup"],
        World::Reviewer => &["types", "log", "lookup"],
        World::Notifier => &["types", "log", "http"],
    }
}

/// Writes beside the file and renames, so that nobody loads half a component.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    fs::write(&partial, bytes)?;
    fs::rename(&partial, path).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&partial);
    })
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
            vec![Target {
                source,
                output: Some(pack.join("a.wasm")),
                world: Some(World::Detector),
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
    fn what_cannot_be_built_is_said_clearly() {
        let dir = tempfile::tempdir().unwrap();
        let error = |dir: &Path| format!("{:#}", targets(dir).unwrap_err());
        assert!(error(dir.path()).contains("neither a pack nor a plugin crate"));
        let file = dir.path().join("pack.toml");
        fs::write(&file, PACK).unwrap();
        assert!(error(dir.path()).contains("no plugin to build"));
        let plugin = "[[plugin]]\nfile = \"a.wasm\"\nworld = \"detector\"\nsource = \"gone\"\n";
        fs::write(&file, format!("{PACK}{plugin}")).unwrap();
        assert!(error(dir.path()).contains("gone/Cargo.toml"));
        // A crate outside any pack is built beside itself.
        let lone = tempfile::tempdir().unwrap();
        crate_at(lone.path());
        assert_eq!(targets(lone.path()).unwrap()[0].output, None);
    }

    #[test]
    fn the_module_is_the_cdylib_of_the_crate_itself() {
        let line = |manifest: &str, kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","target":{{"kind":["{kind}"],"name":"a"}},"filenames":["/out/a.wasm"]}}"#
            )
        };
        let manifest = Path::new("/src/Cargo.toml");
        let module = Some(PathBuf::from("/out/a.wasm"));
        assert_eq!(
            module_of(&line("/src/Cargo.toml", "cdylib"), manifest),
            module
        );
        assert_eq!(
            module_of(&line("/other/Cargo.toml", "cdylib"), manifest),
            None
        );
        assert_eq!(module_of(&line("/src/Cargo.toml", "lib"), manifest), None);
        assert_eq!(
            module_of(r#"{"reason":"build-finished","success":true}"#, manifest),
            None
        );
    }

    /// A component of a world that is made up of imports and exports of these names.
    fn component(world: &str) -> Vec<u8> {
        let wit = format!(
            "package yagura:plugin@0.1.0;
            interface log {{ log: func(); }}
            interface http {{ send: func(); }}
            interface detection {{ on-batch: func(); }}
            interface notifying {{ notify: func(); }}
            world w {{ {world} }}"
        );
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_str("w.wit", &wit).unwrap();
        let world = resolve.select_world(&[package], Some("w")).unwrap();
        let mangling = wit_parser::ManglingAndAbi::Standard32;
        let mut core = wit_component::dummy_module(&resolve, world, mangling);
        wit_component::embed_component_metadata(
            &mut core,
            &resolve,
            world,
            wit_component::StringEncoding::UTF8,
        )
        .unwrap();
        componentize(&core).unwrap()
    }

    #[test]
    fn a_component_may_import_only_what_its_world_offers() {
        let detector = component("import log; export detection;");
        assert_eq!(
            check("d", &detector, Some(World::Detector)).unwrap(),
            ["yagura:plugin/log@0.1.0"]
        );
        let greedy = component("import http; export detection;");
        let error = check("d", &greedy, None).unwrap_err().to_string();
        assert!(error.contains("`yagura:plugin/http@0.1.0`"), "{error}");
        let notifier = component("import http; export notifying;");
        assert!(check("n", &notifier, Some(World::Notifier)).is_ok());
        let error = check("n", &notifier, Some(World::Detector)).unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(LoadError::WrongWorld { .. })),
            "{error}"
        );
        let error = check("n", &component("import log;"), None).unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(LoadError::NoWorld { .. })),
            "{error}"
        );
    }

    #[test]
    fn a_component_replaces_the_old_one_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wasm");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
