//! The folder of real logs and rules, which is not part of the project.

use std::path::{Path, PathBuf};

/// Environment variable that names the folder; without it, `../shared/data` beside the checkout.
pub const VARIABLE: &str = "YAGURA_TEST_DATA";

/// Returns the folder of real logs.
///
/// Tests that call it are ignored unless somebody asks for them: `cargo xtask test-real` does where the folder exists.
pub fn folder() -> PathBuf {
    std::env::var_os(VARIABLE).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    )
}
