//! The source form becomes the text that the crate reads: parents, profiles and extensions are resolved.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::attributes::{Extension, Json, merge, own};
use super::source::Files;
use super::writer::{Writer, write_type};

const HEADER: &str = "\
# Classes, objects and attributes of the Open Cybersecurity Schema Framework (OCSF), https://schema.ocsf.io
# Made by `cargo xtask ocsf PATH`, with the .tar.gz of a release as PATH. Do not edit: make it again.
#
# From https://github.com/ocsf/ocsf-schema: Copyright OCSF a Series of LF Projects, LLC. Licensed under the Apache 2 license.
# That project includes the ICD Schema developed by Symantec, a division of Broadcom.
#
# An attribute of an object or a class has the type and the keys of the line `attribute` with its name; keys on its own line
# replace them. `profile=`: it is there only in events of such a profile. What follows ` | ` is a caption.
";

/// One class or object: what its file says, and its attributes with those of profiles and parents.
pub(crate) struct Item {
    pub(crate) json: Json,
    pub(crate) attributes: Json,
    extension: Option<Extension>,
}

type Items = BTreeMap<String, Item>;

/// Returns the text of `schema.txt`.
///
/// # Errors
/// When the source form refers to what it does not have, or has what the text cannot say.
pub(crate) fn compile(files: &Files) -> Result<String> {
    let extensions = extensions(files)?;
    let classes = items(files, "events", &extensions)?;
    let mut objects = items(files, "objects", &extensions)?;
    let (mut dictionary, types) = dictionary(files, &extensions)?;
    let observables = observables(&objects, &dictionary, &types)?;
    let objects_done = resolve_all(&objects)?;
    let classes_done = resolve_all(&classes)?;
    objects.clear();

    let mut out = String::from(HEADER);
    writeln!(out, "version {}", text(&files["version.json"], "version")?)?;
    let categories = &files["categories.json"]["attributes"];
    let mut categories: Vec<_> = categories.as_object().into_iter().flatten().collect();
    categories.sort_by_key(|(_, category)| category["uid"].as_u64());
    for (name, category) in categories {
        writeln!(
            out,
            "category {} {name} | {}",
            category["uid"],
            caption(category)?
        )?;
    }
    for (name, one) in profiles(files, &extensions)? {
        writeln!(out, "profile {name} | {one}")?;
    }
    for (name, one) in &types {
        write_type(&mut out, name, one)?;
    }
    for (id, name) in &observables {
        writeln!(out, "observable {id} | {name}")?;
    }
    let twins: Vec<(String, Value)> = dictionary
        .iter()
        .filter(|(_, one)| one["type"] == "timestamp_t")
        .map(|(name, one)| {
            let mut one = one.clone();
            one["type"] = "datetime_t".into();
            (format!("{name}_dt"), one)
        })
        .collect();
    dictionary.extend(twins);

    let mut writer = Writer {
        dictionary: &dictionary,
        types: &types,
        observables: &observables,
        enums: BTreeMap::new(),
        enum_text: String::new(),
        body: String::new(),
    };
    for (name, one) in &dictionary {
        writer.dictionary_attribute(name, one)?;
    }
    for (name, one) in &objects_done {
        // Names that begin with `_` are parents only.
        if !name.starts_with('_') {
            let observable = key(&one.json, "observable", "observable");
            let deprecated = deprecated(&one.json);
            writeln!(
                writer.body,
                "object {name}{observable}{deprecated} | {}",
                caption_of(&one.json)?
            )?;
            writer.members(name, one)?;
        }
    }
    for (name, one) in &classes_done {
        let uid = one.json.get("uid").and_then(Value::as_u64);
        if uid.is_none() && name != "base_event" {
            continue;
        }
        ensure!(
            !one.json.contains_key("observables"),
            "class {name} has observables by path, which are not supported"
        );
        let category = text(&one.json, "category")?;
        let number = files["categories.json"]["attributes"][category]["uid"]
            .as_u64()
            .unwrap_or(0);
        let scope = one
            .extension
            .as_ref()
            .map_or(0, |extension| extension.uid * 100);
        let uid = (scope + number) * 1000 + uid.unwrap_or(0);
        let extension = one.extension.as_ref().map_or(String::new(), |extension| {
            format!(" extension={}", extension.name)
        });
        let deprecated = deprecated(&one.json);
        writeln!(
            writer.body,
            "class {name} {uid} {category}{extension}{deprecated} | {}",
            caption_of(&one.json)?
        )?;
        writer.members(name, one)?;
    }
    out.push_str(&writer.enum_text);
    out.push_str(&writer.body);
    Ok(out)
}

fn extensions(files: &Files) -> Result<Vec<Extension>> {
    let mut found = Vec::new();
    for (path, json) in files {
        if path.starts_with("extensions/")
            && let Some(folder) = path.strip_suffix("/extension.json")
        {
            found.push(Extension {
                name: text(json, "name")?.to_owned(),
                uid: json
                    .get("uid")
                    .and_then(Value::as_u64)
                    .context("an extension has no uid")?,
                folder: folder.to_owned(),
            });
        }
    }
    found.sort_by_key(|extension| extension.uid);
    Ok(found)
}

/// Returns classes or objects, with what extensions change of them.
fn items(files: &Files, folder: &str, extensions: &[Extension]) -> Result<Items> {
    let mut found = Items::new();
    let below = |prefix: String| {
        files
            .iter()
            .filter(move |(path, _)| path.starts_with(&prefix))
    };
    for (path, json) in below(format!("{folder}/")) {
        let attributes = own(files, json, None).with_context(|| path.clone())?;
        let item = Item {
            json: json.clone(),
            attributes,
            extension: None,
        };
        found.insert(text(json, "name")?.to_owned(), item);
    }
    for extension in extensions {
        for (path, json) in below(format!("{}/{folder}/", extension.folder)) {
            let attributes = own(files, json, Some(extension)).with_context(|| path.clone())?;
            let parent = json.get("extends").and_then(Value::as_str);
            let name = json.get("name").and_then(Value::as_str);
            match (name, parent) {
                (Some(name), parent) if Some(name) != parent => {
                    let item = Item {
                        json: json.clone(),
                        attributes,
                        extension: Some(extension.clone()),
                    };
                    ensure!(
                        found.insert(name.to_owned(), item).is_none(),
                        "{path}: there are two of {name}"
                    );
                }
                // Without a name of its own it changes what it extends.
                (_, Some(parent)) => {
                    let base = found
                        .get_mut(parent)
                        .with_context(|| format!("{path} extends {parent}, which is not there"))?;
                    merge(&mut base.attributes, attributes).with_context(|| path.clone())?;
                    for key in ["constraints", "observable"] {
                        if let Some(value) = json.get(key) {
                            base.json.insert(key.to_owned(), value.clone());
                        }
                    }
                }
                (_, None) => bail!("{path} has neither name nor parent"),
            }
        }
    }
    Ok(found)
}

/// Returns all items with what they have from their parents.
fn resolve_all(items: &Items) -> Result<Items> {
    items
        .keys()
        .map(|name| Ok((name.clone(), resolve(items, name)?)))
        .collect()
}

fn resolve(items: &Items, name: &str) -> Result<Item> {
    let item = items
        .get(name)
        .with_context(|| format!("{name} is extended, but is not there"))?;
    let Some(parent) = item.json.get("extends").and_then(Value::as_str) else {
        return Ok(Item {
            json: item.json.clone(),
            attributes: item.attributes.clone(),
            extension: item.extension.clone(),
        });
    };
    let parent = resolve(items, parent)?;
    let mut json = parent.json;
    // A child of a parent that only gathers attributes is a class by its own uid alone.
    json.remove("uid");
    json.remove("@deprecated");
    json.extend(item.json.clone());
    let mut attributes = parent.attributes;
    merge(&mut attributes, item.attributes.clone())?;
    Ok(Item {
        json,
        attributes,
        extension: item.extension.clone(),
    })
}

/// Returns the dictionary's attributes and types, with those of extensions.
fn dictionary(
    files: &Files,
    extensions: &[Extension],
) -> Result<(BTreeMap<String, Value>, BTreeMap<String, Value>)> {
    let mut attributes = BTreeMap::new();
    let mut types = BTreeMap::new();
    let paths = extensions
        .iter()
        .map(|extension| format!("{}/dictionary.json", extension.folder));
    for path in std::iter::once("dictionary.json".to_owned()).chain(paths) {
        let Some(json) = files.get(&path) else {
            continue;
        };
        let json = Value::from(json.clone());
        for (found, pointer) in [
            (&mut attributes, "/attributes"),
            (&mut types, "/types/attributes"),
        ] {
            let all = json.pointer(pointer).and_then(Value::as_object);
            for (name, one) in all.into_iter().flatten() {
                let before = found.insert(name.clone(), one.clone());
                ensure!(before.is_none(), "{path}: there are two of {name}");
            }
        }
    }
    Ok((attributes, types))
}

fn profiles(files: &Files, extensions: &[Extension]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (path, json) in files {
        let Some((folder, _)) = path.split_once("profiles/") else {
            continue;
        };
        let folder = folder.trim_end_matches('/');
        let name = text(json, "name")?;
        let extension = extensions
            .iter()
            .find(|extension| extension.folder == folder);
        let name = extension.map_or(name.to_owned(), |extension| {
            format!("{}/{name}", extension.name)
        });
        found.insert(name, caption_of(json)?.to_owned());
    }
    Ok(found)
}

/// Returns the types of observables: by type or attribute of the dictionary, by object, by attribute of an object.
fn observables(
    objects: &Items,
    dictionary: &BTreeMap<String, Value>,
    types: &BTreeMap<String, Value>,
) -> Result<BTreeMap<u64, String>> {
    let mut found = BTreeMap::new();
    let mut add = |one: &Value, name: String| match one.get("observable").and_then(Value::as_u64) {
        Some(id) => {
            let before = found.insert(id, name);
            ensure!(before.is_none(), "there are two observables {id}");
            Ok(())
        }
        None => Ok(()),
    };
    for one in types.values().chain(dictionary.values()) {
        add(one, caption(one)?.to_owned())?;
    }
    for item in objects.values() {
        let name = caption_of(&item.json)?;
        add(&item.json.clone().into(), name.to_owned())?;
        for (attribute, one) in &item.attributes {
            add(one, format!("{name} Object: {attribute}"))?;
        }
    }
    Ok(found)
}

pub(crate) fn text<'a>(json: &'a Json, key: &str) -> Result<&'a str> {
    let value = json.get(key).and_then(Value::as_str);
    value.with_context(|| format!("there is no `{key}` in {}", Value::from(json.clone())))
}

pub(crate) fn caption(one: &Value) -> Result<&str> {
    caption_of(one.as_object().context("it is not an object")?)
}

pub(crate) fn caption_of(one: &Json) -> Result<&str> {
    let caption = text(one, "caption")?;
    ensure!(!caption.contains('\n'), "the caption {caption:?} has lines");
    Ok(caption.trim())
}

/// Returns ` name=value`, or nothing.
pub(crate) fn key(json: &Json, from: &str, name: &str) -> String {
    match json.get(from) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(value)) => format!(" {name}={value}"),
        Some(value) => format!(" {name}={value}"),
    }
}

/// Returns the version since which something is deprecated.
pub(crate) fn deprecated(json: &Json) -> String {
    let since = json
        .get("@deprecated")
        .and_then(|one| one["since"].as_str());
    since.map_or(String::new(), |since| format!(" deprecated={since}"))
}
