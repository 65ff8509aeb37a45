//! What can be wrong with a correlation.

use yagura_core::correlation::KeyError;

/// Rules that a condition on their number is written out for; it takes an `or` of all their choices.
pub(super) const MOST_COUNTED: usize = 8;

/// What is wrong with a Sigma correlation. The message continues a sentence of which the correlation is the subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrelationProblem {
    /// It refers to itself, through these correlations.
    #[error("refers to itself: {}", joined(.0))]
    Circle(Vec<String>),
    /// It refers to correlations that refer to themselves.
    #[error("refers to rules that refer to themselves: {}", joined(.0))]
    RefersToCircle(Vec<String>),
    /// No rule has the id or name.
    #[error("refers to `{reference}`, and no rule that was read has this id or name{did_you_mean}")]
    UnknownReference {
        /// The id or name.
        reference: String,
        /// A near one, as the end of a sentence, or empty.
        did_you_mean: String,
    },
    /// Several rules have the name.
    #[error("refers to `{reference}`, which is the name of {rules} rules: use the id")]
    AmbiguousReference {
        /// The name.
        reference: String,
        /// How many rules have it.
        rules: usize,
    },
    /// A key of ours cannot have the value.
    #[error("is wrong: `correlation.{}` {}", .0.key, .0.message)]
    Key(#[from] KeyError),
    /// An aggregate of old Sigma has no time in which it counts.
    #[error("counts events and has no `timeframe` in which: add one, for instance `timeframe: 1h`")]
    NoTimeframe,
    /// An aggregate of old Sigma has a time that cannot be read.
    #[error("has the `timeframe` `{0}`, which is not a time: write for instance `30s` or `1h`")]
    Timeframe(String),
    /// The condition names rules where a number is expected.
    #[error(
        "has a `condition` of rules' names, which only `temporal` and `temporal_ordered` read: write for instance `gte: 10`"
    )]
    NamesInCondition,
    /// It measures several fields, and its kind measures one.
    #[error("measures one field, and `condition.field` names {0}")]
    SeveralFields(usize),
    /// An alias names a rule that it does not join.
    #[error("has an alias `{alias}` for `{reference}`, which is not among its `rules`")]
    Alias {
        /// The alias.
        alias: String,
        /// The id or name of the rule.
        reference: String,
    },
    /// The condition names a rule that it does not join.
    #[error("has `{0}` in its condition, which is not among its `rules`")]
    UnknownName(String),
    /// A pattern in the condition fits no rule that it joins.
    #[error("has `{0}` in its condition, and none of its `rules` is named so")]
    NothingSelected(String),
    /// Rules in order are wanted by number.
    #[error(
        "wants a number of its {rules} rules in order, and `temporal_ordered` runs only with all of them: leave `condition` out, or use `temporal`"
    )]
    SomeInOrder {
        /// How many rules it joins.
        rules: usize,
    },
    /// Rules in order are wanted by an expression.
    #[error(
        "has `or`, `not` or a number of rules in its condition, and `temporal_ordered` runs only with all of them in order: use `temporal`"
    )]
    ExpressionInOrder,
    /// More different rules are wanted than it joins.
    #[error("wants a number of different rules that its {rules} cannot have")]
    ImpossibleNumber {
        /// How many rules it joins.
        rules: usize,
    },
    /// None, or more than there are, of the selected rules are wanted.
    #[error("wants {number} of {rules} rules, which says nothing")]
    MeaninglessNumber {
        /// How many are wanted.
        number: usize,
        /// How many are selected.
        rules: usize,
    },
    /// A condition on the number of so many rules is not written out.
    #[error(
        "wants a number of {rules} different rules, which is written out for {} at most: correlate correlations of fewer",
        MOST_COUNTED
    )]
    TooMany {
        /// How many rules it joins.
        rules: usize,
    },
}

fn joined(ids: &[String]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    ids.join(" → ")
}
