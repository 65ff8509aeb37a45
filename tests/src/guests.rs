//! Guests for tests, as components.
//!
//! They live in `tests/guests` and are built to core modules by `cargo xtask test`, which names their
//! directory in the environment variable `YAGURA_GUESTS`.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// The environment variable that names the directory of `hostile.wasm` and the others.
pub const GUESTS: &str = "YAGURA_GUESTS";

/// Returns the detector that breaks each promise once, chosen by rule id.
pub fn hostile() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| guest("hostile"))
}

/// Returns the detector that imports `wasi:cli/environment@0.2.0`.
pub fn forbidden() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| guest("forbidden"))
}

/// Returns the detectors that do to their key's state what the events say.
pub fn stateful() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| guest("stateful"))
}

/// Returns the normalizer that does what a record says.
pub fn hostile_normalizer() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| guest("hostile_normalizer"))
}

/// Returns the core module of a guest as its compiler made it.
#[expect(
    clippy::panic,
    reason = "a test without its guest must fail and say how to build it"
)]
pub fn core_module(name: &str) -> Vec<u8> {
    let Some(dir) = std::env::var_os(GUESTS) else {
        panic!("{GUESTS} is not set: run the tests by `cargo xtask test`, which builds the guests");
    };
    let file = PathBuf::from(dir).join(name).with_extension("wasm");
    match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) => panic!(
            "cannot read {}: {error}; run `cargo xtask test`, which builds the guests",
            file.display()
        ),
    }
}

/// Makes a core module that carries its world, as `wit-bindgen` leaves it, a component.
pub fn componentize(core: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .module(core)
        .context("not a core module with a world")?
        .validate(true)
        .encode()
}

/// Returns a component of a world of `wit`, given as files and their text; each of its functions only traps.
pub fn dummy(world: &str, wit: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let mut package = None;
    for (file, text) in wit {
        package = Some(resolve.push_str(file, text)?);
    }
    encode_dummy(&resolve, package.context("no package")?, world)
}

/// Returns a component of a world of the plugin contract, such as `enricher`; each of its functions only traps.
pub fn dummy_of_contract(world: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/v0.1.0");
    let (package, _) = resolve.push_dir(wit)?;
    encode_dummy(&resolve, package, world)
}

/// Returns how many core modules a component has at its top.
///
/// # Panics
/// When it is no component.
#[expect(clippy::unwrap_used, reason = "what is counted here was just encoded")]
pub fn core_modules(component: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut modules = 0;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. } => {
                modules += usize::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    modules
}

/// Returns how many types a component has.
///
/// # Panics
/// When it is no component.
#[expect(clippy::unwrap_used, reason = "what is counted here was just encoded")]
pub fn types(component: &[u8]) -> usize {
    let mut validator = wasmparser::Validator::new();
    let types = validator.validate_all(component).unwrap();
    types.as_ref().component_type_count().try_into().unwrap()
}

fn encode_dummy(resolve: &Resolve, package: wit_parser::PackageId, world: &str) -> Result<Vec<u8>> {
    let world = resolve.select_world(&[package], Some(world))?;
    let mut core = dummy_module(resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut core, resolve, world, StringEncoding::UTF8)?;
    componentize(&core)
}

#[expect(
    clippy::panic,
    reason = "a test without its guest must fail and say what is wrong with it"
)]
fn guest(name: &str) -> Vec<u8> {
    match componentize(&core_module(name)) {
        Ok(component) => component,
        Err(error) => panic!("{name}.wasm does not become a component: {error:#}"),
    }
}
