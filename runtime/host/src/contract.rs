//! The plugin contract in names: its package, its version, its worlds, and the interfaces that each of them exports and imports.

use yagura_core::pack::World;

pub(crate) use crate::bindings::v0_1_0::VERSION;

/// The package of the plugin contract.
pub(crate) const PACKAGE: &str = "yagura:plugin/";

/// The interface that each world exports.
const EXPORTS: [(&str, World); 5] = [
    ("detection", World::Detector),
    ("enrichment", World::Enricher),
    ("reviewing", World::Reviewer),
    ("notifying", World::Notifier),
    ("normalizing", World::Normalizer),
];

/// Returns the world and the contract version of an exported interface such as `yagura:plugin/detection@0.1.0`.
pub(crate) fn world_of(export: &str) -> Option<(World, &str)> {
    let (interface, version) = export.strip_prefix(PACKAGE)?.split_once('@')?;
    let (_, world) = EXPORTS.iter().find(|(name, _)| *name == interface)?;
    Some((*world, version))
}

/// Returns whether a component of a world may import an interface, such as `yagura:plugin/log@0.1.0`.
pub(crate) fn may_import(world: World, import: &str) -> bool {
    let interface = import
        .strip_prefix(PACKAGE)
        .and_then(|rest| rest.strip_suffix(VERSION)?.strip_suffix('@'));
    // `types` has no functions: it only names types that both sides share.
    interface.is_some_and(|name| name == "types" || imports(world).contains(&name))
}

/// Lists the interfaces that a component of a world may import, for messages.
pub(crate) fn importable(world: World) -> String {
    let names: Vec<String> = imports(world)
        .iter()
        .map(|interface| format!("`{PACKAGE}{interface}@{VERSION}`"))
        .collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Returns the interfaces of a world that have functions. Grants decide what a call of one of them can reach.
fn imports(world: World) -> &'static [&'static str] {
    match world {
        World::Detector => &["log", "state"],
        World::Enricher => &["log", "http", "search", "lookup"],
        World::Reviewer => &["log", "lookup"],
        World::Notifier => &["log", "http"],
        World::Normalizer => &["log"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_is_known_by_its_export() {
        assert_eq!(
            world_of("yagura:plugin/detection@0.1.0"),
            Some((World::Detector, "0.1.0"))
        );
        assert_eq!(
            world_of("yagura:plugin/notifying@2.0.0"),
            Some((World::Notifier, "2.0.0"))
        );
        for other in ["wasi:cli/run@0.2.0", "yagura:plugin/log@0.1.0", "run"] {
            assert_eq!(world_of(other), None);
        }
    }

    #[test]
    fn a_world_imports_its_own_interfaces_of_this_version() {
        for import in ["types", "log", "state"] {
            let import = format!("yagura:plugin/{import}@0.1.0");
            assert!(may_import(World::Detector, &import), "{import}");
        }
        for import in [
            "yagura:plugin/http@0.1.0",
            "yagura:plugin/log@0.2.0",
            "wasi:cli/environment@0.2.0",
        ] {
            assert!(!may_import(World::Detector, import), "{import}");
        }
        assert_eq!(
            importable(World::Detector),
            "`yagura:plugin/log@0.1.0` and `yagura:plugin/state@0.1.0`"
        );
    }
}
