//! The registry of kinds.
//!
//! A new kind is a file beside this one with its parameters, a line in the registry below, and its operator in
//! `yagura-correlate`, in a file of the same name.

use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::absence::Absence;
use super::any_order::AnyOrder;
use super::avg::Avg;
use super::change::Change;
use super::count::Count;
use super::distinct::Distinct;
use super::flatline::Flatline;
use super::keys::{CorrelationKeys, KeyError};
use super::new_value::NewValue;
use super::parameters::Parameters;
use super::percentile::Percentile;
use super::rare::Rare;
use super::sequence::Sequence;
use super::session::Session;
use super::spike::Spike;
use super::stages::Stages;
use super::sum::Sum;
use super::travel::Travel;
use crate::duration::TimeSpan;

macro_rules! kinds {
    ($dollar:tt $($(#[doc = $doc:literal])* $name:ident = $word:literal,)*) => {
        /// `type` of a correlation, with the parameters of each kind.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum CorrelationKind {
            $($(#[doc = $doc])* #[serde(rename = $word)] $name($name),)*
        }

        impl CorrelationKind {
            /// The words for all kinds.
            pub const WORDS: &[&str] = &[$($word),*];

            /// Returns the word for it in a rule.
            pub fn word(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $word,)*
                }
            }

            /// Reads the kind with this word; nothing if there is none.
            pub(super) fn read(word: &str, keys: &mut CorrelationKeys, rules: &[String]) -> Option<Result<Self, KeyError>> {
                match word {
                    $($word => Some($name::read(keys, rules).map(Self::$name)),)*
                    _ => None,
                }
            }

            /// Returns the JSON schema of each kind's keys, with its word.
            pub(super) fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($word, $name::json_schema(generator)),)*]
            }
        }

        $(
            impl From<$name> for CorrelationKind {
                fn from(parameters: $name) -> Self {
                    Self::$name(parameters)
                }
            }
        )*

        /// Evaluates an expression with the parameters of a kind, whichever it is.
        #[macro_export]
        macro_rules! with_parameters {
            ($dollar kind:expr, $dollar parameters:ident => $dollar body:expr) => {
                match $dollar kind {
                    $($crate::CorrelationKind::$name($dollar parameters) => $dollar body,)*
                }
            };
        }
    };
}

kinds! {
    $
    /// How many findings.
    Count = "count",
    /// How many different values of a field.
    Distinct = "distinct",
    /// The sum of a field.
    Sum = "sum",
    /// The mean of a field.
    Avg = "avg",
    /// A percentile of a field, interpolated.
    Percentile = "percentile",
    /// Findings of the rules in their order.
    Sequence = "sequence",
    /// Findings of the rules in any order.
    AnyOrder = "any-order",
    /// A finding of the first rule that none of the second follows. With one rule: of the same.
    Absence = "absence",
    /// A run of findings that ends when none comes for a while, emitted when it has ended.
    Session = "session",
    /// A value of a field that the key did not have before.
    NewValue = "new-value",
    /// More findings than the key's own normal.
    Spike = "spike",
    /// Fewer findings than the key's own normal.
    Flatline = "flatline",
    /// Two locations too far apart for the time between.
    Travel = "travel",
    /// Something that few have: `by` says what, `field` who.
    Rare = "rare",
    /// A state that differs from the one before.
    Change = "change",
    /// Stages in order, each of which raises the alert's severity.
    Stages = "stages",
}

impl CorrelationKind {
    /// See [`Parameters::check`].
    pub(super) fn check(&self, rules: &[String], by: &[String]) -> Result<(), KeyError> {
        with_parameters!(self, parameters => parameters.check(rules, by))
    }

    /// Returns the length of its windows, or how long it remembers; nothing where it lasts as long as findings come.
    pub fn length(&self) -> Option<TimeSpan> {
        with_parameters!(self, parameters => parameters.length())
    }

    /// Returns how long a finding can matter to it, in microseconds.
    pub fn memory_micros(&self) -> i64 {
        with_parameters!(self, parameters => parameters.memory_micros())
    }

    /// Returns the fields that it reads of a finding besides `by`, in the order in which its operator gets their values.
    pub fn fields(&self) -> Vec<&str> {
        with_parameters!(self, parameters => parameters.fields())
    }

    /// Returns the name of what it measures; nothing if it measures nothing.
    pub fn measure(&self) -> Option<&'static str> {
        with_parameters!(self, parameters => parameters.measure())
    }

    /// Returns the names that its findings have for what it measures; none if it measures nothing.
    pub fn measures(&self) -> &'static [&'static str] {
        match self.measure() {
            Some(_) => &["count", "value"],
            None => &[],
        }
    }

    /// Says whether its findings may change until no earlier event can come.
    pub fn is_final_only(&self) -> bool {
        with_parameters!(self, parameters => parameters.is_final_only())
    }

    /// Says whether `rules` are steps in order.
    pub fn has_steps(&self) -> bool {
        with_parameters!(self, parameters => parameters.has_steps())
    }

    /// Returns the parameters on which the meaning of its stored state depends.
    pub fn state_shape(&self) -> Value {
        with_parameters!(self, parameters => parameters.state_shape())
    }
}
