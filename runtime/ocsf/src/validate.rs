//! What the schema does not allow in an event.

use serde_json::{Map, Value};

use yagura_core::names::did_you_mean;

use crate::path::{Below, below};
use crate::schema::{Attribute, Class, Constraint, Members, Requirement, Schema};
use crate::types::{BaseType, kind, not_an_object};

/// One thing in an event that the schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the attribute, such as `answers[0].rdata`; empty for the event as a whole.
    pub path: String,
    /// What kind of thing it is.
    pub kind: ProblemKind,
    /// What is wrong and what would be right, for people; it names the path.
    pub message: String,
}

/// The kinds of [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The class or object has no attribute of this name, or only with a profile that the event does not name.
    UnknownAttribute,
    /// The value is not of the attribute's type.
    WrongType,
    /// The value is none of those that the attribute may have.
    NotInEnum,
    /// An attribute that must be there is not.
    MissingRequired,
    /// Attributes do not fit together.
    Constraint,
}

/// Returns what the schema does not allow in an event of a class, in the order of the schema's attributes.
///
/// An attribute that is null counts as missing. What is below `unmapped` and other attributes for any JSON is not looked at.
/// An attribute of a profile is known in events that name this profile in `metadata.profiles`, and required only there.
///
/// Deprecated attributes, missing recommended ones, and captions that differ from their id are not problems. Time stamps are
/// checked for their type only: seconds instead of milliseconds are not noticed.
pub fn validate(class: &Class, event: &Value) -> Vec<Problem> {
    let mut check = Check {
        profiles: Vec::new(),
        problems: Vec::new(),
    };
    let Some(map) = event.as_object() else {
        let message = format!("an event must be an object, but is {}", kind(event));
        check.add(String::new(), ProblemKind::WrongType, message);
        return check.problems;
    };
    check.read_profiles(event);
    check.members(
        &class.members,
        map,
        "",
        &format!("class `{}`", class.name()),
    );
    check.type_uid(class, map);
    check.references(class, event);
    check.problems
}

struct Check<'a> {
    profiles: Vec<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn add(&mut self, path: String, kind: ProblemKind, message: String) {
        self.problems.push(Problem {
            path,
            kind,
            message,
        });
    }

    fn read_profiles(&mut self, event: &'a Value) {
        let named = event
            .pointer("/metadata/profiles")
            .and_then(Value::as_array);
        let known = &Schema::shipped().profiles;
        for (at, name) in named.into_iter().flatten().enumerate() {
            let Some(name) = name.as_str() else {
                continue;
            };
            self.profiles.push(name);
            if !known.contains_key(name) {
                let path = format!("metadata.profiles[{at}]");
                let hint = did_you_mean(name, known.keys().copied());
                let message = format!("`{path}`: there is no profile `{name}`{hint}");
                self.add(path, ProblemKind::NotInEnum, message);
            }
        }
    }

    /// Checks a class or an object: each attribute that is known, then those that are not, then the constraints.
    fn members(&mut self, members: &Members, map: &Map<String, Value>, prefix: &str, owner: &str) {
        for attribute in &members.attributes {
            let is_in = attribute.is_in(&self.profiles);
            match map.get(attribute.name) {
                None | Some(Value::Null) => {
                    if is_in && attribute.requirement == Requirement::Required {
                        let path = format!("{prefix}{}", attribute.name);
                        let message = format!("`{path}` is missing, but {owner} requires it");
                        self.add(path, ProblemKind::MissingRequired, message);
                    }
                }
                Some(value) if is_in => {
                    self.attribute(attribute, value, format!("{prefix}{}", attribute.name));
                }
                Some(_) => {}
            }
        }
        for name in map.keys() {
            let path = || format!("{prefix}{name}");
            let message = match members.get(name) {
                Some(attribute) if attribute.is_in(&self.profiles) => continue,
                Some(attribute) => format!(
                    "`{}` is only in events with the profile {}: add it to `metadata.profiles`",
                    path(),
                    quoted(attribute.profiles.iter().copied())
                ),
                None => {
                    let known = members.attributes.iter();
                    let known = known.filter(|one| one.is_in(&self.profiles));
                    let hint = did_you_mean(name, known.map(|one| one.name));
                    format!("`{}`: {owner} has no attribute `{name}`{hint}", path())
                }
            };
            self.add(path(), ProblemKind::UnknownAttribute, message);
        }
        for constraint in &members.constraints {
            self.constraint(constraint, map, prefix, owner);
        }
    }

    fn constraint(
        &mut self,
        constraint: &Constraint,
        map: &Map<String, Value>,
        prefix: &str,
        owner: &str,
    ) {
        let present = |names: &[&'static str]| {
            names
                .iter()
                .copied()
                .filter(|name| is_present(map, name))
                .collect::<Vec<_>>()
        };
        let rule = match constraint {
            Constraint::AtLeastOne(names) if present(names).is_empty() => {
                format!(
                    "at least one of {}, but has none",
                    quoted(names.iter().copied())
                )
            }
            Constraint::JustOne(names) => match present(names) {
                found if found.len() == 1 => return,
                found if found.is_empty() => {
                    format!(
                        "exactly one of {}, but has none",
                        quoted(names.iter().copied())
                    )
                }
                found => format!("only one of {}", quoted(found.into_iter())),
            },
            Constraint::AtLeastOne(_) => return,
        };
        let path = prefix.trim_end_matches('.');
        let place = match path {
            "" => String::new(),
            path => format!("`{path}`: "),
        };
        let message = format!("{place}{owner} must have {rule}");
        self.add(path.to_owned(), ProblemKind::Constraint, message);
    }

    fn attribute(&mut self, attribute: &Attribute, value: &Value, path: String) {
        if !attribute.is_array {
            self.value(attribute, value, path);
            return;
        }
        let Some(list) = value.as_array() else {
            let message = format!(
                "`{path}` must be a list of {}, but is {}",
                attribute.type_name,
                kind(value)
            );
            self.add(path, ProblemKind::WrongType, message);
            return;
        };
        for (at, value) in list.iter().enumerate() {
            self.value(attribute, value, format!("{path}[{at}]"));
        }
    }

    fn value(&mut self, attribute: &Attribute, value: &Value, path: String) {
        let fault = match attribute.base {
            BaseType::Object => match value.as_object() {
                None => Some(not_an_object(attribute.type_name, value)),
                Some(map) => {
                    if let Below::Members(members) = below(attribute) {
                        let owner = format!("object `{}`", attribute.type_name);
                        self.members(members, map, &format!("{path}."), &owner);
                    }
                    return;
                }
            },
            _ => Schema::shipped()
                .types
                .at(attribute.place)
                .and_then(|one| one.fault(attribute.type_name, value)),
        };
        if let Some(fault) = fault {
            let message = format!("`{path}` {fault}");
            self.add(path, ProblemKind::WrongType, message);
            return;
        }
        if attribute.enum_values.is_empty() {
            return;
        }
        let id = id(value);
        if attribute.enum_value(&id).is_none() {
            let allowed = attribute.enum_values.iter();
            let allowed = allowed.map(|one| match one.id == one.caption {
                true => one.id.to_owned(),
                false => format!("{} ({})", one.id, one.caption),
            });
            let mut allowed: Vec<String> = allowed.collect();
            if allowed.len() > SHOWN {
                let others = allowed.len() - SHOWN;
                allowed.truncate(SHOWN);
                allowed.push(format!("{others} others"));
            }
            let message = format!(
                "`{path}` is {id}, but must be one of {}",
                allowed.join(", ")
            );
            self.add(path, ProblemKind::NotInEnum, message);
        }
    }

    /// Checks that `type_uid` follows from class and activity.
    fn type_uid(&mut self, class: &Class, map: &Map<String, Value>) {
        let number = |name: &str| map.get(name).and_then(Value::as_u64);
        let (Some(activity), Some(found)) = (number("activity_id"), number("type_uid")) else {
            return;
        };
        let wanted = (u64::from(class.uid()) * 100).saturating_add(activity);
        if found != wanted {
            let message = format!(
                "`type_uid` must be {wanted} (class_uid * 100 + activity_id), but is {found}"
            );
            self.add("type_uid".to_owned(), ProblemKind::Constraint, message);
        }
    }

    /// Checks that the name of each observable leads to an attribute.
    fn references(&mut self, class: &Class, event: &Value) {
        let all = event.get("observables").and_then(Value::as_array);
        for (at, one) in all.into_iter().flatten().enumerate() {
            if let Some(name) = one.get("name").and_then(Value::as_str)
                && let Err(unknown) = class.find_attribute(name)
            {
                let path = format!("observables[{at}].name");
                let message = format!("`{path}` leads to no attribute: {unknown}");
                self.add(path, ProblemKind::UnknownAttribute, message);
            }
        }
    }
}

/// How many values of an enum a message lists.
const SHOWN: usize = 12;

/// Returns a value as the id of an enum.
pub(crate) fn id(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Tells whether an attribute, by its name or its path, is there.
fn is_present(map: &Map<String, Value>, path: &str) -> bool {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    match (map.get(name), rest) {
        (None | Some(Value::Null), _) => false,
        (Some(_), None) => true,
        (Some(value), Some(rest)) => value.as_object().is_some_and(|map| is_present(map, rest)),
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
