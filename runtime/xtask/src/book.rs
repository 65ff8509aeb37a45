//! `cargo xtask book`: the documentation as a book of HTML pages.
//!
//! Documents link to each other and to files of the checkout by relative paths. A book holds its pages only. So the pages
//! are copied first, and links that leave the book become links to the repository:
//!
//! ```text
//! docs/**, ARCHITECTURE.md …  ──sources: include, rewrite links──▶  target/book-source  ──mdbook──▶  target/book
//!                                                                                     links: every target exists
//! ```

mod links;
mod sources;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run::{host_target, root, run, tool};

/// The version that is installed.
const VERSION: &str = "0.5.4";

/// Without its server and its file watcher mdbook needs fewer crates, and without optimisation they compile sooner.
const OPTIONS: [&str; 4] = ["--debug", "--no-default-features", "--features", "search"];

pub(crate) fn run_task() -> Result<()> {
    let mdbook = tool("mdbook", VERSION, &OPTIONS)?;
    let source = host_target().join("book-source");
    let output = host_target().join("book");
    for folder in [&source, &output] {
        remove(folder)?;
    }
    sources::write(&root(), &source)?;
    run(std::process::Command::new(mdbook)
        .arg("build")
        .arg(&source)
        .arg("--dest-dir")
        .arg(&output))?;
    let broken = links::broken(&output)?;
    if !broken.is_empty() {
        bail!(
            "{} links of the book lead nowhere:\n  {}",
            broken.len(),
            broken.join("\n  ")
        );
    }
    println!("\nthe book: {}", output.join("index.html").display());
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
