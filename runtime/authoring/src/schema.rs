//! Schemas of our files for editors: completion, descriptions and errors while typing.

use std::fs;
use std::io;
use std::path::Path;

use schemars::{Schema, schema_for};
use yagura_core::pack::{Manifest, RuleFile};

use crate::sdk::DIRECTORY;

/// Writes the schemas to a pack whose `pack.toml` refers to them.
pub fn refresh(pack: &Path) {
    let refers = fs::read_to_string(pack.join("pack.toml"))
        .is_ok_and(|text| text.contains(&format!("{DIRECTORY}/schema/")));
    // Editors do without when the directory cannot be written to.
    if refers && let Err(error) = place(pack) {
        tracing::warn!(pack = %pack.display(), %error, "cannot write the editor schemas");
    }
}

/// Writes the schemas of `pack.toml` and of rules to `.yagura/schema` of a pack.
///
/// # Errors
/// When the directory cannot be written.
pub fn place(pack: &Path) -> io::Result<()> {
    let dir = pack.join(DIRECTORY).join("schema");
    fs::create_dir_all(&dir)?;
    fs::write(pack.join(DIRECTORY).join(".gitignore"), "*\n")?;
    for (name, schema) in [
        ("pack.json", schema_for!(Manifest)),
        ("rule.json", schema_for!(RuleFile)),
    ] {
        fs::write(dir.join(name), text(&schema)?)?;
    }
    Ok(())
}

fn text(schema: &Schema) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(schema)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_describes_every_key_and_refuses_others() {
        let dir = tempfile::tempdir().unwrap();
        place(dir.path()).unwrap();
        let file = dir.path().join(".yagura/schema/rule.json");
        let schema: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let rule = &schema["$defs"]["Rule"];
        assert_eq!(rule["additionalProperties"], false);
        for key in [
            "where",
            "columns",
            "alert",
            "fuel_per_event",
            "plugin",
            "state_for",
        ] {
            let described = rule["properties"][key]["description"].as_str();
            assert!(described.is_some_and(|text| text.len() > 10), "{key}");
        }
        assert_eq!(schema["properties"]["test"]["type"], "array");
    }
}
