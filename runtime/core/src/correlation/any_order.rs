//! `any-order`: findings of the rules in any order.

use serde::Serialize;
use serde_json::{Value, json};

use super::condition::Condition;
use super::expression::Expression;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::duration::TimeSpan;

/// Findings of the rules in any order: of all of them, of those that `expression` asks for, or of as many as `condition` says.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct AnyOrder {
    /// Length of the window, such as `10m`.
    pub within: TimeSpan,
    /// How many of the rules must have findings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Which of the rules must have findings: `a and (b or c) and not d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The expression, or that all must have findings, over the places of `rules`.
    #[serde(skip)]
    #[schemars(skip)]
    pub requires: Expression,
}

impl AnyOrder {
    /// Makes one over these rules.
    ///
    /// # Errors
    /// [`KeyError`]: an expression that cannot be read, or an expression and a condition.
    pub fn new(
        rules: &[String],
        within: TimeSpan,
        expression: Option<String>,
        condition: Option<Condition>,
    ) -> Result<Self, KeyError> {
        if expression.is_some() && condition.is_some() {
            let message =
                "is given, and so is `expression`: one of them says which rules must have findings";
            return Err(KeyError::new("condition", message));
        }
        let requires = match &expression {
            Some(text) => Expression::parse(text, rules)
                .map_err(|error| KeyError::new("expression", error.to_string()))?,
            None => Expression::all(rules.len()),
        };
        Ok(Self {
            within,
            condition,
            expression,
            requires,
        })
    }

    /// Makes one over these rules of an expression that was not read from text; without one, all must have findings.
    pub fn requiring(rules: &[String], within: TimeSpan, requires: Option<Expression>) -> Self {
        Self {
            within,
            condition: None,
            expression: requires.as_ref().map(|requires| requires.text(rules)),
            requires: requires.unwrap_or_else(|| Expression::all(rules.len())),
        }
    }
}

impl Parameters for AnyOrder {
    fn read(keys: &mut CorrelationKeys, rules: &[String]) -> Result<Self, KeyError> {
        Self::new(
            rules,
            keys.required("within")?,
            keys.optional("expression")?,
            keys.optional("condition")?,
        )
    }

    fn length(&self) -> Option<TimeSpan> {
        Some(self.within)
    }

    fn state_shape(&self) -> Value {
        let condition = self.condition.unwrap_or_default();
        json!({
            "expression": self.expression,
            "is_evaluated_at_end": !condition.is_lower_bound(),
        })
    }
}
