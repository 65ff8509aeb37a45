//! Types of values: what JSON holds them, and which of them are valid.

use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

/// What holds a value in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A whole number of 8 bytes.
    Long,
    /// A number.
    Float,
    /// True or false.
    Boolean,
    /// Any JSON.
    Json,
    /// An object of the schema.
    Object,
}

impl BaseType {
    /// Returns the name, such as `string`.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Long => "long",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Json => "json",
            Self::Object => "object",
        }
    }

    /// Returns the base type of a type of the dictionary that has no other below it.
    pub(crate) fn of(type_name: &str) -> Self {
        match type_name {
            "integer_t" => Self::Integer,
            "long_t" => Self::Long,
            "float_t" => Self::Float,
            "boolean_t" => Self::Boolean,
            "json_t" => Self::Json,
            _ => Self::String,
        }
    }

    /// Returns what a value must be, with its article.
    fn wanted(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer | Self::Long => "a whole number",
            Self::Float => "a number",
            Self::Boolean => "true or false",
            Self::Json => "any JSON",
            Self::Object => "an object",
        }
    }

    /// Tells whether JSON of this kind can hold such a value.
    pub(crate) fn holds(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer | Self::Long => value.is_i64(),
            Self::Float => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Json => true,
            Self::Object => value.is_object(),
        }
    }
}

/// A type of the dictionary.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) caption: &'static str,
    pub(crate) base: BaseType,
    /// The longest text, in characters.
    pub(crate) max_len: Option<usize>,
    pub(crate) observable: Option<u32>,
    pub(crate) range: Option<(i64, i64)>,
    pub(crate) pattern: Option<&'static str>,
    pub(crate) regex: OnceLock<Option<Regex>>,
}

impl Type {
    /// Returns why a value is not of this type, as the end of a message: `must be a whole number, but is a string`.
    pub(crate) fn fault(&self, name: &str, value: &Value) -> Option<String> {
        if !self.base.holds(value) {
            let wanted = match name {
                "timestamp_t" => "a whole number of milliseconds since 1970-01-01",
                _ => self.base.wanted(),
            };
            return Some(format!("must be {wanted}, but is {}", kind(value)));
        }
        if let (Some((low, high)), Some(number)) = (self.range, value.as_i64())
            && !(low..=high).contains(&number)
        {
            return Some(format!("must be from {low} to {high}, but is {number}"));
        }
        let text = value.as_str()?;
        let caption = self.caption;
        if let Some(max) = self.max_len
            && text.chars().count() > max
        {
            return Some(format!(
                "must be of type {name} ({caption}), at most {max} characters"
            ));
        }
        let regex = self.regex.get_or_init(|| Regex::new(self.pattern?).ok());
        match regex {
            Some(regex) if !regex.is_match(text) => {
                let shown: String = text.chars().take(60).collect();
                Some(format!(
                    "must be of type {name} ({caption}), but is {shown:?}"
                ))
            }
            _ => None,
        }
    }
}

/// Returns what a value is, with its article.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            "a number that is too large"
        }
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Returns why a value is not an object.
pub(crate) fn not_an_object(name: &str, value: &Value) -> String {
    format!("must be an object of type {name}, but is {}", kind(value))
}
