//! A schema of Avro, as a list of types that refer to each other by their place.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// How many types a schema may have.
const MOST_TYPES: usize = 65_536;

/// The types of a file.
#[derive(Debug)]
pub(super) struct Schema {
    types: Vec<Type>,
    root: usize,
}

/// A type of values, and what they are written as.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    /// The fields: their names as JSON, and their types.
    Record(Vec<(String, usize)>),
    /// The names, as JSON.
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Fixed(usize),
    Logical(Logical, Box<Type>),
}

/// What stands for something else than its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Date,
    /// A time of day, so many of which are a second.
    Time(i64),
    /// A moment, so many of which are a second.
    Moment(i64),
    /// A time on the clocks of an unknown place.
    Local(i64),
    /// A number with so many digits behind the point.
    Decimal(usize),
    Uuid,
    Duration,
}

impl Schema {
    /// Reads a schema.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut reading = Reading {
            types: Vec::new(),
            names: HashMap::new(),
        };
        let root = reading.one(&value, "")?;
        Ok(Self {
            types: reading.types,
            root,
        })
    }

    pub(super) fn root(&self) -> usize {
        self.root
    }

    pub(super) fn get(&self, at: usize) -> &Type {
        self.types.get(at).unwrap_or(&Type::Null)
    }
}

struct Reading {
    types: Vec<Type>,
    /// Types that have a name, by their full name.
    names: HashMap<String, usize>,
}

impl Reading {
    fn add(&mut self, of: Type) -> Result<usize, String> {
        if self.types.len() == MOST_TYPES {
            return Err(format!("it has more than {MOST_TYPES} types"));
        }
        self.types.push(of);
        Ok(self.types.len() - 1)
    }

    /// Reads one type within a namespace.
    fn one(&mut self, value: &Value, namespace: &str) -> Result<usize, String> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches: Result<_, _> =
                    branches.iter().map(|of| self.one(of, namespace)).collect();
                self.add(Type::Union(branches?))
            }
            Value::Object(members) => self.object(members, namespace),
            other => Err(format!("`{other}` is not a type")),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<usize, String> {
        let full = full_name(name, namespace);
        if let Some(at) = self.names.get(&full).or_else(|| self.names.get(name)) {
            return Ok(*at);
        }
        let plain = primitive(name).ok_or_else(|| format!("`{name}` is not a type"))?;
        self.add(plain)
    }

    fn object(&mut self, members: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let part = |key: &str| {
            members
                .get(key)
                .ok_or_else(|| format!("a type has no `{key}`"))
        };
        let kind = match part("type")? {
            Value::String(kind) => kind.as_str(),
            nested => return self.one(nested, namespace),
        };
        match kind {
            "array" => {
                let items = self.one(part("items")?, namespace)?;
                self.add(Type::Array(items))
            }
            "map" => {
                let values = self.one(part("values")?, namespace)?;
                self.add(Type::Map(values))
            }
            "record" | "error" => self.record(members, namespace),
            "enum" => {
                let symbols = part("symbols")?
                    .as_array()
                    .ok_or("`symbols` is not an array")?;
                let symbols = symbols.iter().map(Value::to_string).collect();
                let at = self.add(Type::Enum(symbols))?;
                self.name(members, namespace, at)
            }
            "fixed" => {
                let size = part("size")?
                    .as_u64()
                    .and_then(|size| usize::try_from(size).ok());
                let plain = Type::Fixed(size.ok_or("`size` is not a number")?);
                let at = self.add(logical(members, plain))?;
                self.name(members, namespace, at)
            }
            other => match primitive(other) {
                Some(plain) => self.add(logical(members, plain)),
                None => self.named(other, namespace),
            },
        }
    }

    fn record(&mut self, members: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        // A field may have the type of its own record.
        let at = self.add(Type::Null)?;
        self.name(members, namespace, at)?;
        let inner = namespace_of(members, namespace);
        let fields = members.get("fields").and_then(Value::as_array);
        let mut found = Vec::new();
        for field in fields.ok_or("a record has no `fields`")? {
            let name = field.get("name").ok_or("a field has no `name`")?;
            let of = field
                .get("type")
                .ok_or_else(|| format!("the field {name} has no `type`"))?;
            // `"type": "int", "logicalType": "date"` beside each other, as some writers have it.
            let of = match (of, field.get("logicalType"), field.as_object()) {
                (Value::String(plain), Some(_), Some(beside)) if primitive(plain).is_some() => {
                    self.object(beside, &inner)?
                }
                _ => self.one(of, &inner)?,
            };
            found.push((name.to_string(), of));
        }
        self.types[at] = Type::Record(found);
        Ok(at)
    }

    fn name(
        &mut self,
        members: &Map<String, Value>,
        namespace: &str,
        at: usize,
    ) -> Result<usize, String> {
        let name = members.get("name").and_then(Value::as_str);
        let name = name.ok_or("a record, an enum or a fixed has no `name`")?;
        let namespace = match members.get("namespace").and_then(Value::as_str) {
            Some(own) => own,
            None => namespace,
        };
        self.names.insert(full_name(name, namespace), at);
        Ok(at)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    match name.contains('.') || namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

/// Returns the namespace in which the fields of a record stand.
fn namespace_of(members: &Map<String, Value>, namespace: &str) -> String {
    let name = members
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match (
        name.rsplit_once('.'),
        members.get("namespace").and_then(Value::as_str),
    ) {
        (Some((own, _)), _) => own.to_owned(),
        (None, Some(own)) => own.to_owned(),
        (None, None) => namespace.to_owned(),
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        _ => return None,
    })
}

/// Returns what a type stands for. A logical type that does not fit is left out, as the specification wants.
fn logical(members: &Map<String, Value>, plain: Type) -> Type {
    let name = members
        .get("logicalType")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let scale = || match members.get("scale") {
        None => Some(0),
        Some(scale) => scale
            .as_u64()
            .filter(|scale| *scale <= 1_000)
            .and_then(|scale| usize::try_from(scale).ok()),
    };
    let of = match (name, &plain) {
        ("date", Type::Int) => Some(Logical::Date),
        ("time-millis", Type::Int) => Some(Logical::Time(1_000)),
        ("time-micros", Type::Long) => Some(Logical::Time(1_000_000)),
        ("timestamp-millis", Type::Long) => Some(Logical::Moment(1_000)),
        ("timestamp-micros", Type::Long) => Some(Logical::Moment(1_000_000)),
        ("timestamp-nanos", Type::Long) => Some(Logical::Moment(1_000_000_000)),
        ("local-timestamp-millis", Type::Long) => Some(Logical::Local(1_000)),
        ("local-timestamp-micros", Type::Long) => Some(Logical::Local(1_000_000)),
        ("local-timestamp-nanos", Type::Long) => Some(Logical::Local(1_000_000_000)),
        ("decimal", Type::Bytes | Type::Fixed(_)) => scale().map(Logical::Decimal),
        ("uuid", Type::Fixed(16)) => Some(Logical::Uuid),
        ("duration", Type::Fixed(12)) => Some(Logical::Duration),
        _ => None,
    };
    match of {
        Some(of) => Type::Logical(of, Box::new(plain)),
        None => plain,
    }
}
