//! The component around a core module, and the check that it keeps to its world.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, SourceMap};
use yagura_core::pack::World;
use yagura_host::{LoadError, inspect};

/// The plugin contract, file by file.
pub(crate) const CONTRACT: [(&str, &str); 2] = [
    (
        "types.wit",
        include_str!("../../../../wit/v0.1.0/types.wit"),
    ),
    (
        "worlds.wit",
        include_str!("../../../../wit/v0.1.0/worlds.wit"),
    ),
];

/// Where guests of stock toolchains look for an operating system.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// The world of [`PREVIEW1`]'s stand-in.
const STAND_IN_WORLD: &str =
    "package yagura:preview1; world stand-in { import yagura:plugin/log@0.1.0; }";

/// Makes a component of a core module. A module that does not say which world it is of, as compilers without bindings
/// generator leave it, is of `world`; a component stays as it is.
///
/// # Errors
/// When the module does not fit its world, or imports what no world has.
pub(super) fn componentize(core: &[u8], world: Option<World>) -> Result<Vec<u8>> {
    if Parser::is_component(core) {
        return Ok(core.to_vec());
    }
    let facts = Facts::of(core)?;
    let mut core = core.to_vec();
    if !facts.has_world {
        let world = world.ok_or_else(|| {
            anyhow!("it does not say which world it is of: build it through its pack, whose pack.toml says so")
        })?;
        facts.fit(world)?;
        let (resolve, package) = contract()?;
        let world = resolve.select_world(&[package], Some(world.name()))?;
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&core)?;
    if facts.uses_preview1 {
        encoder.adapter(PREVIEW1, &preview1()?)?;
    }
    encoder.encode()
}

/// What decides how a core module becomes a component.
struct Facts {
    has_world: bool,
    uses_preview1: bool,
    /// The contract's interfaces that it imports and exports, each once.
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

impl Facts {
    fn of(core: &[u8]) -> Result<Self> {
        let mut facts = Self {
            has_world: false,
            uses_preview1: false,
            imports: BTreeSet::new(),
            exports: BTreeSet::new(),
        };
        for payload in Parser::new(0).parse_all(core) {
            match payload.context("it is not WebAssembly")? {
                Payload::CustomSection(section) => {
                    facts.has_world |= section.name().starts_with("component-type");
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let module = import?.module;
                        facts.uses_preview1 |= module == PREVIEW1;
                        facts.imports.extend(interface(module).map(str::to_owned));
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        facts
                            .exports
                            .extend(interface(export?.name).map(str::to_owned));
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Checks that the module fits a world.
    ///
    /// # Errors
    /// What it lacks, in an author's words.
    fn fit(&self, world: World) -> Result<()> {
        let wanted = exported(world);
        if !self.exports.contains(wanted) {
            let others: Vec<&str> = WORLDS
                .into_iter()
                .filter(|other| self.exports.contains(exported(*other)))
                .map(World::name)
                .collect();
            return Err(if others.is_empty() {
                anyhow!(
                    "it does not export `yagura:plugin/{wanted}`, which each {} exports: its code registers none",
                    world.name()
                )
            } else {
                anyhow!(
                    "it does not export `yagura:plugin/{wanted}`, which each {0} exports: its code is for the world {1}, but pack.toml has `world = \"{0}\"`",
                    world.name(),
                    others.join(" and ")
                )
            });
        }
        let offered = offered(world);
        if let Some(import) = self
            .imports
            .iter()
            .find(|import| !offered.contains(&import.as_str()))
        {
            let names: Vec<String> = offered
                .iter()
                .filter(|name| **name != "types")
                .map(|name| format!("`{name}`"))
                .collect();
            bail!(
                "it imports `yagura:plugin/{import}`, which the world {} does not offer: it has {}; a package of the SDK for another world is imported somewhere",
                world.name(),
                names.join(", ")
            );
        }
        Ok(())
    }
}

/// Returns the name of the contract's interface in the name of a module that is imported or of a function that is exported.
fn interface(name: &str) -> Option<&str> {
    // Compilers that follow the newer convention put its name first.
    let name = name.strip_prefix("cm32p2|").unwrap_or(name);
    name.strip_prefix("yagura:plugin/")?.split('@').next()
}

/// All worlds of the contract.
const WORLDS: [World; 5] = [
    World::Detector,
    World::Enricher,
    World::Reviewer,
    World::Notifier,
    World::Normalizer,
];

/// The interface that a world exports.
fn exported(world: World) -> &'static str {
    match world {
        World::Detector => "detection",
        World::Enricher => "enrichment",
        World::Reviewer => "reviewing",
        World::Notifier => "notifying",
        World::Normalizer => "normalizing",
    }
}

/// Returns the plugin contract.
fn contract() -> Result<(Resolve, PackageId)> {
    let mut files = SourceMap::default();
    for (name, text) in CONTRACT {
        files.push_str(name, text);
    }
    let group = files.parse().map_err(|(_, error)| anyhow!("{error}"))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group)?;
    Ok((resolve, package))
}

/// Returns the stand-in for WASI preview 1.
fn preview1() -> Result<Vec<u8>> {
    let mut module = wat::parse_str(include_str!("preview1.wat"))?;
    let (mut resolve, _) = contract()?;
    let package = resolve.push_source("stand-in.wit", STAND_IN_WORLD)?;
    let world = resolve.select_world(&[package], Some("stand-in"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

/// Writes the contract's files into a directory.
pub(super) fn write_contract(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, text) in CONTRACT {
        std::fs::write(dir.join(name), text)?;
    }
    Ok(())
}

/// Checks world and imports as the host will, and returns the imports.
pub(super) fn check(
    name: &str,
    component: &[u8],
    expected: Option<World>,
) -> Result<Vec<String>, LoadError> {
    let info = inspect(name, component)?;
    let name = name.to_owned();
    let Some(world) = info.world else {
        return Err(LoadError::NoWorld {
            name,
            expected: expected.unwrap_or(World::Detector),
            exports: info.exports,
        });
    };
    if let Some(expected) = expected.filter(|expected| *expected != world) {
        return Err(LoadError::WrongWorld {
            name,
            found: world,
            expected,
        });
    }
    let offered = offered(world);
    let is_offered =
        |import: &str| interface(import).is_some_and(|interface| offered.contains(&interface));
    if let Some(import) = info.imports.iter().find(|import| !is_offered(import)) {
        return Err(LoadError::ForbiddenImport {
            name,
            import: import.clone(),
            world,
        });
    }
    Ok(info.imports)
}

/// The interfaces that a world offers, `types` among them because it holds no functions.
fn offered(world: World) -> &'static [&'static str] {
    match world {
        World::Detector => &["types", "log", "state"],
        World::Normalizer => &["types", "log"],
        World::Enricher => &["types", "log", "http", "search", "lookup"],
        World::Reviewer => &["types", "log", "lookup"],
        World::Notifier => &["types", "log", "http"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut resolve = Resolve::default();
        let package = resolve.push_str("w.wit", &wit).unwrap();
        let world = resolve.select_world(&[package], Some("w")).unwrap();
        let mangling = wit_parser::ManglingAndAbi::Standard32;
        let mut core = wit_component::dummy_module(&resolve, world, mangling);
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
        componentize(&core, None).unwrap()
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
        assert!(matches!(error, LoadError::WrongWorld { .. }), "{error}");
        let error = check("n", &component("import log;"), None).unwrap_err();
        assert!(matches!(error, LoadError::NoWorld { .. }), "{error}");
    }

    /// A core module of the notifier world as a compiler without bindings generator leaves it, which also asks WASI for the
    /// time and for a descriptor to write to.
    const BARE: &str = r#"(module
        (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "yagura:plugin/notifying@0.1.0#open") (param i32 i32) (result i32) unreachable)
        (func (export "yagura:plugin/notifying@0.1.0#notify") (param i32) (result i32) unreachable))"#;

    #[test]
    fn a_module_without_metadata_takes_the_world_of_its_pack_and_needs_no_system() {
        let core = wat::parse_str(BARE).unwrap();
        let component = componentize(&core, Some(World::Notifier)).unwrap();
        let imports = check("n", &component, Some(World::Notifier)).unwrap();
        let foreign = |import: &&String| !import.starts_with("yagura:plugin/");
        assert_eq!(imports.iter().find(foreign), None, "{imports:?}");
        // What is a component already is not wrapped once more.
        assert_eq!(componentize(&component, None).unwrap(), component);
        let error = componentize(&core, None).unwrap_err().to_string();
        assert!(error.contains("pack.toml"), "{error}");
        let error = componentize(&core, Some(World::Detector)).unwrap_err();
        let wanted = "its code is for the world notifier, but pack.toml has `world = \"detector\"`";
        assert!(format!("{error:#}").contains(wanted), "{error:#}");
    }

    #[test]
    fn a_module_that_imports_what_its_world_lacks_is_refused() {
        let greedy = BARE.replacen(
            "(memory",
            "(import \"yagura:plugin/search@0.1.0\" \"find\" (func)) (memory",
            1,
        );
        let core = wat::parse_str(&greedy).unwrap();
        let error = componentize(&core, Some(World::Notifier))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("it imports `yagura:plugin/search`, which the world notifier does not offer: it has `log`, `http`;"),
            "{error}"
        );
        let nothing = wat::parse_str("(module)").unwrap();
        let error = componentize(&nothing, Some(World::Reviewer))
            .unwrap_err()
            .to_string();
        assert!(error.contains("its code registers none"), "{error}");
    }
}
