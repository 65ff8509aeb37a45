//! `cargo xtask test`: the whole suite. `cargo xtask test-real`: the few tests on logs that are not part of the project.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::azurite;
use crate::examples;
use crate::guests;
use crate::moto;
use crate::postgres;
use crate::run::{cargo, root, run};
use yagura_toolchain::{cache_dir, on_path};

/// Arguments of the task.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Handed to `cargo test`, for instance the name of a test
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    let toolchain = guests::toolchain()?;
    println!("Wasm toolchain: {toolchain}");
    let modules = guests::build_test_guests(&toolchain)?;
    guests::build_all_packs()?;
    run_tests(
        cargo()
            .arg("test")
            .arg("--workspace")
            .env(guests::GUESTS, &modules),
        arguments,
    )?;
    if arguments.arguments.is_empty() {
        test_servers(&modules)?;
        test_keyless()?;
    }
    // Code for Wasm once more, natively: each is a workspace of its own.
    for manifest in [
        "plugins/Cargo.toml",
        "examples/three-languages/rust/detector/Cargo.toml",
    ] {
        let manifest = root().join(manifest);
        run_tests(
            cargo().arg("test").arg("--manifest-path").arg(manifest),
            arguments,
        )?;
    }
    // A name that was asked for is that of a Rust test.
    if arguments.arguments.is_empty() {
        test_go()?;
        test_python()?;
        examples::test()?;
        println!("\n{}", real_data_next());
    }
    Ok(())
}

/// Names the folder of real logs and rules; without it, `../shared/data` beside the checkout.
const REAL_DATA: &str = "YAGURA_TEST_DATA";
/// What the names of tests on real logs begin with, and those of no other tests.
const REAL_TESTS: &str = "real_";

/// Runs the tests on real logs; reports them as skipped where the logs are not there.
pub(crate) fn run_real() -> Result<()> {
    let Some(folder) = real_data() else {
        println!(
            "skipped: the tests on real logs (`{REAL_TESTS}*`): {}",
            real_data_missing()
        );
        return Ok(());
    };
    let mut command = cargo();
    command.args([
        "test",
        "--workspace",
        "--test",
        "it",
        "--",
        "--ignored",
        "--nocapture",
        REAL_TESTS,
    ]);
    run(command.env(REAL_DATA, folder))
}

/// Returns the folder of real logs, if it exists.
fn real_data() -> Option<PathBuf> {
    let folder =
        std::env::var_os(REAL_DATA).map_or_else(|| root().join("../shared/data"), PathBuf::from);
    // Tests run in folders of their own, so a relative path would lead elsewhere.
    folder.canonicalize().ok().filter(|folder| folder.is_dir())
}

fn real_data_missing() -> String {
    format!("neither ${REAL_DATA} nor ../shared/data beside the checkout is a folder")
}

/// Says what the suite left out.
fn real_data_next() -> String {
    match real_data() {
        Some(_) => {
            "not run here: the tests on real logs; `cargo xtask test-real` runs them".to_owned()
        }
        None => format!("skipped: the tests on real logs: {}", real_data_missing()),
    }
}

/// Runs the tests that need servers and tools of others, which are ignored elsewhere: PostgreSQL, Azurite, moto, a registry of containers,
/// minisign. What is not there is installed.
fn test_servers(modules: &Path) -> Result<()> {
    for program in ["docker-registry", "minisign"] {
        guests::install(program)?;
    }
    let mut command = cargo();
    // Tests on data that may not be there are ignored too, and have a task of their own.
    command.args([
        "test",
        "--workspace",
        "--",
        "--ignored",
        "--skip",
        REAL_TESTS,
    ]);
    command.env(guests::GUESTS, modules);
    let mut azurite = None;
    if std::env::var_os(azurite::URL).is_none() {
        let server = azurite.insert(azurite::Azurite::start()?);
        command.env(azurite::URL, &server.url);
        command.env(azurite::QUEUE_URL, &server.queue_url);
    }
    let mut moto = None;
    if std::env::var_os(moto::URL).is_none() {
        let server = moto.insert(moto::Moto::start()?);
        command.env(moto::URL, &server.url);
    }
    if std::env::var_os(postgres::URL).is_some() {
        return run(&mut command);
    }
    let server = postgres::Postgres::start()?;
    run(command.env(postgres::URL, &server.url))
}

/// Runs the tests of keyless signatures, which are a feature that is off elsewhere.
fn test_keyless() -> Result<()> {
    let feature = ["--features", "yagura-packs/sigstore"];
    run(cargo()
        .args(["test", "--workspace"])
        .args(feature)
        .args(["--test", "keyless"]))
}

fn run_tests(command: &mut Command, arguments: &Arguments) -> Result<()> {
    run(command.args(&arguments.arguments))
}

const EXAMPLES: &str = "examples/three-languages";
const ANSWERING: &str = "examples/answering";

/// Runs the tests of the Go SDK and of what is written with it.
fn test_go() -> Result<()> {
    let go = go()?;
    let answering = ["owner", "platform", "webhook"].map(|name| format!("{ANSWERING}/go/{name}"));
    let dirs = ["sdk/go".to_owned(), format!("{EXAMPLES}/go/detector")];
    for dir in dirs.into_iter().chain(answering) {
        for arguments in [["vet", "./..."], ["test", "./..."]] {
            let mut command = Command::new(&go);
            run(command.current_dir(root().join(&dir)).args(arguments))?;
        }
    }
    Ok(())
}

/// Returns Go from the path, else the one that `yagura` keeps for itself.
fn go() -> Result<PathBuf> {
    if let Some(go) = on_path("go") {
        return Ok(go);
    }
    let tools = cache_dir().join("tools");
    let mut found = std::fs::read_dir(&tools)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/go"));
    found
        .find(|program| program.is_file())
        .context("there is no go; `yagura doctor --install` brings one")
}

/// Runs the tests of the Python SDK and of what is written with it.
fn test_python() -> Result<()> {
    let python = on_path("python3").context("there is no python3 on the path")?;
    let pytest = pytest(&python)?;
    let library = root().join("sdk/python/src");
    let answering =
        ["owner", "platform", "webhook"].map(|name| format!("{ANSWERING}/python/{name}"));
    let dirs = [
        "sdk/python".to_owned(),
        format!("{EXAMPLES}/python/detector"),
    ];
    for dir in dirs.into_iter().chain(answering) {
        let dir = root().join(dir);
        let path = std::env::join_paths([&library, &dir])?;
        let mut command = Command::new(&pytest);
        command
            .current_dir(&dir)
            .env("PYTHONPATH", path)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(["-q", "-p", "no:cacheprovider", "tests"]);
        run(&mut command)?;
    }
    Ok(())
}

/// Returns pytest, in a virtual environment beside the tools that `yagura` keeps.
fn pytest(python: &Path) -> Result<PathBuf> {
    let environment = cache_dir().join("tools").join("pytest");
    let program = environment.join("bin/pytest");
    if !program.is_file() {
        run(Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(&environment))?;
        run(Command::new(environment.join("bin/python")).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "pytest>=8,<10",
        ]))?;
    }
    Ok(program)
}
