//! Every file that is not a detector is refused with its own error before any of it runs.

use std::path::Path;
use std::sync::OnceLock;

use yagura_core::pack::{Limits, World};
use yagura_host::{
    CallError, ComponentKind, DetectorPlugin, Host, HostConfig, LimitKind, LoadError, inspect,
};
use yagura_tests::guests;

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new(HostConfig::default()).unwrap())
}

fn load(name: &str, bytes: &[u8], limits: &Limits) -> Result<DetectorPlugin, LoadError> {
    host().load_detector_bytes(name, bytes, limits)
}

fn load_error(name: &str, bytes: &[u8]) -> LoadError {
    load(name, bytes, &Limits::default())
        .err()
        .unwrap_or_else(|| panic!("{name} was loaded"))
}

#[test]
fn an_import_outside_the_world_is_named() {
    let error = load_error("forbidden.wasm", guests::forbidden());
    let LoadError::ForbiddenImport { import, world, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(import, "wasi:cli/environment@0.2.0");
    assert_eq!(*world, World::Detector);
    assert!(
        error.to_string().contains("`yagura:plugin/log@0.1.0`"),
        "{error}"
    );
}

#[test]
fn a_component_of_another_world_says_which() {
    let enricher = guests::dummy_of_contract("enricher").unwrap();
    let error = load_error("enricher.wasm", &enricher);
    assert_eq!(
        error.to_string(),
        "enricher.wasm is of the world `enricher`, and a `detector` is needed here: correct `world` in pack.toml, or build \
         it against the other world"
    );
    let info = inspect("enricher.wasm", &enricher).unwrap();
    assert_eq!(info.world, Some(World::Enricher));
    assert_eq!(info.contract.as_deref(), Some("0.1.0"));
    assert!(
        info.imports
            .contains(&"yagura:plugin/http@0.1.0".to_owned())
    );
}

#[test]
fn a_component_that_is_no_plugin_lists_its_exports() {
    let wit = "package a:b@1.0.0; interface c { d: func(); } world w { export c; }";
    let component = guests::dummy("w", &[("a.wit", wit)]).unwrap();
    let error = load_error("other.wasm", &component);
    assert!(matches!(error, LoadError::NoWorld { .. }), "{error}");
    assert!(
        error.to_string().contains("it exports `a:b/c@1.0.0`"),
        "{error}"
    );
}

#[test]
fn another_version_of_the_contract_is_refused() {
    let wit = "package yagura:plugin@0.9.0; interface detection { rules: func() -> list<string>; }
               world detector { export detection; }";
    let component = guests::dummy("detector", &[("a.wit", wit)]).unwrap();
    let error = load_error("old.wasm", &component);
    assert!(
        error
            .to_string()
            .contains("was built for yagura:plugin@0.9.0, and this host runs 0.1.0"),
        "{error}"
    );
}

#[test]
fn functions_of_other_types_are_refused() {
    // The right name and version: too few functions, and one of another type.
    let missing =
        "package yagura:plugin@0.1.0; interface detection { rules: func() -> list<string>; }
                   world detector { export detection; }";
    let different = "package yagura:plugin@0.1.0;
        interface detection {
          rules: func() -> list<u64>; open: func(); on-batch: func(); on-watermark: func(); snapshot: func();
          restore: func();
        }
        world detector { export detection; }";
    for (wit, words) in [
        (missing, "`open`"),
        (different, "expected `string` found `u64`"),
    ] {
        let component = guests::dummy("detector", &[("a.wit", wit)]).unwrap();
        let error = load_error("odd.wasm", &component);
        let LoadError::Types { source, .. } = &error else {
            panic!("{error}");
        };
        let mut causes = source.to_string();
        let mut next = source.source();
        while let Some(cause) = next {
            causes.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        assert!(causes.contains(words), "{causes}");
    }
}

#[test]
fn files_that_are_no_components_are_told_apart() {
    let component = guests::hostile();
    for part in [9, component.len() / 3, component.len() - 1] {
        let error = load_error("cut.wasm", &component[..part]);
        let LoadError::Damaged { offset, size, .. } = &error else {
            panic!("{part}: {error}");
        };
        assert!(*offset <= part as u64 && *size == part, "{error}");
    }

    let core = guests::core_module("hostile");
    let error = load_error("core.wasm", &core);
    assert_eq!(
        error.to_string(),
        "core.wasm is a core module, not a component: make it one with `yagura build`"
    );
    assert_eq!(
        inspect("core.wasm", &core).unwrap().kind,
        ComponentKind::CoreModule
    );

    let error = load_error("readme.wasm", b"# A plugin");
    assert!(matches!(error, LoadError::NotWasm { .. }), "{error}");
    let missing = host().load_detector(Path::new("/nowhere/a.wasm"), &Limits::default());
    assert!(matches!(missing, Err(LoadError::Missing { .. })));

    // Right at a glance, wrong inside: found when it is compiled.
    let mut damaged = component.to_vec();
    let middle = damaged.len() / 4;
    damaged[middle..middle + 64].fill(0xff);
    let error = load_error("damaged.wasm", &damaged);
    assert!(
        matches!(error, LoadError::Compile { .. } | LoadError::Damaged { .. }),
        "{error}"
    );
}

#[test]
fn inspection_names_world_imports_and_exports() {
    let info = inspect("hostile.wasm", guests::hostile()).unwrap();
    assert_eq!(info.kind, ComponentKind::Component);
    assert_eq!(info.world, Some(World::Detector));
    assert_eq!(info.exports, ["yagura:plugin/detection@0.1.0"]);
    assert!(info.imports.contains(&"yagura:plugin/log@0.1.0".to_owned()));
    assert_eq!(info.size, guests::hostile().len());
    let plugin = load("hostile.wasm", guests::hostile(), &Limits::default()).unwrap();
    assert_eq!(*plugin.info(), info);
}

#[test]
fn a_detector_that_needs_more_to_start_says_so() {
    let limits = Limits {
        memory_mib: 1,
        ..Limits::default()
    };
    let error = load("hostile.wasm", guests::hostile(), &limits).unwrap_err();
    let LoadError::Start {
        source: CallError::Limit(limit),
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((limit.kind, limit.call), (LimitKind::Memory, "start"));
}
