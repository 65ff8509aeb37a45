//! Tells the tests whether the folder of real logs lies beside the checkout: see `real_logs`.

use std::path::PathBuf;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(real_logs)");
    // Not `env!`: clones that share a target directory also share this program.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let data = here.unwrap_or_default().join("../../shared/data");
    println!("cargo::rerun-if-changed={}", data.display());
    if data.is_dir() {
        println!("cargo::rustc-cfg=real_logs");
    }
}
