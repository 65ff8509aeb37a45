//! The schema: classes, objects, attributes, and finding them by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use yagura_core::names::did_you_mean;

use crate::read;
use crate::types::{BaseType, Type};

static SHIPPED: LazyLock<Schema> = LazyLock::new(|| read::schema(include_str!("../schema.txt")));

/// Classes, objects and attributes of one version of OCSF.
#[derive(Debug, Default)]
pub struct Schema {
    pub(crate) version: &'static str,
    /// By name.
    pub(crate) classes: BTreeMap<&'static str, Class>,
    pub(crate) objects: Named<Object>,
    pub(crate) types: Named<Type>,
    /// Captions of the types of observables.
    pub(crate) observables: BTreeMap<u32, &'static str>,
    /// Captions of the profiles.
    pub(crate) profiles: BTreeMap<&'static str, &'static str>,
}

impl Schema {
    /// Returns the schema that Yagura ships. It is read at the first call.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// Returns the version, such as `1.8.0`.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// Returns all classes, in the order of their names.
    pub fn classes(&self) -> impl Iterator<Item = &Class> {
        self.classes.values()
    }

    /// Returns the class of this name, such as `authentication`.
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    /// Returns the class of this `class_uid`, such as 3002.
    pub fn class_by_uid(&self, uid: u32) -> Option<&Class> {
        self.classes().find(|class| class.uid == uid)
    }

    /// Returns the class of this name.
    ///
    /// # Errors
    /// When there is none; the message lists near names.
    pub fn find_class(&self, name: &str) -> Result<&Class, UnknownClass> {
        self.class(name).ok_or_else(|| UnknownClass {
            name: name.to_owned(),
            version: self.version,
            hint: did_you_mean(name, self.classes.keys().copied()),
        })
    }

    /// Returns the attributes of an object, such as `network_endpoint`, in the order of their names, with those of all profiles.
    ///
    /// An object without attributes may have any: `object`, the type of `unmapped`.
    pub fn object(&self, type_name: &str) -> Option<&[Attribute]> {
        let object = self.objects.get(type_name)?;
        Some(&object.members.attributes)
    }

    /// Returns the names of the profiles, in alphabetical order. Those of extensions begin with the extension: `linux/linux_users`.
    pub fn profiles(&self) -> impl Iterator<Item = &'static str> {
        self.profiles.keys().copied()
    }

    /// Returns the caption of a type of observables: `IP Address` for 2.
    pub fn observable_caption(&self, type_id: u32) -> Option<&'static str> {
        self.observables.get(&type_id).copied()
    }
}

/// A name that is not that of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownClass {
    name: String,
    version: &'static str,
    hint: String,
}

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            version,
            hint,
        } = self;
        write!(f, "OCSF {version} has no class `{name}`{hint}")
    }
}

impl std::error::Error for UnknownClass {}

/// A kind of event.
#[derive(Debug)]
pub struct Class {
    pub(crate) name: &'static str,
    pub(crate) uid: u32,
    pub(crate) caption: &'static str,
    pub(crate) category: Category,
    pub(crate) extension: Option<&'static str>,
    pub(crate) deprecated: Option<&'static str>,
    pub(crate) members: Members,
}

impl Class {
    /// Returns the name, such as `authentication`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the `class_uid`, such as 3002. That of a class of an extension begins with the extension's uid: 201001.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Returns the `class_name`, such as `Authentication`.
    pub fn caption(&self) -> &'static str {
        self.caption
    }

    /// Returns the category.
    pub fn category(&self) -> Category {
        self.category
    }

    /// Returns the name of the extension that defines the class, such as `win`.
    pub fn extension(&self) -> Option<&'static str> {
        self.extension
    }

    /// Returns the version since which the class is deprecated.
    pub fn deprecated(&self) -> Option<&'static str> {
        self.deprecated
    }

    /// Returns the attributes at the top of an event, in the order of their names, with those of all profiles.
    pub fn attributes(&self) -> &[Attribute] {
        &self.members.attributes
    }

    /// Returns what must hold between attributes at the top of an event.
    pub fn constraints(&self) -> &[Constraint] {
        &self.members.constraints
    }
}

/// A group of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category {
    /// The name, such as `iam`.
    pub name: &'static str,
    /// The `category_uid`, such as 3.
    pub uid: u32,
    /// The `category_name`, such as `Identity & Access Management`.
    pub caption: &'static str,
}

/// What attributes of a type may consist of.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) observable: Option<u32>,
    pub(crate) members: Members,
}

/// Things that are found by their name, or faster by their place.
#[derive(Debug)]
pub(crate) struct Named<T> {
    places: BTreeMap<&'static str, usize>,
    things: Vec<T>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            things: Vec::new(),
        }
    }
}

impl<T> Named<T> {
    pub(crate) fn insert(&mut self, name: &'static str, thing: T) {
        self.places.insert(name, self.things.len());
        self.things.push(thing);
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub(crate) fn at(&self, place: usize) -> Option<&T> {
        self.things.get(place)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.at(self.place(name)?)
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.things.iter()
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let place = self.place(name)?;
        self.things.get_mut(place)
    }
}

/// The attributes of a class or an object, and what must hold between them.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// In the order of their names.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) constraints: Vec<Constraint>,
    /// Places of the attributes that are ids with a caption, or ids that must be there.
    pub(crate) ids: Vec<usize>,
}

impl Members {
    /// Takes attributes and constraints in any order.
    pub(crate) fn new(mut attributes: Vec<Attribute>, constraints: Vec<Constraint>) -> Self {
        attributes.sort_by_key(|attribute| attribute.name);
        let mut members = Self {
            attributes,
            constraints,
            ids: Vec::new(),
        };
        for place in 0..members.attributes.len() {
            // Of some ids the caption has no attribute beside them.
            let sibling = members.attributes[place].sibling;
            let sibling = sibling.filter(|name| members.get(name).is_some());
            let attribute = &mut members.attributes[place];
            attribute.sibling = sibling;
            // `class_uid` and its like follow from the class.
            let is_id = !attribute.enum_values.is_empty() && !attribute.name.ends_with("_uid");
            if is_id && (sibling.is_some() || attribute.requirement == Requirement::Required) {
                members.ids.push(place);
            }
        }
        members
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Attribute> {
        let found = self
            .attributes
            .binary_search_by_key(&name, |attribute| attribute.name);
        self.attributes.get(found.ok()?)
    }

    /// Without attributes of its own, an object has any: so do `unmapped` and `xattributes`.
    pub(crate) fn is_free(&self) -> bool {
        self.attributes.is_empty()
    }
}

/// One attribute of a class or of an object in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// The name: the last part of its path.
    pub name: &'static str,
    /// The name for people, such as `Source Endpoint`.
    pub caption: &'static str,
    /// The type: one of the dictionary (`ip_t`, `timestamp_t`), or the name of an object (`network_endpoint`).
    pub type_name: &'static str,
    /// What holds its values in JSON.
    pub base: BaseType,
    /// Whether it is a list of such values.
    pub is_array: bool,
    /// Whether an object on its path is in a list, so that an event has many of it. Only a path says so; else it is false.
    pub in_array: bool,
    /// Whether an event, or an object that is there, must have it.
    pub requirement: Requirement,
    /// The values that it may have; none if it may have any of its type.
    pub enum_values: &'static [EnumValue],
    /// The attribute beside it that holds the caption of its value: `severity` for `severity_id`.
    pub sibling: Option<&'static str>,
    /// The `type_id` of its values as observables.
    pub observable: Option<u32>,
    /// The profiles that bring it: an event without one of them does not have it. None if each event has it.
    pub profiles: &'static [&'static str],
    /// The version since which it is deprecated.
    pub deprecated: Option<&'static str>,
    /// The place of its type among the types or the objects of the schema.
    pub(crate) place: usize,
}

impl Attribute {
    /// Returns the value of this id.
    pub fn enum_value(&self, id: &str) -> Option<&'static EnumValue> {
        self.enum_values.iter().find(|value| value.id == id)
    }

    /// Returns the value whose caption is this one, without regard to the case of ASCII letters: captions have no others.
    pub fn enum_value_of(&self, caption: &str) -> Option<&'static EnumValue> {
        let mut values = self.enum_values.iter();
        values.find(|value| value.caption.eq_ignore_ascii_case(caption))
    }

    /// Tells whether an event of these profiles has it.
    pub fn is_in(&self, profiles: &[&str]) -> bool {
        self.profiles.is_empty() || self.profiles.iter().any(|one| profiles.contains(one))
    }
}

/// How much an attribute is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// It may be left out.
    Optional,
    /// It should be there if its value is known.
    Recommended,
    /// It must be there.
    Required,
}

/// One value of an enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnumValue {
    /// The value as text: a number for most attributes, such as `1`.
    pub id: &'static str,
    /// Its caption, such as `Logon`.
    pub caption: &'static str,
}

/// What must hold between attributes of one class or object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// One or more of these must be there.
    AtLeastOne(Vec<&'static str>),
    /// Exactly one of these must be there.
    JustOne(Vec<&'static str>),
}
