//! Paths of attributes: `src_endpoint.ip`, `resources[].uid`, `resources[0].uid`.

use std::fmt;

use yagura_core::names::did_you_mean;

use crate::schema::{Attribute, Class, Members, Schema};
use crate::types::BaseType;

impl Class {
    /// Returns the attribute at a path, such as `src_endpoint.ip`; those of all profiles are there.
    ///
    /// Lists need no mark: `resources.uid`, `resources[].uid` and `resources[0].uid` are one path. Below an attribute that holds
    /// any JSON, such as `unmapped`, each path leads to an attribute of type `json_t` with the name of that attribute.
    pub fn attribute(&self, path: &str) -> Option<Attribute> {
        self.walk(path).ok()
    }

    /// Returns the attribute at a path, like [`attribute`](Self::attribute).
    ///
    /// # Errors
    /// When the class has none there; the message lists near names.
    pub fn find_attribute(&self, path: &str) -> Result<Attribute, UnknownAttribute> {
        self.walk(path).map_err(|end| UnknownAttribute {
            path: path.to_owned(),
            owner: match end.owner {
                None => format!("class `{}`", self.name),
                Some(of) if of.base == BaseType::Object => format!("object `{}`", of.type_name),
                Some(of) => format!("`{}` of type {}", of.name, of.type_name),
            },
            part: end.part.to_owned(),
            hint: end.members.map_or_else(String::new, |members| {
                did_you_mean(end.part, members.attributes.iter().map(|one| one.name))
            }),
        })
    }

    fn walk<'a>(&'a self, path: &'a str) -> Result<Attribute, PathEnd<'a>> {
        let mut parts = path.split('.');
        let mut members = &self.members;
        let mut owner = None;
        let mut in_array = false;
        while let Some(part) = parts.next() {
            let name = part.split_once('[').map_or(part, |(name, _)| name);
            let found = members.get(name).ok_or(PathEnd {
                owner,
                part: name,
                members: Some(members),
            })?;
            let mut attribute = *found;
            attribute.in_array = in_array;
            in_array |= found.is_array;
            if parts.clone().next().is_none() {
                return Ok(attribute);
            }
            match below(found) {
                Below::Members(next) => {
                    members = next;
                    owner = Some(found);
                }
                Below::Anything => {
                    return Ok(Attribute {
                        type_name: "json_t",
                        base: BaseType::Json,
                        is_array: false,
                        in_array,
                        requirement: crate::Requirement::Optional,
                        enum_values: &[],
                        sibling: None,
                        observable: None,
                        ..attribute
                    });
                }
                Below::Nothing => {
                    return Err(PathEnd {
                        owner: Some(found),
                        part: parts.next().unwrap_or_default(),
                        members: None,
                    });
                }
            }
        }
        // An empty path has one empty part, which no attribute has as its name.
        Err(PathEnd {
            owner: None,
            part: "",
            members: None,
        })
    }

    /// Returns the paths of all attributes that are no objects, in alphabetical order, with at most `max_depth` names each.
    ///
    /// An object may hold one of its own type, such as `process.parent_process`; only the depth ends that. With each more level
    /// there are many times as many paths, so ask for 2 or 3.
    pub fn paths(&self, max_depth: usize) -> Vec<String> {
        let mut found = Vec::new();
        leaves(&self.members, "", max_depth, &mut found);
        found
    }
}

fn leaves(members: &Members, prefix: &str, depth: usize, found: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    for attribute in &members.attributes {
        let path = format!("{prefix}{}", attribute.name);
        match below(attribute) {
            Below::Members(members) => leaves(members, &format!("{path}."), depth - 1, found),
            Below::Anything | Below::Nothing => found.push(path),
        }
    }
}

/// Where a path ends that leads to no attribute.
struct PathEnd<'a> {
    /// The last attribute that was found; none where that is the class itself.
    owner: Option<&'a Attribute>,
    /// The part that is not below it.
    part: &'a str,
    /// What is below it instead.
    members: Option<&'a Members>,
}

/// What may be below an attribute.
pub(crate) enum Below {
    /// The attributes of an object.
    Members(&'static Members),
    /// What the event's source likes.
    Anything,
    /// Nothing: it holds a value.
    Nothing,
}

/// Returns what may be below an attribute of the shipped schema.
pub(crate) fn below(attribute: &Attribute) -> Below {
    match attribute.base {
        BaseType::Object => match Schema::shipped().objects.at(attribute.place) {
            Some(object) if !object.members.is_free() => Below::Members(&object.members),
            _ => Below::Anything,
        },
        BaseType::Json => Below::Anything,
        _ => Below::Nothing,
    }
}

/// A path that leads to no attribute of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownAttribute {
    path: String,
    owner: String,
    part: String,
    hint: String,
}

impl fmt::Display for UnknownAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            owner,
            part,
            hint,
        } = self;
        if path == part {
            write!(f, "{owner} has no attribute `{path}`{hint}")
        } else {
            write!(f, "`{path}`: {owner} has no attribute `{part}`{hint}")
        }
    }
}

impl std::error::Error for UnknownAttribute {}
