//! Why a predicate is true of an event or not: the tree, what each part decided, and the values that atoms saw.
//!
//! The verdicts come from the prefilter itself, so that an explanation cannot differ from a run.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::error::ArrowError;
use serde::Serialize;

use crate::column::render_text;
use crate::predicate::{Predicate, Reading};
use crate::prefilter::values::Kind;
use crate::prefilter::{CompileError, Methods, PrefilterState, Program};
use crate::resolve::resolve;

/// A part of a predicate and what it decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it is true of the event.
    pub matched: bool,
    /// `all of`, `any of`, `at least N of`, `not`, or the test itself.
    pub text: String,
    /// What a test saw in its field; absent for what is no test, and `null` is written as nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saw: Option<Saw>,
    /// The parts that it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

/// What a test saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Saw {
    /// The table has no such field.
    NoField,
    /// The event has no value there.
    NoValue,
    /// This.
    Value(String),
    /// Nothing that it could judge: the test fails on the event, which counts as not matched.
    Fails(String),
}

/// Why an explanation cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The predicate cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The event cannot be read.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Explains the predicate for the first row of `event`.
///
/// # Errors
/// [`ExplainError`].
pub fn explain(predicate: &Predicate, event: &RecordBatch) -> Result<Explanation, ExplainError> {
    let event = event.slice(0, event.num_rows().min(1));
    let mut leaves = Vec::new();
    collect(predicate, &mut leaves);
    let program = Program::compile(event.schema_ref(), &leaves, Methods::default())?;
    let mut state = PrefilterState::new(&program);
    let mut verdicts = vec![Verdict::default(); leaves.len()];
    let decided = program.evaluate(&mut state, &event)?;
    for (leaf, _) in decided.rules {
        verdicts[leaf].matched = true;
    }
    for undecided in decided.undecided {
        verdicts[undecided.rule].fails = Some(undecided.reason);
    }
    let mut verdicts = verdicts.into_iter();
    Ok(build(predicate, &event, &mut verdicts)?)
}

/// What a leaf decided, or why it could not.
#[derive(Debug, Clone, Default)]
struct Verdict {
    matched: bool,
    fails: Option<String>,
}

fn collect(predicate: &Predicate, leaves: &mut Vec<Predicate>) {
    match predicate {
        Predicate::Always(_) | Predicate::Atom(_) | Predicate::Other(_) => {
            leaves.push(predicate.clone());
        }
        Predicate::Not(inner) => collect(inner, leaves),
        Predicate::All(parts) | Predicate::Any(parts) | Predicate::AtLeast(_, parts) => {
            parts.iter().for_each(|part| collect(part, leaves));
        }
    }
}

fn build(
    predicate: &Predicate,
    event: &RecordBatch,
    leaves: &mut impl Iterator<Item = Verdict>,
) -> Result<Explanation, ArrowError> {
    let node = |matched, text: String, parts| Explanation {
        matched,
        text,
        saw: None,
        parts,
    };
    let mut each = |parts: &[Predicate]| -> Result<Vec<Explanation>, ArrowError> {
        parts
            .iter()
            .map(|part| build(part, event, leaves))
            .collect()
    };
    Ok(match predicate {
        Predicate::All(parts) => {
            let parts = each(parts)?;
            node(
                parts.iter().all(|part| part.matched),
                "all of".into(),
                parts,
            )
        }
        Predicate::Any(parts) => {
            let parts = each(parts)?;
            node(
                parts.iter().any(|part| part.matched),
                "any of".into(),
                parts,
            )
        }
        Predicate::AtLeast(wanted, parts) => {
            let parts = each(parts)?;
            let matched = parts.iter().filter(|part| part.matched).count() as u64;
            node(matched >= *wanted, format!("at least {wanted} of"), parts)
        }
        Predicate::Not(inner) => {
            let inner = build(inner, event, leaves)?;
            node(!inner.matched, "not".into(), vec![inner])
        }
        Predicate::Always(truth) => {
            let matched = leaves.next().map_or(*truth, |leaf| leaf.matched);
            let text = if *truth { "always" } else { "never" };
            node(matched, text.into(), Vec::new())
        }
        Predicate::Other(other) => {
            let leaf = leaves.next().unwrap_or_default();
            Explanation {
                matched: leaf.matched,
                text: other.text.clone(),
                saw: leaf.fails.map(Saw::Fails),
                parts: Vec::new(),
            }
        }
        Predicate::Atom(atom) => Explanation {
            matched: leaves.next().unwrap_or_default().matched,
            text: atom.to_string(),
            saw: Some(saw(&atom.field, atom.reading, event)?),
            parts: Vec::new(),
        },
    })
}

fn saw(
    field: &yagura_core::FieldPath,
    reading: Reading,
    event: &RecordBatch,
) -> Result<Saw, ArrowError> {
    let Ok(found) = resolve(event.schema_ref(), field) else {
        return Ok(Saw::NoField);
    };
    if event.num_rows() == 0 {
        return Ok(Saw::NoValue);
    }
    let column = event.column(found.column);
    let text = if reading == Reading::Members && !found.json.is_empty() {
        let texts = render_text(&found.array_below(column)?)?;
        let texts = texts.as_string::<i32>();
        let mut members = Vec::new();
        if texts.is_valid(0) {
            crate::json_path::members(texts.value(0), &found.json, &mut |value, kind| {
                let is_empty = kind == Kind::Empty;
                members.push(if is_empty { "[]" } else { value }.to_owned());
            });
        }
        (!members.is_empty()).then(|| members.join(", "))
    } else {
        let texts = render_text(&found.values_below(column)?)?;
        let texts = texts.as_string::<i32>();
        texts.is_valid(0).then(|| texts.value(0).to_owned())
    };
    Ok(text.map_or(Saw::NoValue, Saw::Value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::{Test, TextOp};
    use arrow::array::{ArrayRef, StringArray};
    use std::sync::Arc;

    #[test]
    fn every_part_says_what_it_decided_and_saw() {
        let event = RecordBatch::try_from_iter_with_nullable(vec![
            (
                "image",
                Arc::new(StringArray::from(vec![Some("C:\\cmd.exe")])) as ArrayRef,
                true,
            ),
            (
                "body",
                Arc::new(StringArray::from(vec![Some(
                    r#"{"a":[{"b":"x"},{"b":"y"}]}"#,
                )])),
                true,
            ),
            (
                "user",
                Arc::new(StringArray::from(vec![None::<&str>])),
                true,
            ),
        ])
        .unwrap();
        let ends = |field: &str, value: &str| {
            Predicate::atom(
                field.parse().unwrap(),
                Reading::Members,
                Test::Text {
                    op: TextOp::EndsWith,
                    value: value.into(),
                    cased: false,
                },
            )
        };
        let predicate = Predicate::All(vec![
            ends("image", "\\cmd.exe"),
            ends("body.a.b", "y"),
            Predicate::not(ends("user", "x")),
            Predicate::AtLeast(
                2,
                vec![
                    ends("image", "cmd.exe"),
                    ends("nowhere", "x"),
                    ends("image", "q"),
                ],
            ),
        ]);
        let explained = explain(&predicate, &event).unwrap();
        assert!(!explained.matched);
        let verdicts: Vec<bool> = explained.parts.iter().map(|part| part.matched).collect();
        assert_eq!(verdicts, [true, true, true, false]);
        assert_eq!(
            explained.parts[0].saw,
            Some(Saw::Value("C:\\cmd.exe".into()))
        );
        assert_eq!(explained.parts[1].saw, Some(Saw::Value("x, y".into())));
        assert_eq!(explained.parts[2].parts[0].saw, Some(Saw::NoValue));
        assert_eq!(explained.parts[3].parts[1].saw, Some(Saw::NoField));
        assert_eq!(explained.parts[3].text, "at least 2 of");
    }
}
