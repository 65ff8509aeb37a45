//! Python modules to one component, by componentize-py, which puts an interpreter and a snapshot of the imported modules
//! into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use yagura_core::Fault;
use yagura_core::pack::World;
use yagura_toolchain::cache_dir;
use yagura_toolchain::pypi::{COMPONENTIZE_PY, show};

use super::component::{CONTRACT, write_contract};
use crate::files::{make_parent, replace};
use crate::sdk::{Sdk, hex};

/// The module that componentize-py starts from.
const ENTRY: &str = "yagura_main";

/// Packages that the author's modules import, one a line as pip reads them.
const REQUIREMENTS: &str = "requirements.txt";

/// Makes the component of the modules below `source`, or takes it from the cache when nothing changed.
pub(super) fn componentize(source: &Path, world: World) -> Result<Vec<u8>> {
    let files = files(source)?;
    let key = key(&files, world);
    let cached = cache_dir().join("builds").join(format!("{key}.wasm"));
    if let Ok(component) = fs::read(&cached) {
        tracing::debug!(file = %cached.display(), "nothing changed since this build");
        return Ok(component);
    }
    let component = build(source, &files, world)?;
    // Without a cache the next build takes as long again, and no more.
    if let Err(error) = make_parent(&cached).and_then(|()| replace(&cached, &component)) {
        tracing::warn!(file = %cached.display(), %error, "the build is not kept");
    }
    Ok(component)
}

/// A file of the author's.
struct AuthorFile {
    /// Below the source folder, with `/` between names.
    name: String,
    bytes: Vec<u8>,
}

/// Returns the files that belong into the component, in order of name: all but tests, caches and environments.
fn files(source: &Path) -> Result<Vec<AuthorFile>> {
    let mut files = Vec::new();
    collect(source, "", &mut files)
        .with_context(|| format!("cannot read the sources in {}", source.display()))?;
    files.sort_by(|a: &AuthorFile, b| a.name.cmp(&b.name));
    Ok(files)
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<AuthorFile>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = entry.path();
        if path.is_dir() {
            let is_foreign = name.starts_with('.')
                || ["__pycache__", "tests", "venv", "node_modules"].contains(&name.as_str())
                || path.join("pyvenv.cfg").exists();
            if !is_foreign {
                collect(&path, &format!("{prefix}{name}/"), files)?;
            }
        } else if !is_test(&name) {
            files.push(AuthorFile {
                name: format!("{prefix}{name}"),
                bytes: fs::read(&path)?,
            });
        }
    }
    Ok(())
}

fn is_test(name: &str) -> bool {
    name.starts_with('.')
        || name.starts_with("test_") && name.ends_with(".py")
        || name.ends_with("_test.py")
        || name == "conftest.py"
        || name.ends_with(".pyc")
}

/// Returns the digest of everything that the component depends on.
fn key(files: &[AuthorFile], world: World) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for part in [
        "python-3",
        COMPONENTIZE_PY.version,
        world.name(),
        &Sdk::Python.digest(),
    ] {
        add(part.as_bytes());
    }
    for (name, text) in CONTRACT {
        add(name.as_bytes());
        add(text.as_bytes());
    }
    for file in files {
        add(file.name.as_bytes());
        add(&file.bytes);
    }
    hex(&hash.finalize())
}

fn build(source: &Path, files: &[AuthorFile], world: World) -> Result<Vec<u8>> {
    let program = COMPONENTIZE_PY.install().map_err(anyhow::Error::new)?;
    let dir = tempfile::tempdir().context("cannot make a directory to build in")?;
    let place = Layout::new(dir.path());
    place
        .fill(files, world)
        .with_context(|| format!("cannot write to {}", dir.path().display()))?;
    if place.author.join(REQUIREMENTS).is_file() {
        install_requirements(&place)?;
    }
    show("componentize-py: making the component, which takes some seconds");
    let output = dir.path().join("plugin.wasm");
    let mut command = Command::new(&program);
    command.arg("-d").arg(&place.wit).args([
        "-w",
        world.name(),
        "componentize",
        ENTRY,
        "--stub-wasi",
    ]);
    command.arg("-p").arg(&place.app);
    command
        .arg("-o")
        .arg(&output)
        // Without it, packages that this machine happens to have would come along.
        .env("VIRTUAL_ENV", &place.environment)
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null());
    let result = command
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !result.status.success() {
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&result.stdout),
            String::from_utf8_lossy(&result.stderr)
        );
        return Err(Fault::rule(failure(source, &text)).into());
    }
    fs::read(&output).with_context(|| format!("cannot read {}", output.display()))
}

/// Where the parts of a build lie.
struct Layout {
    wit: PathBuf,
    /// Entry module, SDK and the author's modules: what the component's interpreter sees as one folder.
    app: PathBuf,
    author: PathBuf,
    /// What stands for a virtual environment.
    environment: PathBuf,
    /// What `requirements.txt` names, and nothing of the machine's own.
    packages: PathBuf,
}

/// The author's folder inside the component.
const AUTHOR: &str = "source";

impl Layout {
    fn new(dir: &Path) -> Self {
        let app = dir.join("app");
        let environment = dir.join("environment");
        Self {
            wit: dir.join("wit"),
            author: app.join(AUTHOR),
            packages: environment.join("lib/python3/site-packages"),
            environment,
            app,
        }
    }

    fn fill(&self, files: &[AuthorFile], world: World) -> std::io::Result<()> {
        write_contract(&self.wit)?;
        Sdk::Python.write_below("src", &self.app)?;
        fs::create_dir_all(&self.author)?;
        fs::create_dir_all(&self.packages)?;
        fs::write(self.app.join(format!("{ENTRY}.py")), entry(world))?;
        for file in files {
            let path = self.author.join(&file.name);
            make_parent(&path)?;
            fs::write(path, &file.bytes)?;
        }
        Ok(())
    }
}

/// Returns the module that componentize-py starts from. The SDK has a module for each world, because the bindings of one
/// world lack what others import; its class is named after the interface that the world exports.
fn entry(world: World) -> String {
    let class = match world {
        World::Detector => "Detection",
        World::Enricher => "Enrichment",
        World::Reviewer => "Reviewing",
        World::Notifier => "Notifying",
        World::Normalizer => "Normalizing",
    };
    format!(
        "from yagura.component.{} import {class}, load\nload(\"{AUTHOR}\")\n",
        world.name()
    )
}

fn install_requirements(place: &Layout) -> Result<()> {
    let python = COMPONENTIZE_PY
        .installed()
        .map(|program| program.with_file_name("python"))
        .context("componentize-py is gone")?;
    let status = Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--no-compile", "--target"])
        .arg(&place.packages)
        .arg("-r")
        .arg(place.author.join(REQUIREMENTS))
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", python.display()))?;
    if status.success() {
        return Ok(());
    }
    Err(Fault::rule(format!(
        "the packages of {REQUIREMENTS} cannot be installed: pip says why above"
    ))
    .into())
}

/// What the SDK puts before the one line that says why an author's module cannot be imported.
const SAYS: &str = "yagura: ";

/// Returns what componentize-py's output says to the author.
fn failure(source: &Path, text: &str) -> String {
    match text.lines().find_map(|line| line.strip_prefix(SAYS)) {
        Some(message) => format!(
            "the modules in {} cannot be imported: {message}",
            source.display()
        ),
        None => format!(
            "componentize-py fails on {}:\n{}",
            source.display(),
            text.trim_end()
        ),
    }
}

/// Returns what `yagura doctor` says of the toolchain.
pub fn installed() -> Result<String, String> {
    match COMPONENTIZE_PY.installed() {
        Some(program) => Ok(format!(
            "componentize-py {} ({})",
            COMPONENTIZE_PY.version,
            program.display()
        )),
        None => Err("componentize-py is not installed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_the_sources_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            make_parent(&path).unwrap();
            fs::write(path, text).unwrap();
        };
        write("login.py", "a = 1\n");
        write("lists/cities.txt", "Tokyo\n");
        let key_now = || key(&files(dir.path()).unwrap(), World::Detector);
        let first = key_now();
        for other in [
            "tests/test_login.py",
            "test_login.py",
            "__pycache__/login.pyc",
            ".venv/lib/a.py",
            "conftest.py",
        ] {
            write(other, "x");
            assert_eq!(key_now(), first, "{other}");
        }
        write("lists/cities.txt", "Kyoto\n");
        assert_ne!(key_now(), first);
        write("lists/cities.txt", "Tokyo\n");
        assert_eq!(key_now(), first);
        assert_ne!(key(&files(dir.path()).unwrap(), World::Notifier), first);
    }

    #[test]
    fn the_entry_is_of_its_world() {
        assert_eq!(
            entry(World::Enricher),
            "from yagura.component.enricher import Enrichment, load\nload(\"source\")\n"
        );
    }

    #[test]
    fn what_the_sdk_says_of_a_module_is_told_and_anything_else_whole() {
        let source = Path::new("detector");
        let text = "Traceback (most recent call last)\n\nyagura: ZeroDivisionError: division by zero (login.py:3)\nmore";
        assert_eq!(
            failure(source, text),
            "the modules in detector cannot be imported: ZeroDivisionError: division by zero (login.py:3)"
        );
        let other = failure(source, "no space left");
        assert!(other.contains("no space left"), "{other}");
    }
}
