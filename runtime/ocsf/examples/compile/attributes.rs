//! How attributes of profiles, parents and extensions become one attribute.
//!
//! The rules are those of the schema's own compiler, <https://github.com/ocsf/ocsf-schema-compiler>.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::source::Files;

/// A JSON object.
pub(crate) type Json = Map<String, Value>;

/// An extension of the schema: its name, its uid and its folder.
#[derive(Clone)]
pub(crate) struct Extension {
    pub(crate) name: String,
    pub(crate) uid: u64,
    pub(crate) folder: String,
}

/// Returns the attributes of an item, with those of the profiles that it includes below its own.
///
/// An attribute that belongs to profiles only has the key `profiles`; `null` there means that it belongs to none.
pub(crate) fn own(files: &Files, item: &Json, extension: Option<&Extension>) -> Result<Json> {
    let mut own = Json::new();
    let mut includes = Vec::new();
    for (name, attribute) in item
        .get("attributes")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if name == "$include" {
            includes.extend(attribute.as_array().context("$include is not a list")?);
            continue;
        }
        let mut attribute = attribute
            .as_object()
            .context("an attribute is not an object")?
            .clone();
        match attribute.remove("profile") {
            None => {}
            Some(Value::String(profile)) => {
                attribute.insert(
                    "profiles".to_owned(),
                    json!([scoped(files, &profile, extension)]),
                );
            }
            Some(none) => {
                attribute.insert("profiles".to_owned(), none);
            }
        }
        own.insert(name.clone(), attribute.into());
    }
    for include in includes {
        let path = include
            .as_str()
            .context("$include has what is not a path")?;
        let profile = extension
            .and_then(|extension| files.get(&format!("{}/{path}", extension.folder)))
            .or_else(|| files.get(path))
            .with_context(|| format!("there is no {path} to include"))?;
        let name = profile["name"].as_str().context("a profile has no name")?;
        let name = scoped(files, name, extension);
        let mut below = profile["attributes"]
            .as_object()
            .context("a profile has no attributes")?
            .clone();
        for attribute in below.values_mut() {
            attribute["profiles"] = json!([name]);
        }
        merge(&mut below, own)?;
        own = below;
    }
    Ok(own)
}

/// Returns a profile's name, with that of the extension which defines it.
fn scoped(files: &Files, profile: &str, extension: Option<&Extension>) -> String {
    match extension {
        Some(one) if files.contains_key(&format!("{}/profiles/{profile}.json", one.folder)) => {
            format!("{}/{profile}", one.name)
        }
        _ => profile.to_owned(),
    }
}

/// Merges attributes into those of a parent, a profile, or what an extension changes.
pub(crate) fn merge(into: &mut Json, from: Json) -> Result<()> {
    for (name, attribute) in from {
        match into.get_mut(&name) {
            None => {
                into.insert(name, attribute);
            }
            Some(Value::Object(base)) => {
                let Value::Object(attribute) = attribute else {
                    bail!("{name} is not an object");
                };
                merge_one(base, attribute);
            }
            Some(_) => bail!("{name} is not an object"),
        }
    }
    Ok(())
}

fn merge_one(base: &mut Json, from: Json) {
    let is_of_profile = from.get("profiles").is_some_and(Value::is_array);
    for (key, value) in from {
        let Some(before) = base.get(&key) else {
            base.insert(key, value);
            continue;
        };
        let merged = match (key.as_str(), before, value) {
            ("profiles", Value::Array(before), Value::Array(more)) => {
                let mut all = before.clone();
                all.extend(more.into_iter().filter(|one| !before.contains(one)));
                all.sort_by_key(Value::to_string);
                all.into()
            }
            // Of an attribute of two profiles the stricter requirement holds.
            ("requirement", before, value) if is_of_profile && base.contains_key("profiles") => {
                if rank(before) > rank(&value) {
                    before.clone()
                } else {
                    value
                }
            }
            (_, Value::Object(before), Value::Object(more)) => {
                let mut all = before.clone();
                deep_merge(&mut all, more);
                all.into()
            }
            (_, _, value) => value,
        };
        base.insert(key, merged);
    }
}

fn rank(requirement: &Value) -> u8 {
    match requirement.as_str() {
        Some("required") => 3,
        Some("recommended") => 2,
        Some("optional") => 1,
        _ => 0,
    }
}

/// Merges an object into another, level by level.
pub(crate) fn deep_merge(into: &mut Json, from: Json) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(before)), Value::Object(more)) => deep_merge(before, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
