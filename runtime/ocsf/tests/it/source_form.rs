//! The file of the schema against the source form, which is not part of the project.

use std::path::{Path, PathBuf};

use crate::{compile, source};

#[test]
#[ignore = "needs the schema's source form (../shared/data or YAGURA_TEST_DATA); `cargo xtask test-real` runs it"]
fn real_schema_is_what_the_source_form_gives() {
    let folder = std::env::var_os("YAGURA_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let files = source::read(&folder.join("ocsf-schema-1.8.0.tar.gz")).unwrap();
    let made = compile::compile(&files).unwrap();
    let shipped = include_str!("../../schema.txt");
    // The first line that differs says more than two files of 10,000 lines.
    for (number, (made, shipped)) in made.lines().zip(shipped.lines()).enumerate() {
        assert_eq!(made, shipped, "line {}: run cargo xtask ocsf", number + 1);
    }
    assert_eq!(made.len(), shipped.len(), "run cargo xtask ocsf");
}
