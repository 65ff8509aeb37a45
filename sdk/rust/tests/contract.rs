//! The SDK's copy of the contract is the contract.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[expect(clippy::unwrap_used, reason = "part of a test")]
fn files(folder: &Path) -> BTreeMap<String, String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn the_copy_equals_the_contract() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contract = sdk.join("../../wit/v0.1.0");
    assert_eq!(
        files(&sdk.join("wit")),
        files(&contract),
        "sdk/rust/wit differs from wit/v0.1.0: copy the files of the contract there"
    );
}
