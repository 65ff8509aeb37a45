//! `yagura pack`: a pack in one file.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use yagura_core::{OrFault, Pack};
use yagura_packs::contents::Contents;
use yagura_packs::sbom::SBOM;
use yagura_packs::{Bounds, author};

use crate::output::count;

/// Put a pack into one file; the same pack gives the same bytes
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directory of a pack
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The file [default: NAME-VERSION.tar.zst here]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Add a list of what the plugins are made of (CycloneDX), from their lock files
    #[arg(long)]
    sbom: bool,
}

const AFTER_HELP: &str = "\
Signatures of the directory go along where they are for what it holds. --sbom adds a file to the pack, so sign the archive after
it. What builds and editors leave behind (`target`, `.git`, …) is left out.";

/// Returns the plugins of which the list of components names no library.
fn without_libraries(contents: &Contents) -> Vec<String> {
    let list = contents
        .files
        .iter()
        .find(|(path, _)| path.as_str() == SBOM)
        .and_then(|(_, bytes)| serde_json::from_slice::<serde_json::Value>(bytes).ok())
        .unwrap_or_default();
    let edges = list["dependencies"].as_array();
    let bare = edges
        .into_iter()
        .flatten()
        .filter(|edge| edge["dependsOn"].as_array().is_some_and(Vec::is_empty));
    let names = bare.filter_map(|edge| edge["ref"].as_str()?.strip_prefix("file:"));
    names.map(str::to_owned).collect()
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let bounds = Bounds::default();
    let output = match &arguments.out {
        Some(output) => output.clone(),
        None => {
            let identity = Contents::read_dir(&arguments.dir, &bounds)
                .or_fault()?
                .pack_toml()
                .or_fault()?
                .pack;
            PathBuf::from(format!("{}-{}.tar.zst", identity.name, identity.version))
        }
    };
    // What cannot be read would be refused wherever it is taken to.
    Pack::read(&arguments.dir).or_fault()?;
    let packed = author::pack(&arguments.dir, &output, arguments.sbom, &bounds).or_fault()?;
    let mut out = io::stdout().lock();
    for dropped in &packed.dropped {
        writeln!(out, "left out {dropped}: it is for other contents")?;
    }
    if arguments.sbom {
        for plugin in without_libraries(packed.pack.contents()) {
            writeln!(
                out,
                "the list names nothing that `{plugin}` is made of: the pack has no lock file beside its source"
            )?;
        }
    }
    let files = packed.pack.manifest().files().len() as u64;
    let signatures = packed.pack.contents().signatures.len() as u64;
    writeln!(
        out,
        "packed {}: {}, {}, {}",
        output.display(),
        count(files, "file", "files"),
        count(signatures, "signature", "signatures"),
        packed.pack.digest().tagged()
    )?;
    Ok(0)
}
