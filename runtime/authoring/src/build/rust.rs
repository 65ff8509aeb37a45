//! Rust crates to core modules, by cargo.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use yagura_core::Fault;
use yagura_toolchain::{Toolchain, guests_target};

/// Runs cargo in the crate at `source` and returns the core module that it made.
pub(super) fn compile(source: &Path) -> Result<PathBuf> {
    let toolchain = Toolchain::find()?;
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
            Fault::rule(format!(
                "{} does not compile: cargo says why above",
                source.display()
            ))
        })?;
    artifacts
        .iter()
        .find_map(|line| module_of(line, &manifest))
        .ok_or_else(|| {
            Fault::rule(format!(
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
