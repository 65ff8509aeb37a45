//! Reads `schema.txt`. Its header describes the lines.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use crate::schema::{
    Attribute, Category, Class, Constraint, EnumValue, Members, Object, Requirement, Schema,
};
use crate::types::{BaseType, Type};

/// Where the lines that begin with a space belong.
enum Owner {
    None,
    Enum(&'static str),
    Object(&'static str),
    Class(&'static str),
}

/// What the reading of one line needs of the lines above it.
#[derive(Default)]
struct Above {
    categories: HashMap<&'static str, Category>,
    enums: HashMap<&'static str, Vec<EnumValue>>,
    /// Attributes of the dictionary.
    attributes: HashMap<&'static str, Line>,
    /// Each object and class, with the lines of its attributes and its constraints.
    members: Vec<(Owner, Vec<Line>, Vec<Constraint>)>,
}

/// A line: its first words, its keys, its caption.
#[derive(Debug, Clone)]
struct Line {
    words: Vec<&'static str>,
    keys: Vec<(&'static str, &'static str)>,
    caption: &'static str,
}

impl Line {
    fn read(text: &'static str) -> Self {
        let (text, caption) = text.split_once(" | ").unwrap_or((text, ""));
        let mut line = Self {
            words: Vec::new(),
            keys: Vec::new(),
            caption,
        };
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(key) => line.keys.push(key),
                None => line.words.push(word),
            }
        }
        line
    }

    fn word(&self, at: usize) -> &'static str {
        self.words.get(at).copied().unwrap_or_default()
    }

    fn key(&self, name: &str) -> Option<&'static str> {
        let found = self.keys.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.key(name)?.parse().ok()
    }
}

/// Reads the text. It comes with the program, so a line that means nothing is left out; a test holds that there is none.
pub(crate) fn schema(text: &'static str) -> Schema {
    let mut schema = Schema::default();
    let mut above = Above::default();
    let mut owner = Owner::None;
    for text in text.lines().filter(|text| !text.starts_with('#')) {
        if text.starts_with(' ') {
            member(text, &owner, &mut above);
        } else {
            owner = start(text, &mut schema, &mut above);
        }
    }
    finish(&mut schema, above);
    schema
}

/// Reads a line that begins without a space.
fn start(text: &'static str, schema: &mut Schema, above: &mut Above) -> Owner {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    if let ("regex", Some((name, pattern))) = (kind, rest.split_once(' ')) {
        if let Some(one) = schema.types.get_mut(name) {
            one.pattern = Some(pattern);
        }
        return Owner::None;
    }
    let line = Line::read(rest);
    let name = line.word(0);
    let deprecated = line.key("deprecated");
    match kind {
        "version" => schema.version = name,
        "category" => {
            let uid = name.parse().unwrap_or_default();
            let (name, caption) = (line.word(1), line.caption);
            above
                .categories
                .insert(name, Category { name, uid, caption });
        }
        "profile" => {
            schema.profiles.insert(name, line.caption);
        }
        "type" => {
            let one = Type {
                caption: line.caption,
                base: BaseType::of(line.word(1)),
                max_len: line.number("max_len"),
                observable: line.number("observable"),
                range: None,
                pattern: None,
                regex: OnceLock::new(),
            };
            schema.types.insert(name, one);
        }
        "range" => {
            if let Some(one) = schema.types.get_mut(name)
                && let (Ok(low), Ok(high)) = (line.word(1).parse(), line.word(2).parse())
            {
                one.range = Some((low, high));
            }
        }
        "observable" => {
            if let Ok(id) = name.parse() {
                schema.observables.insert(id, line.caption);
            }
        }
        "attribute" => {
            above.attributes.insert(name, line);
        }
        "enum" => {
            above.enums.insert(name, Vec::new());
            return Owner::Enum(name);
        }
        "object" => {
            let object = Object {
                observable: line.number("observable"),
                members: Members::default(),
            };
            schema.objects.insert(name, object);
            above
                .members
                .push((Owner::Object(name), Vec::new(), Vec::new()));
            return Owner::Object(name);
        }
        "class" => {
            let category = line.word(2);
            let category = above.categories.get(category).copied().unwrap_or(Category {
                name: "other",
                uid: 0,
                caption: "Uncategorized",
            });
            let class = Class {
                name,
                uid: line.word(1).parse().unwrap_or_default(),
                caption: line.caption,
                category,
                extension: line.key("extension"),
                deprecated,
                members: Members::default(),
            };
            schema.classes.insert(name, class);
            above
                .members
                .push((Owner::Class(name), Vec::new(), Vec::new()));
            return Owner::Class(name);
        }
        _ => {}
    }
    Owner::None
}

/// Reads a line that belongs to the one above it.
fn member(text: &'static str, owner: &Owner, above: &mut Above) {
    if let Owner::Enum(name) = owner {
        if let (Some(values), Some((id, caption))) =
            (above.enums.get_mut(name), text.split_once(" | "))
        {
            let id = id.trim();
            values.push(EnumValue { id, caption });
        }
        return;
    }
    let Some((_, lines, constraints)) = above.members.last_mut() else {
        return;
    };
    let line = Line::read(text);
    let names = || line.words[1..].to_vec();
    match line.word(0) {
        _ if text.starts_with("  ") => lines.push(line),
        "at_least_one" => constraints.push(Constraint::AtLeastOne(names())),
        "just_one" => constraints.push(Constraint::JustOne(names())),
        _ => {}
    }
}

/// Makes the attributes, when all types are known. What they share is leaked: the schema lives as long as the program.
fn finish(schema: &mut Schema, above: Above) {
    let enums: HashMap<&str, &'static [EnumValue]> = above
        .enums
        .into_iter()
        .map(|(name, values)| (name, &*values.leak()))
        .collect();
    let mut lists: BTreeMap<&'static str, &'static [&'static str]> = BTreeMap::new();
    for (owner, lines, constraints) in above.members {
        let attributes: Vec<Attribute> = lines
            .iter()
            .filter_map(|line| {
                let base = above.attributes.get(line.word(0))?;
                let profiles = line.key("profile").map_or(&[][..], |names| {
                    lists
                        .entry(names)
                        .or_insert_with(|| names.split(',').collect::<Vec<_>>().leak())
                });
                Some(attribute(schema, &enums, line, base, profiles))
            })
            .collect();
        let members = Members::new(attributes, constraints);
        match owner {
            Owner::Object(name) => {
                if let Some(object) = schema.objects.get_mut(name) {
                    object.members = members;
                }
            }
            Owner::Class(name) => {
                if let Some(class) = schema.classes.get_mut(name) {
                    class.members = members;
                    identify(class);
                }
            }
            Owner::None | Owner::Enum(_) => {}
        }
    }
}

/// Makes an attribute of an object or a class from its line and that of the dictionary.
fn attribute(
    schema: &Schema,
    enums: &HashMap<&str, &'static [EnumValue]>,
    line: &Line,
    base: &Line,
    profiles: &'static [&'static str],
) -> Attribute {
    let key = |name: &str| line.key(name).or_else(|| base.key(name));
    let full = line.key("type").unwrap_or(base.word(1));
    let is_array = base.word(1).ends_with("[]");
    let type_name = full.trim_end_matches("[]");
    let known = schema.types.get(type_name);
    let place = match known {
        Some(_) => schema.types.place(type_name),
        None => schema.objects.place(type_name),
    };
    // What says most about a value comes first: the attribute of one object, of all objects, its type.
    let observable = key("observable").and_then(|id| id.parse().ok());
    let of_type = match known {
        Some(known) => known.observable,
        None => schema.objects.get(type_name).and_then(|one| one.observable),
    };
    Attribute {
        name: line.word(0),
        caption: base.caption,
        type_name,
        base: known.map_or(BaseType::Object, |known| known.base),
        is_array,
        in_array: false,
        requirement: match line.word(1) {
            "required" => Requirement::Required,
            "recommended" => Requirement::Recommended,
            _ => Requirement::Optional,
        },
        enum_values: key("enum")
            .and_then(|name| enums.get(name).copied())
            .unwrap_or(&[]),
        sibling: key("sibling"),
        observable: observable.or(of_type),
        profiles,
        deprecated: key("deprecated"),
        place: place.unwrap_or(usize::MAX),
    }
}

/// Gives `category_uid`, `class_uid` and `type_uid` the values that they have in a class.
fn identify(class: &mut Class) {
    let activities = class
        .members
        .get("activity_id")
        .map_or(&[][..], |attribute| attribute.enum_values);
    let text = |text: String| -> &'static str { text.leak() };
    let types = activities.iter().map(|activity| {
        let activity_id: u64 = activity.id.parse().unwrap_or_default();
        EnumValue {
            id: text((u64::from(class.uid) * 100 + activity_id).to_string()),
            caption: text(format!("{}: {}", class.caption, activity.caption)),
        }
    });
    let types: &'static [EnumValue] = types.collect::<Vec<_>>().leak();
    let one = |id: u32, caption| -> &'static [EnumValue] {
        let id = text(id.to_string());
        vec![EnumValue { id, caption }].leak()
    };
    let (category, this) = (
        one(class.category.uid, class.category.caption),
        one(class.uid, class.caption),
    );
    for attribute in &mut class.members.attributes {
        match attribute.name {
            "category_uid" => attribute.enum_values = category,
            "class_uid" => attribute.enum_values = this,
            "type_uid" => attribute.enum_values = types,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line of the file is one of a kind that is read, and what it names is there.
    #[test]
    fn no_line_of_the_file_is_left_out() {
        let text = include_str!("../schema.txt");
        let schema = schema(text);
        let count = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
        assert_eq!(schema.classes.len(), count("class "));
        assert_eq!(schema.objects.iter().count(), count("object "));
        assert_eq!(schema.types.iter().count(), count("type "));
        assert_eq!(schema.profiles.len(), count("profile "));
        assert_eq!(schema.observables.len(), count("observable "));
        let patterns = schema.types.iter().filter_map(|one| one.pattern);
        let valid = patterns.filter(|pattern| regex::Regex::new(pattern).is_ok());
        assert_eq!(valid.count(), count("regex "));
        let ranges = schema.types.iter().filter(|one| one.range.is_some());
        assert_eq!(ranges.count(), count("range "));

        let members = || {
            let classes = schema.classes.values().map(|class| &class.members);
            classes.chain(schema.objects.iter().map(|object| &object.members))
        };
        let constraints: usize = members().map(|one| one.constraints.len()).sum();
        assert_eq!(constraints, count(" at_least_one ") + count(" just_one "));
        let attributes: usize = members().map(|one| one.attributes.len()).sum();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("  ") && !line.contains(" | "));
        assert_eq!(attributes, lines.count());
        let known = [
            "category ",
            "version ",
            "attribute ",
            "enum ",
            "class ",
            "object ",
            "type ",
            "profile ",
        ];
        let known = |line: &str| {
            known.iter().any(|kind| line.starts_with(kind))
                || ["observable ", "regex ", "range ", "#", " "]
                    .iter()
                    .any(|kind| line.starts_with(kind))
        };
        for line in text.lines() {
            assert!(known(line), "{line}");
        }
        for attribute in members().flat_map(|one| &one.attributes) {
            let mut captions = attribute.enum_values.iter().map(|value| value.caption);
            assert!(captions.all(str::is_ascii), "{attribute:?}");
            let is_object = attribute.base == BaseType::Object;
            assert_eq!(
                is_object,
                schema.objects.get(attribute.type_name).is_some(),
                "{attribute:?}"
            );
            if let Some(id) = attribute.observable {
                assert!(schema.observables.contains_key(&id), "{attribute:?}");
            }
            for profile in attribute.profiles {
                assert!(schema.profiles.contains_key(profile), "{attribute:?}");
            }
        }
    }
}
