//! What follows from what an event has.

use serde_json::{Map, Value};

use crate::path::{Below, below};
use crate::schema::{Attribute, Class, Members, Requirement, Schema};
use crate::validate::id;

/// The id of what no other value of an enum names: its caption is the source's own word.
const OTHER: &str = "99";
/// The id of what is not known.
const UNKNOWN: &str = "0";

/// Adds to an event of a class what follows from the attributes that it has. What is there is never changed.
///
/// * `class_uid`, `class_name`, `category_uid`, `category_name` from the class; `metadata.version` from the schema.
/// * At each level, an id from its caption where they are equal without regard to case: `severity` `high` gives `severity_id` 4.
///   A caption that is none of the enum gives 99 (Other), if the enum has it.
/// * At each level, 0 (Unknown) for a required id that is missing and has this value: so `activity_id` and `severity_id` are
///   always there. An id that is recommended or optional is not added, and severity is not guessed.
/// * At each level, a caption from its id, except for 99: its caption is the source's own word, which nobody else knows.
/// * `type_uid` and `type_name` from the class and `activity_id`.
///
/// An attribute of a profile is added only if `metadata.profiles` names the profile. A null counts as missing.
pub fn completed(class: &Class, event: &mut Map<String, Value>) {
    let category = class.category();
    add(event, "class_uid", class.uid().into());
    add(event, "class_name", class.caption().into());
    add(event, "category_uid", category.uid.into());
    add(event, "category_name", category.caption.into());
    let metadata = event.entry("metadata").or_insert(Value::Null);
    if metadata.is_null() {
        *metadata = Map::new().into();
    }
    let mut profiles = Vec::new();
    if let Some(metadata) = metadata.as_object_mut() {
        add(metadata, "version", Schema::shipped().version().into());
        let named = metadata.get("profiles").and_then(Value::as_array);
        let named = named.into_iter().flatten().filter_map(Value::as_str);
        profiles = named.map(str::to_owned).collect();
    }
    let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
    members(&class.members, event, &profiles);

    let activity = event.get("activity_id").and_then(Value::as_u64);
    // An activity that is no valid one may be of any size.
    let Some(uid) = activity.and_then(|id| id.checked_add(u64::from(class.uid()) * 100)) else {
        return;
    };
    add(event, "type_uid", uid.into());
    let name = class.members.get("type_uid");
    let name = name.and_then(|types| types.enum_value(&uid.to_string()));
    if let Some(name) = name
        && event.get("type_uid").and_then(Value::as_u64) == Some(uid)
    {
        add(event, "type_name", name.caption.into());
    }
}

/// Sets what is missing or null.
fn add(map: &mut Map<String, Value>, name: &str, value: Value) {
    if map.get(name).is_none_or(Value::is_null) {
        map.insert(name.to_owned(), value);
    }
}

fn members(members: &Members, map: &mut Map<String, Value>, profiles: &[&str]) {
    for attribute in members.ids.iter().map(|place| &members.attributes[*place]) {
        if attribute.is_in(profiles) {
            pair(attribute, map);
        }
    }
    for (name, value) in map {
        if !value.is_object() && !value.is_array() {
            continue;
        }
        let attribute = members.get(name).filter(|one| one.is_in(profiles));
        let Some(attribute) = attribute else {
            continue;
        };
        let Below::Members(next) = below(attribute) else {
            continue;
        };
        match value {
            Value::Object(object) => self::members(next, object, profiles),
            Value::Array(list) if attribute.is_array => {
                for object in list.iter_mut().filter_map(Value::as_object_mut) {
                    self::members(next, object, profiles);
                }
            }
            _ => {}
        }
    }
}

/// Completes an id and its caption.
fn pair(attribute: &Attribute, map: &mut Map<String, Value>) {
    let sibling = attribute.sibling;
    let is_missing =
        |map: &Map<String, Value>, name: &str| map.get(name).is_none_or(Value::is_null);
    if is_missing(map, attribute.name) {
        let found = sibling.and_then(|sibling| map.get(sibling));
        let found = found.and_then(|caption| each(caption, &|one| id_of(attribute, one)));
        let unknown = || {
            let is_required = attribute.requirement == Requirement::Required;
            let has = is_required && !attribute.is_array;
            attribute.enum_value(UNKNOWN).filter(|_| has)
        };
        if let Some(id) = found.or_else(|| unknown().map(|one| typed(attribute, one.id))) {
            map.insert(attribute.name.to_owned(), id);
        }
    }
    if let Some(sibling) = sibling
        && is_missing(map, sibling)
        && let Some(id) = map.get(attribute.name)
        && let Some(caption) = each(id, &|one| caption_of(attribute, one))
    {
        map.insert(sibling.to_owned(), caption);
    }
}

/// Maps a value, or all values of a list; nothing if one of them has no image.
fn each(value: &Value, image: &dyn Fn(&Value) -> Option<Value>) -> Option<Value> {
    match value {
        Value::Array(list) => list.iter().map(image).collect(),
        one => image(one),
    }
}

fn id_of(attribute: &Attribute, caption: &Value) -> Option<Value> {
    let caption = caption.as_str().filter(|caption| !caption.is_empty())?;
    let found = attribute.enum_value_of(caption);
    let found = found.or_else(|| attribute.enum_value(OTHER))?;
    Some(typed(attribute, found.id))
}

fn caption_of(attribute: &Attribute, value: &Value) -> Option<Value> {
    let id = id(value);
    let found = attribute.enum_value(&id).filter(|_| id != OTHER)?;
    Some(found.caption.into())
}

/// Returns an id as JSON of the attribute's type.
fn typed(attribute: &Attribute, id: &str) -> Value {
    match id.parse::<i64>() {
        Ok(number) if attribute.base != crate::BaseType::String => number.into(),
        _ => id.into(),
    }
}
