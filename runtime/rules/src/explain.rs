//! Why a predicate is true of an event or not: the tree, what each part decided, and the values that atoms saw.
//!
//! The verdicts come from the prefilter itself, so that an explanation cannot differ from a run.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::error::ArrowError;
use serde::Serialize;

use crate::column::render_text;
use crate::json_path::JsonPaths;
use crate::predicate::{Atom, FieldReading, Predicate};
use crate::prefilter::values::ValueKind;
use crate::prefilter::{CompileError, Methods, PrefilterState, Program};
use crate::resolve::{Resolved, find, places};

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
    /// Nothing that it could evaluate: the test fails on the event, which counts as not matched.
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
    let mut verdicts = vec![LeafResult::default(); leaves.len()];
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
struct LeafResult {
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
    leaves: &mut impl Iterator<Item = LeafResult>,
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
            saw: Some(saw(atom, event)?),
            parts: Vec::new(),
        },
    })
}

/// Returns the values that a test of an atom asks, from all places where the event may have the field.
fn saw(atom: &Atom, event: &RecordBatch) -> Result<Saw, ArrowError> {
    let fields = atom.names.all().iter();
    let places: Vec<Resolved> = match atom.reading {
        FieldReading::Anywhere => fields
            .filter_map(|field| find(event.schema_ref(), field))
            .collect(),
        _ => fields
            .flat_map(|field| places(event.schema_ref(), field))
            .collect(),
    };
    if places.is_empty() {
        return Ok(Saw::NoField);
    }
    let mut seen: Vec<String> = Vec::new();
    for place in places.iter().filter(|_| event.num_rows() > 0) {
        let column = event.column(place.column);
        let texts = render_text(&place.array_below(column)?)?;
        let texts = texts.as_string::<i32>();
        if !texts.is_valid(0) {
            continue;
        }
        let text = texts.value(0);
        if place.json.is_empty() {
            seen.push(text.to_owned());
            continue;
        }
        let mut paths = JsonPaths::default();
        paths.add(0, &place.json, atom.reading);
        paths.walk(text, &mut |_, value, kind| {
            seen.push(
                if kind == ValueKind::Empty {
                    "[]"
                } else {
                    value
                }
                .to_owned(),
            );
        });
    }
    seen.dedup();
    Ok(match seen.is_empty() {
        true => Saw::NoValue,
        false => Saw::Value(seen.join(", ")),
    })
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
                FieldReading::Members,
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
