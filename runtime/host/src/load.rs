//! Loads a file as a plugin: checks its world, compiles and links it, and starts it once.

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{Component, Linker};
use yagura_core::pack::{Limits, World};

use crate::cache::CacheOutcome;
use crate::contract::{VERSION, may_import};
use crate::detector::DetectorPlugin;
use crate::enricher::EnricherPlugin;
use crate::host::Host;
use crate::host_state::HostState;
use crate::inspect::{ComponentInfo, ComponentKind, inspect};
use crate::load_error::{LoadError, MAX_BYTES};
use crate::normalizer::NormalizerPlugin;
use crate::notifier::NotifierPlugin;
use crate::plugin::{CompiledPlugin, Exports};
use crate::reviewer::ReviewerPlugin;

impl Host {
    /// Loads a detector from a file: reads it, checks that it is of the world `detector`, compiles it or takes the compiled
    /// code from the cache, and starts it once within its limits to check that it matches the contract.
    ///
    /// # Errors
    /// A variant of [`LoadError`] for each way in which the file is not a detector that can run.
    pub fn load_detector(&self, path: &Path, limits: &Limits) -> Result<DetectorPlugin, LoadError> {
        let name = path.display().to_string();
        let read_error = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => LoadError::Missing { name: name.clone() },
            _ => LoadError::Read {
                name: name.clone(),
                source,
            },
        };
        let found = std::fs::metadata(path).map_err(read_error)?;
        let size = found.len();
        if size > MAX_BYTES {
            return Err(LoadError::TooLarge { name, size });
        }
        let bytes = yagura_core::files::read(path, MAX_BYTES).map_err(read_error)?;
        self.load_detector_bytes(&name, &bytes, limits)
    }

    /// Loads a detector from its bytes; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Host::load_detector`].
    pub fn load_detector_bytes(
        &self,
        name: &str,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<DetectorPlugin, LoadError> {
        Ok(DetectorPlugin(self.load(
            name,
            bytes,
            limits,
            &self.shared.detectors,
        )?))
    }

    /// Loads an enricher from its bytes; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Host::load_detector`].
    pub fn load_enricher(
        &self,
        name: &str,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<EnricherPlugin, LoadError> {
        let linker = &self.shared.enrichers;
        Ok(EnricherPlugin(self.load(name, bytes, limits, linker)?))
    }

    /// Loads a reviewer from its bytes; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Host::load_detector`].
    pub fn load_reviewer(
        &self,
        name: &str,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<ReviewerPlugin, LoadError> {
        let linker = &self.shared.reviewers;
        Ok(ReviewerPlugin(self.load(name, bytes, limits, linker)?))
    }

    /// Loads a notifier from its bytes; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Host::load_detector`].
    pub fn load_notifier(
        &self,
        name: &str,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<NotifierPlugin, LoadError> {
        let linker = &self.shared.notifiers;
        Ok(NotifierPlugin(self.load(name, bytes, limits, linker)?))
    }

    /// Loads a normalizer from its bytes; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Host::load_detector`].
    pub fn load_normalizer(
        &self,
        name: &str,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<NormalizerPlugin, LoadError> {
        let linker = &self.shared.normalizers;
        Ok(NormalizerPlugin(self.load(name, bytes, limits, linker)?))
    }

    /// Checks, compiles and links a plugin of any world, and checks that it starts.
    fn load<E: Exports>(
        &self,
        name: &str,
        bytes: &[u8],
        limits: &Limits,
        linker: &Linker<HostState>,
    ) -> Result<Arc<CompiledPlugin<E>>, LoadError> {
        let info = inspect(name, bytes)?;
        check_world(name, &info, E::WORLD)?;
        let (component, cache) = self.compile(name, bytes, &info.digest)?;
        let types = |error: wasmtime::Error| LoadError::Types {
            name: name.to_owned(),
            source: error.into(),
        };
        let linked = linker.instantiate_pre(&component).map_err(types)?;
        let pre = E::pre(linked).map_err(types)?;
        let account = self.shared.budget.account(name.into());
        let meter = self.shared.meter;
        let plugin = CompiledPlugin::new(name, pre, limits.clone(), info, cache, meter, account);
        // The types of the exports can only be compared on an instance.
        plugin.check_start()?;
        Ok(Arc::new(plugin))
    }

    fn compile(
        &self,
        name: &str,
        bytes: &[u8],
        digest: &str,
    ) -> Result<(Component, CacheOutcome), LoadError> {
        let compile = || {
            if let Some(on_compile) = self.shared.on_compile {
                on_compile(name, bytes.len());
            }
            Component::from_binary(&self.shared.engine, bytes).map_err(|error| LoadError::Compile {
                name: name.to_owned(),
                source: error.into(),
            })
        };
        match &self.shared.cache {
            None => Ok((compile()?, CacheOutcome::Off)),
            Some(cache) => cache.get_or_compile(&self.shared.engine, digest, compile),
        }
    }
}

/// Checks kind, world, contract version and imports, in this order: the first mismatch explains the others.
fn check_world(name: &str, info: &ComponentInfo, expected: World) -> Result<(), LoadError> {
    let name = name.to_owned();
    if info.kind == ComponentKind::CoreModule {
        return Err(LoadError::CoreModule { name });
    }
    let (Some(found), Some(contract)) = (info.world, &info.contract) else {
        return Err(LoadError::NoWorld {
            name,
            expected,
            exports: info.exports.clone(),
        });
    };
    if contract != VERSION {
        return Err(LoadError::WrongVersion {
            name,
            found: contract.clone(),
        });
    }
    if found != expected {
        return Err(LoadError::WrongWorld {
            name,
            found,
            expected,
        });
    }
    match info
        .imports
        .iter()
        .find(|import| !may_import(expected, import))
    {
        None => Ok(()),
        Some(import) => Err(LoadError::ForbiddenImport {
            name,
            import: import.clone(),
            world: expected,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(export: &str, imports: &[&str]) -> ComponentInfo {
        let (world, contract) = match export.rsplit_once('@') {
            Some((name, version)) if name.ends_with("detection") => {
                (Some(World::Detector), Some(version.to_owned()))
            }
            Some((_, version)) => (Some(World::Enricher), Some(version.to_owned())),
            None => (None, None),
        };
        ComponentInfo {
            kind: ComponentKind::Component,
            size: 0,
            digest: String::new(),
            world,
            contract,
            imports: imports.iter().map(ToString::to_string).collect(),
            exports: vec![export.to_owned()],
        }
    }

    fn message(info: &ComponentInfo) -> String {
        check_world("a.wasm", info, World::Detector)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn each_mismatch_has_its_message() {
        let detection = "yagura:plugin/detection@0.1.0";
        let fits = info(
            detection,
            &[
                "yagura:plugin/types@0.1.0",
                "yagura:plugin/log@0.1.0",
                "yagura:plugin/state@0.1.0",
            ],
        );
        check_world("a.wasm", &fits, World::Detector).unwrap();

        let imports = ["yagura:plugin/log@0.1.0", "wasi:cli/environment@0.2.0"];
        let message_of_import = message(&info(detection, &imports));
        assert!(
            message_of_import.contains("imports `wasi:cli/environment@0.2.0`"),
            "{message_of_import}"
        );
        // The wrong world explains the import, so it comes first.
        let enricher = info(
            "yagura:plugin/enrichment@0.1.0",
            &["yagura:plugin/http@0.1.0"],
        );
        let message_of_world = message(&enricher);
        assert!(
            message_of_world.contains("of the world `enricher`, and a `detector` is needed"),
            "{message_of_world}"
        );
        let old = message(&info("yagura:plugin/detection@0.9.0", &[]));
        assert!(old.contains("was built for yagura:plugin@0.9.0"), "{old}");
        let none = message(&info("run", &[]));
        assert!(none.contains("it exports `run`"), "{none}");
    }
}
