//! Tells the tests whether the folder of real logs lies beside the checkout: see `real_logs`.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(real_logs)");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    println!("cargo::rerun-if-changed={}", data.display());
    if data.is_dir() {
        println!("cargo::rustc-cfg=real_logs");
    }
}
