//! From a file to a plugin: the check against the world, compiling, linking and a trial start.

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{Component, Linker};
use yagura_core::pack::{Limits, World};

use crate::bindings::v0_1_0::VERSION;
use crate::cache::CacheOutcome;
use crate::detector::DetectorPlugin;
use crate::enricher::EnricherPlugin;
use crate::error::CallError;
use crate::host::Host;
use crate::inspect::{ComponentInfo, ComponentKind, PACKAGE, inspect};
use crate::limits::HostState;
use crate::notifier::NotifierPlugin;
use crate::plugin::{Exports, Plugin};
use crate::reviewer::ReviewerPlugin;

/// Largest component that is read; a Python interpreter with its libraries takes some 20 MB.
const LARGEST: u64 = 256 << 20;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a file is not a plugin that can run. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error(
        "there is no plugin {name}: build it with `yagura build`, or correct `file` in pack.toml"
    )]
    Missing {
        /// The file.
        name: String,
    },
    /// The file is there and cannot be read.
    #[error("cannot read the plugin {name}")]
    Read {
        /// The file.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Larger than any component that is loaded.
    #[error(
        "the plugin {name} has {size} bytes, more than the {LARGEST} that are loaded: leave out debug information"
    )]
    TooLarge {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// Built to make the compiler work for long.
    #[error("{name} has {found}, more than the {most} that are compiled: no program needs so many")]
    TooMany {
        /// The file.
        name: String,
        /// What it has, with the number.
        found: String,
        /// How many there may be.
        most: usize,
    },
    /// Some other kind of file.
    #[error("{name} is not Wasm: {found}; a plugin is a component, made by `yagura build`")]
    NotWasm {
        /// The file.
        name: String,
        /// What it is instead.
        found: String,
    },
    /// Truncated or damaged.
    #[error(
        "{name} is cut short or damaged: {reason} at byte {offset} of {size}; build it or copy it again"
    )]
    Damaged {
        /// The file.
        name: String,
        /// What was found.
        reason: String,
        /// Where.
        offset: u64,
        /// Size of the file in bytes.
        size: usize,
    },
    /// A core module.
    #[error("{name} is a core module, not a component: make it one with `yagura build`")]
    CoreModule {
        /// The file.
        name: String,
    },
    /// A component that is no plugin.
    #[error(
        "{name} is a component, but of no world of yagura:plugin: it exports {}; build it against the world `{}` of yagura:plugin@{VERSION}",
        list(.exports),
        .expected.name()
    )]
    NoWorld {
        /// The file.
        name: String,
        /// The world that was expected.
        expected: World,
        /// What it exports.
        exports: Vec<String>,
    },
    /// A plugin of another world.
    #[error(
        "{name} is of the world `{}`, and a `{}` is needed here: name it so in pack.toml, or build it against the other world",
        .found.name(),
        .expected.name()
    )]
    WrongWorld {
        /// The file.
        name: String,
        /// Its world.
        found: World,
        /// The world that was expected.
        expected: World,
    },
    /// Built for a contract that this host does not speak.
    #[error(
        "{name} speaks yagura:plugin@{found}, and this host speaks {VERSION}: build it again with the SDK for {VERSION}"
    )]
    WrongVersion {
        /// The file.
        name: String,
        /// The version that it was built for.
        found: String,
    },
    /// It wants something that its world does not have.
    #[error(
        "{name} imports `{import}`, which the world `{}` does not have: it offers only {}, and no files, clock, environment or network",
        .world.name(),
        offered(*.world)
    )]
    ForbiddenImport {
        /// The file.
        name: String,
        /// The import.
        import: String,
        /// The world.
        world: World,
    },
    /// Its functions differ in name or type from those of the contract.
    #[error(
        "{name} does not fit the contract yagura:plugin@{VERSION}: build it again with the SDK for {VERSION}"
    )]
    Types {
        /// The file.
        name: String,
        /// Which function or type.
        source: Cause,
    },
    /// Its code is not valid or uses a Wasm proposal that is switched off.
    #[error("cannot compile {name}")]
    Compile {
        /// The file.
        name: String,
        /// Where and why.
        source: Cause,
    },
    /// It does not start inside its limits.
    #[error("{name} does not start")]
    Start {
        /// The file.
        name: String,
        /// What happened.
        source: CallError,
    },
}

impl yagura_core::HasFault for LoadError {
    fn fault(&self) -> yagura_core::FaultKind {
        yagura_core::FaultKind::Rule
    }
}

impl Host {
    /// Loads a detector from a file: reads it, checks it against the world `detector`, compiles it or takes the compiled
    /// code from the cache, and starts it once inside its limits to see that it fits the contract.
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
        if size > LARGEST {
            return Err(LoadError::TooLarge { name, size });
        }
        let bytes = yagura_core::files::read(path, LARGEST).map_err(read_error)?;
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

    /// Checks, compiles, links and starts on trial, for every world alike.
    fn load<E: Exports>(
        &self,
        name: &str,
        bytes: &[u8],
        limits: &Limits,
        linker: &Linker<HostState>,
    ) -> Result<Arc<Plugin<E>>, LoadError> {
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
        let plugin = Plugin::new(name, pre, limits.clone(), info, cache, meter, account);
        // The types of the exports are only compared on an instance.
        plugin.start_on_trial()?;
        Ok(Arc::new(plugin))
    }

    fn compile(
        &self,
        name: &str,
        bytes: &[u8],
        digest: &str,
    ) -> Result<(Component, CacheOutcome), LoadError> {
        let compile = || {
            if let Some(tell) = self.shared.on_compile {
                tell(name, bytes.len());
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

/// Checks kind, world, contract version and imports, in this order: the first thing that is wrong explains the others.
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
    let is_allowed = |import: &&String| {
        let interface = import
            .strip_prefix(PACKAGE)
            .and_then(|rest| rest.strip_suffix(VERSION)?.strip_suffix('@'));
        // `types` holds no function: it only names what both sides share.
        interface.is_some_and(|name| name == "types" || imports(expected).contains(&name))
    };
    match info.imports.iter().find(|import| !is_allowed(import)) {
        None => Ok(()),
        Some(import) => Err(LoadError::ForbiddenImport {
            name,
            import: import.clone(),
            world: expected,
        }),
    }
}

/// Returns the interfaces of a world that hold functions. Whether a call of one does anything is decided by grants.
fn imports(world: World) -> &'static [&'static str] {
    match world {
        World::Detector => &["log", "state"],
        World::Enricher => &["log", "http", "search", "lookup"],
        World::Reviewer => &["log", "lookup"],
        World::Notifier => &["log", "http"],
        World::Normalizer => &["log"],
    }
}

/// Names what a component of a world may import.
fn offered(world: World) -> String {
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

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
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
        // The world explains the import, so it is told first.
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
        assert!(old.contains("speaks yagura:plugin@0.9.0"), "{old}");
        let none = message(&info("run", &[]));
        assert!(none.contains("it exports `run`"), "{none}");
    }
}
