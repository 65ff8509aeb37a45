//! Why a file is not a plugin that can run.

use yagura_core::pack::World;

use crate::contract::{VERSION, importable};
use crate::error::CallError;

/// Maximum size of a component; a Python interpreter with its libraries takes about 20 MB.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

type LoadCause = Box<dyn std::error::Error + Send + Sync>;

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
    /// The file exists and cannot be read.
    #[error("cannot read the plugin {name}")]
    Read {
        /// The file.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is larger than the maximum.
    #[error(
        "the plugin {name} has {size} bytes; the maximum is {MAX_BYTES}: build it without debug information"
    )]
    TooLarge {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// The component would take too long to compile.
    #[error("{name} has {found}; the maximum is {max}: split the plugin")]
    TooMany {
        /// The file.
        name: String,
        /// The number of them, such as `70000 functions`.
        found: String,
        /// The maximum.
        max: usize,
    },
    /// The file is not Wasm.
    #[error("{name} is not Wasm: {found}; a plugin is a component, made by `yagura build`")]
    NotWasm {
        /// The file.
        name: String,
        /// Its kind or its beginning.
        found: String,
    },
    /// The file is truncated or damaged.
    #[error(
        "{name} is truncated or damaged: {reason} at byte {offset} of {size}; build or copy it again"
    )]
    Damaged {
        /// The file.
        name: String,
        /// The fault.
        reason: String,
        /// Position of the fault in bytes.
        offset: u64,
        /// Size of the file in bytes.
        size: usize,
    },
    /// The file is a core module.
    #[error("{name} is a core module, not a component: make it one with `yagura build`")]
    CoreModule {
        /// The file.
        name: String,
    },
    /// The component exports no world of the contract.
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
    /// The plugin is of another world.
    #[error(
        "{name} is of the world `{}`, and a `{}` is needed here: correct `world` in pack.toml, or build it against the other world",
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
    /// The plugin was built for another version of the contract.
    #[error(
        "{name} was built for yagura:plugin@{found}, and this host runs {VERSION}: build it again with the SDK for {VERSION}"
    )]
    WrongVersion {
        /// The file.
        name: String,
        /// The version that it was built for.
        found: String,
    },
    /// It imports something that its world does not have.
    #[error(
        "{name} imports `{import}`, which the world `{}` does not have: it has only {}, and no files, clock, environment or network",
        .world.name(),
        importable(*.world)
    )]
    ForbiddenImport {
        /// The file.
        name: String,
        /// The import.
        import: String,
        /// The world.
        world: World,
    },
    /// Its functions differ in name or type from the contract.
    #[error(
        "{name} does not match the contract yagura:plugin@{VERSION}: build it again with the SDK for {VERSION}"
    )]
    Types {
        /// The file.
        name: String,
        /// The function or type.
        source: LoadCause,
    },
    /// Its code is invalid, or uses a Wasm proposal that is disabled.
    #[error("cannot compile {name}")]
    Compile {
        /// The file.
        name: String,
        /// The cause.
        source: LoadCause,
    },
    /// It does not start within its limits.
    #[error("{name} does not start")]
    Start {
        /// The file.
        name: String,
        /// The cause.
        source: CallError,
    },
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

impl yagura_core::HasFault for LoadError {
    fn fault(&self) -> yagura_core::FaultKind {
        yagura_core::FaultKind::Rule
    }
}
