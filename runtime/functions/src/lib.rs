//! SQL functions that read texts of logs: for conditions of rules and mappings of sources.
//!
//! ```text
//! call in SQL ──▶ call::Call         types and literals checked; what the literals say is prepared once (simplify)
//!                   │ for each batch: arguments as texts (texts), one value for each row
//!                   ▼
//!                 Prepared::value    one text ──▶ text, number, truth value or time
//! ```
//!
//! A function never fails on a text: NULL gives NULL, and so does a text that is not what the function reads. A wrong literal is an
//! error of the plan. Results depend on the arguments alone: no clock, no files, no configuration.
//!
//! Must not know rules, tables or plans. `yagura_plan::session` registers the functions, and `yagura-plan` limits what their patterns cost.

mod call;
mod checksum;
mod decoding;
mod duration;
mod grok;
mod ip;
mod json;
mod json_object;
mod lines;
mod lookup;
mod pairs;
mod pattern;
#[cfg(test)]
mod properties;
mod table;
mod texts;
mod time;
mod urls;
mod user_agent;
mod xml;

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub use call::{argument_that_is_read, growth, pattern_of};

/// The kind of a function's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultKind {
    /// Text: `Utf8`.
    Text,
    /// A whole number: `Int64`.
    Number,
    /// `true` or `false`.
    Truth,
    /// A time in microseconds, in UTC.
    Time,
}

impl ResultKind {
    /// Returns the name of the type in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "VARCHAR",
            Self::Number => "BIGINT",
            Self::Truth => "BOOLEAN",
            Self::Time => "TIMESTAMP",
        }
    }
}

/// What a page shows of a function.
#[derive(Debug, Clone, Copy)]
pub struct FunctionDoc {
    /// The name in SQL.
    pub name: &'static str,
    /// The arguments as a page shows them, optional ones in brackets.
    pub arguments: &'static str,
    /// The kind of the result.
    pub result: ResultKind,
    /// Sentences that say what the function returns.
    pub about: &'static str,
    /// A call in SQL.
    pub example: &'static str,
    /// The result of that call, as text.
    pub gives: &'static str,
}

/// Returns all functions, to be registered in a session.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    let calls = table::DEFINITIONS.iter().map(call::Call::function);
    calls.chain([json_object::function()]).collect()
}

/// Returns what a page shows of each function, in the order of [`all`].
pub fn documentation() -> impl Iterator<Item = FunctionDoc> {
    let calls = table::DEFINITIONS.iter().map(|definition| definition.doc);
    calls.chain([json_object::DOC])
}

/// One result that is not NULL.
#[derive(Debug, Clone, PartialEq)]
enum Value<'t> {
    Text(Cow<'t, str>),
    Number(i64),
    Truth(bool),
    /// Microseconds since 1970, in UTC.
    Time(i64),
}

impl<'t> Value<'t> {
    fn text(text: impl Into<Cow<'t, str>>) -> Self {
        Self::Text(text.into())
    }
}

/// A function with all of its settings.
trait Prepared: Debug + Send + Sync {
    /// Returns the result for a text; `None` is NULL.
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>>;
}

/// What is wrong with a setting, as the end of a sentence.
type Wrong = String;

/// A function with its settings, or what is wrong with them.
type Made = Result<Box<dyn Prepared>, Wrong>;
