//! Reads the structure of a Wasm file, without compiling or running it.

use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};
use yagura_core::alert::hex;
use yagura_core::pack::World;

use crate::contract::world_of;
use crate::load_error::LoadError;

/// The two kinds of Wasm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentKind {
    /// A component, which a host can load.
    Component,
    /// A core module, which must become a component first.
    CoreModule,
}

/// Maximum number of functions in all modules of a component. A Python interpreter with its libraries has about 14,000.
const MAX_FUNCTIONS: usize = 65_536;
/// Maximum number of modules and components inside a component. A Python component has 40.
const MAX_MODULES: usize = 1_000;
/// Maximum number of types of a component itself. A world of the contract has some dozens.
const MAX_TYPES: usize = 10_000;

/// Facts about a Wasm file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentInfo {
    /// Component or core module.
    pub kind: ComponentKind,
    /// Size in bytes.
    pub size: usize,
    /// SHA-256 of the file in hexadecimal.
    pub digest: String,
    /// The world whose interface it exports, if any.
    pub world: Option<World>,
    /// The version of the plugin contract that it was built for, if it exports one of its worlds.
    pub contract: Option<String>,
    /// The interfaces that it imports (`module.name` for a core module), in its order.
    pub imports: Vec<String>,
    /// Its exports, in its order.
    pub exports: Vec<String>,
}

/// Reads the structure of a component or core module; `name` is for messages.
///
/// # Errors
/// [`LoadError::NotWasm`] and [`LoadError::Damaged`].
pub fn inspect(name: &str, bytes: &[u8]) -> Result<ComponentInfo, LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm {
            name: name.to_owned(),
            found: describe(bytes),
        });
    }
    let mut kind = ComponentKind::Component;
    let mut imports = Vec::new();
    let mut exports = Vec::new();
    let mut parts = CompileWork::default();
    read(bytes, &mut kind, &mut imports, &mut exports, &mut parts).map_err(|error| {
        LoadError::Damaged {
            name: name.to_owned(),
            reason: error.message().to_owned(),
            offset: error.offset(),
            size: bytes.len(),
        }
    })?;
    if let Some((found, max)) = parts.excess() {
        return Err(LoadError::TooMany {
            name: name.to_owned(),
            found,
            max,
        });
    }
    let export = exports.iter().find_map(|export| world_of(export));
    Ok(ComponentInfo {
        kind,
        size: bytes.len(),
        digest: hex(&Sha256::digest(bytes)),
        world: export.map(|(world, _)| world),
        contract: export.map(|(_, version)| version.to_owned()),
        imports,
        exports,
    })
}

/// The amount of work for a compiler.
#[derive(Default)]
struct CompileWork {
    functions: usize,
    modules: usize,
    types: usize,
}

impl CompileWork {
    /// Returns what exceeds its maximum, and the maximum.
    fn excess(&self) -> Option<(String, usize)> {
        [
            (self.functions, "functions", MAX_FUNCTIONS),
            (self.modules, "modules", MAX_MODULES),
            (self.types, "types", MAX_TYPES),
        ]
        .into_iter()
        .find(|(found, _, max)| found > max)
        .map(|(found, what, max)| (format!("{found} {what}"), max))
    }
}

fn read(
    bytes: &[u8],
    kind: &mut ComponentKind,
    imports: &mut Vec<String>,
    exports: &mut Vec<String>,
    parts: &mut CompileWork,
) -> wasmparser::Result<()> {
    // Only the outermost module or component counts.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } if depth == 0 => {
                *kind = match encoding {
                    Encoding::Component => ComponentKind::Component,
                    Encoding::Module => ComponentKind::CoreModule,
                };
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                parts.modules += 1;
            }
            Payload::CodeSectionStart { count, .. } => {
                parts.functions = parts.functions.saturating_add(number(count))
            }
            Payload::ComponentTypeSection(section) => {
                parts.types = parts.types.saturating_add(number(section.count()))
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::ComponentImportSection(section) => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    imports.push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export?.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn number(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Describes bytes that are not Wasm.
fn describe(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(16)];
    match start {
        [] => "it is empty".to_owned(),
        // The magic numbers of gzip and Zstandard; the latter begins with a parenthesis.
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            "it is compressed; unpack it first".to_owned()
        }
        [b'(', ..] => "it is WebAssembly text; assemble it first".to_owned(),
        _ => format!("it begins with \"{}\"", start.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn kinds_are_distinguished() {
        let core = inspect("a", CORE).unwrap();
        assert_eq!(core.kind, ComponentKind::CoreModule);
        let component = inspect("a", COMPONENT).unwrap();
        assert_eq!(component.kind, ComponentKind::Component);
        assert_eq!((component.world, component.size), (None, 8));
        assert_eq!(component.digest.len(), 64);
    }

    #[test]
    fn the_outermost_names_are_read() {
        // Two imports of functions inside a nested module, which do not count, and an import of its own.
        let nested = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x07\x01\x01a\x01b\0\0";
        let mut bytes = COMPONENT.to_vec();
        bytes.push(1);
        bytes.push(u8::try_from(nested.len()).unwrap());
        bytes.extend(nested);
        assert!(inspect("a", &bytes).unwrap().imports.is_empty());
        assert_eq!(inspect("a", nested).unwrap().imports, ["a.b"]);
    }

    #[test]
    fn other_files_are_described() {
        for (bytes, found) in [
            (&b""[..], "it is empty"),
            (b"(component)", "WebAssembly text"),
            (b"\x1f\x8b\x08", "compressed"),
            (b"#!/bin/sh", "it begins with \"#!/bin/sh\""),
        ] {
            let message = inspect("x.wasm", bytes).unwrap_err().to_string();
            assert!(message.contains(found), "{message}");
        }
    }

    #[test]
    fn a_cut_file_says_where_it_ends() {
        let mut bytes = COMPONENT.to_vec();
        bytes.extend([1, 100, 0]);
        let error = inspect("x.wasm", &bytes).unwrap_err();
        assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
    }
}
