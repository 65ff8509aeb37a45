//! `yagura doctor`: what is there to build plugins with.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;
use yagura_authoring::build::python_installed;
use yagura_host::{HostError, Meter, default_cache_dir};
use yagura_service::packs;
use yagura_toolchain::pypi::{COMPONENTIZE_PY, GO, python};
use yagura_toolchain::{APT, TARGET, Toolchain, go};

use crate::exit::INPUT;
use crate::output::OutputFormat;

/// Check the toolchains that build plugins, and whether plugins can run here
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Install what Yagura keeps for itself: componentize-py, and Go where there is none
    #[arg(long)]
    install: bool,
    /// How to print the findings
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
Only the toolchains of the languages you write in are needed; rules in SQL and Sigma need none. Exit code 0 unless plugins
cannot run here at all.";

/// The state of one toolchain.
#[derive(Debug, Serialize)]
struct ToolCheck {
    /// What it is for.
    name: &'static str,
    /// Whether it is there.
    found: bool,
    /// What was found, or what is missing.
    message: String,
    /// The command that brings it; empty where it is there.
    install: String,
}

impl ToolCheck {
    fn new(name: &'static str, result: Result<String, String>, install: &str) -> Self {
        match result {
            Ok(message) => Self {
                name,
                found: true,
                message,
                install: String::new(),
            },
            Err(message) => Self {
                name,
                found: false,
                message,
                install: install.to_owned(),
            },
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    if arguments.install {
        COMPONENTIZE_PY.install()?;
        if go::installed().is_err() {
            GO.install()?;
        }
    }
    let runs = plugins_run();
    let checks = [
        ToolCheck::new("plugins", runs.clone(), ""),
        ToolCheck::new(
            "rust",
            Toolchain::find()
                .map(|toolchain| toolchain.to_string())
                .map_err(|error| one_line(&error.to_string())),
            &format!("rustup target add {TARGET}, or on Debian and Ubuntu: {APT}"),
        ),
        ToolCheck::new(
            "go",
            go::installed(),
            "yagura doctor --install, or https://go.dev/dl",
        ),
        ToolCheck::new("python", python_installed(), python_remedy()),
    ];
    let mut out = io::stdout().lock();
    for check in &checks {
        match arguments.format {
            OutputFormat::Json => {
                serde_json::to_writer(&mut out, check)?;
                writeln!(out)?;
            }
            OutputFormat::Text => {
                let sign = if check.found { "ok     " } else { "missing" };
                writeln!(out, "{sign}  {:<8} {}", check.name, check.message)?;
                if !check.install.is_empty() {
                    writeln!(out, "                  install: {}", check.install)?;
                }
            }
        }
    }
    Ok(if runs.is_ok() { 0 } else { INPUT })
}

fn plugins_run() -> Result<String, String> {
    match packs::host(Meter::Off) {
        Ok(_) => Ok(match default_cache_dir() {
            Some(dir) => format!("run here; compiled code is kept in {}", dir.display()),
            None => "run here; compiled code is not kept, because there is no home".to_owned(),
        }),
        Err(error) => {
            let cause = error.downcast_ref::<HostError>();
            Err(one_line(
                &cause.map_or_else(|| format!("{error:#}"), ToString::to_string),
            ))
        }
    }
}

fn python_remedy() -> &'static str {
    if python().is_some() {
        "yagura doctor --install, or the first `yagura build` of a Python plugin"
    } else {
        "apt-get install -y python3 python3-venv, then yagura doctor --install"
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
