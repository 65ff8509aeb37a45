//! Makes `schema.txt` of this crate from the source form of the schema: `cargo xtask ocsf ocsf-schema-1.8.0.tar.gz`.

#![expect(
    clippy::print_stdout,
    reason = "a task talks to the person who runs it"
)]

mod attributes;
mod compile;
mod source;
mod writer;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let archive: PathBuf = std::env::args_os()
        .nth(1)
        .context("name the schema's source form, a .tar.gz; see https://github.com/ocsf/ocsf-schema/releases")?
        .into();
    let text = compile::compile(&source::read(&archive)?)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.txt");
    std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}: {} lines", file.display(), text.lines().count());
    Ok(())
}
