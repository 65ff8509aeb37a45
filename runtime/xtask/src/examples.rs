//! The examples in languages without an SDK: built as their READMEs say, and tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::guests;
use crate::run::{root, run, yagura};
use yagura_toolchain::{cache_dir, on_path};

/// The compiler of the example in C, as a package of Python.
const ZIG: &str = "ziglang>=0.13,<0.17";

/// Builds and tests the examples in C and JavaScript, in copies of their packs.
///
/// # Errors
/// When a tool cannot be had, or a build or a test fails.
pub(crate) fn test() -> Result<()> {
    let yagura = yagura()?;
    for (language, build) in [
        ("c", build_c as fn(&Path) -> Result<()>),
        ("javascript", build_javascript),
    ] {
        let copy = root().join("target/examples-without-sdk");
        if copy.exists() {
            fs::remove_dir_all(&copy)
                .with_context(|| format!("cannot remove {}", copy.display()))?;
        }
        let pack = copy.join("examples").join(language);
        // The build names the interface by its place in the repository.
        copy_tree(&root().join("wit"), &copy.join("wit"))?;
        copy_tree(&root().join("examples").join(language), &pack)?;
        build(&pack.join("detector"))?;
        run(Command::new(&yagura).arg("test").arg(&pack))?;
    }
    Ok(())
}

fn build_c(dir: &Path) -> Result<()> {
    let zig = python_package("zig", ZIG)?;
    run(Command::new(zig).current_dir(dir).args([
        "-m",
        "ziglang",
        "cc",
        "--target=wasm32-freestanding",
        "-O2",
        "-nostdlib",
        "-Wl,--no-entry",
        "-o",
        "detector.wasm",
        "detector.c",
    ]))
}

fn build_javascript(dir: &Path) -> Result<()> {
    guests::install("npm")?;
    for arguments in [
        &["install", "--no-audit", "--no-fund", "--silent"][..],
        &["run", "build"],
    ] {
        run(Command::new("npm").current_dir(dir).args(arguments))?;
    }
    Ok(())
}

/// Returns a Python that has a package, in a virtual environment beside the tools that `yagura` keeps.
fn python_package(name: &str, package: &str) -> Result<PathBuf> {
    let environment = cache_dir().join("tools").join(name);
    let python = environment.join("bin/python");
    let stamp = environment.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == package) {
        return Ok(python);
    }
    let own = on_path("python3").context("there is no python3 on the path")?;
    run(Command::new(own)
        .args(["-m", "venv", "--clear"])
        .arg(&environment))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]))?;
    fs::write(&stamp, package).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

/// Copies the files of a folder, those that others built apart.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if path.is_dir() {
            if name != "node_modules" {
                copy_tree(&path, &to.join(name))?;
            }
        } else if path.extension().is_none_or(|ending| ending != "wasm") {
            fs::copy(&path, to.join(name))
                .with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}
