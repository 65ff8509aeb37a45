//! A Sigma rule's detections and condition as a [`Predicate`].

mod dashes;
mod error;
mod fields;
mod modifiers;
mod placeholders;
mod values;

use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Detections, Modifier, Quantifier, SigmaValue,
};
use yagura_core::names::did_you_mean;

pub use self::error::LowerError;
use self::error::wrong;
pub(crate) use self::fields::Fields;
pub(super) use self::modifiers::name_of;
use self::modifiers::{ModifierRole, check, role_of};
use self::values::{WrittenValue, parts_of, pattern, tests_of};
use super::placeholders::Placeholders;
use super::selector::is_named;
use crate::predicate::{FieldReading, GlobPart, Predicate, Test, TextOp};

/// Translates detections and their conditions; of several conditions one is enough.
pub(crate) fn lower(
    detections: &Detections,
    fields: &dyn Fields,
    placeholders: &Placeholders,
) -> Result<Predicate, LowerError> {
    let lower = Lower {
        fields,
        placeholders,
        detections,
    };
    let conditions = detections
        .conditions
        .iter()
        .map(|condition| lower.condition(condition));
    Ok(Predicate::any(conditions.collect::<Result<_, _>>()?))
}

struct Lower<'a> {
    fields: &'a dyn Fields,
    placeholders: &'a Placeholders,
    detections: &'a Detections,
}

impl Lower<'_> {
    fn condition(&self, condition: &ConditionExpr) -> Result<Predicate, LowerError> {
        let each = |parts: &[ConditionExpr]| -> Result<Vec<Predicate>, LowerError> {
            parts.iter().map(|part| self.condition(part)).collect()
        };
        Ok(match condition {
            ConditionExpr::And(parts) => Predicate::all(each(parts)?),
            ConditionExpr::Or(parts) => Predicate::any(each(parts)?),
            ConditionExpr::Not(inner) => Predicate::not(self.condition(inner)?),
            ConditionExpr::Identifier(name) => self.named(name)?,
            ConditionExpr::Selector {
                quantifier,
                pattern,
            } => {
                let mut names: Vec<&String> = self
                    .detections
                    .named
                    .keys()
                    .filter(|name| is_named(pattern, name))
                    .collect();
                names.sort_unstable();
                if names.is_empty() {
                    return wrong(
                        "condition",
                        format!("`{quantifier} of {pattern}` names no detection of the rule"),
                    );
                }
                let parts = names
                    .into_iter()
                    .map(|name| self.named(name))
                    .collect::<Result<Vec<_>, _>>()?;
                match quantifier {
                    Quantifier::Count(0) => Predicate::not(Predicate::any(parts)),
                    Quantifier::Any => Predicate::any(parts),
                    Quantifier::All => Predicate::all(parts),
                    Quantifier::Count(count) => Predicate::AtLeast(*count, parts),
                }
            }
        })
    }

    fn named(&self, name: &str) -> Result<Predicate, LowerError> {
        match self.detections.named.get(name) {
            Some(detection) => self.detection(name, detection),
            None => {
                let hint = did_you_mean(name, self.detections.named.keys().map(String::as_str));
                wrong("condition", format!("there is no detection `{name}`{hint}"))
            }
        }
    }

    fn detection(&self, key: &str, detection: &Detection) -> Result<Predicate, LowerError> {
        let each = |parts: &[Detection]| -> Result<Vec<Predicate>, LowerError> {
            parts.iter().map(|part| self.detection(key, part)).collect()
        };
        Ok(match detection {
            Detection::AllOf(items) => {
                if items.is_empty() {
                    return wrong(key, "is empty: it would match every event");
                }
                let items = items.iter().map(|item| self.item(key, item));
                Predicate::all(items.collect::<Result<_, _>>()?)
            }
            Detection::AnyOf(parts) if parts.is_empty() => {
                return wrong(key, "is empty: it would never match");
            }
            Detection::AnyOf(parts) => Predicate::any(each(parts)?),
            Detection::And(parts) => Predicate::all(each(parts)?),
            Detection::Keywords(values) => {
                let values = values.iter().map(|value| self.keyword(key, value));
                Predicate::any(values.collect::<Result<_, _>>()?)
            }
            Detection::ArrayMatch { field, .. } => {
                return wrong(
                    key,
                    format!(
                        "`{field}[…]` matches members of a list together, a proposal to Sigma that is not supported yet"
                    ),
                );
            }
            Detection::Conditional { .. } => {
                return wrong(
                    key,
                    "holds a condition of its own, a proposal to Sigma that is not supported yet",
                );
            }
        })
    }

    /// A keyword is anywhere in the text of an event.
    fn keyword(&self, key: &str, value: &SigmaValue) -> Result<Predicate, LowerError> {
        let mut parts = match WrittenValue::of(key, value)? {
            WrittenValue::Null => return wrong(key, "an empty keyword would match every event"),
            value => parts_of(&value.text(), false),
        };
        if self.fields.searched().is_empty() {
            return wrong(
                key,
                "searches all text of an event, and the table has no text columns",
            );
        }
        // Wildcards at the ends change nothing of a search.
        while parts.first() == Some(&GlobPart::Any) {
            parts.remove(0);
        }
        while parts.last() == Some(&GlobPart::Any) {
            parts.pop();
        }
        let test = pattern(TextOp::Contains, parts, false);
        Ok(Predicate::any(
            self.fields
                .searched()
                .iter()
                .map(|field| Predicate::atom(field.clone(), FieldReading::Anywhere, test.clone()))
                .collect(),
        ))
    }

    /// A keyword with modifiers, which ask of all text what they would ask of one field.
    fn keyword_with(
        &self,
        key: &str,
        modifiers: &[Modifier],
        value: &SigmaValue,
    ) -> Result<Predicate, LowerError> {
        use Modifier as M;
        if modifiers
            .iter()
            .all(|modifier| matches!(modifier, M::All | M::Contains))
        {
            return self.keyword(key, value);
        }
        if let Some(modifier) = modifiers
            .iter()
            .find(|modifier| matches!(modifier, M::Exists | M::FieldRef | M::Neq))
        {
            return wrong(
                key,
                format!(
                    "`{}` needs a field, and a keyword has none",
                    name_of(*modifier)
                ),
            );
        }
        let mut asked = modifiers.to_vec();
        // A flag belongs to `re`, which is one.
        let is_operator = |modifier: &M| {
            matches!(
                role_of(*modifier),
                ModifierRole::Operator | ModifierRole::Link | ModifierRole::Flag
            ) && *modifier != M::All
        };
        if !modifiers.iter().any(is_operator) {
            asked.push(M::Contains);
        }
        let mut tests = Vec::new();
        for value in self.expanded(key, modifiers, value)? {
            match WrittenValue::of(key, &value)? {
                WrittenValue::Null => {
                    return wrong(key, "an empty keyword would match every event");
                }
                value => tests.extend(tests_of(key, &asked, &value, self.fields)?),
            }
        }
        if self.fields.searched().is_empty() {
            return wrong(
                key,
                "searches all text of an event, and the table has no text columns",
            );
        }
        let atoms = tests.into_iter().flat_map(|test| {
            self.fields.searched().iter().map(move |field| {
                Predicate::atom(field.clone(), FieldReading::Anywhere, test.clone())
            })
        });
        Ok(Predicate::any(atoms.collect()))
    }

    fn item(&self, detection: &str, item: &DetectionItem) -> Result<Predicate, LowerError> {
        let modifiers = &item.field.modifiers;
        let mut key = format!(
            "{detection}.{}",
            item.field.name.as_deref().unwrap_or_default()
        );
        for modifier in modifiers {
            key.push('|');
            key.push_str(name_of(*modifier));
        }
        let has = |modifier| modifiers.contains(&modifier);
        check(&key, modifiers)?;
        if item.values.is_empty() {
            return wrong(&key, "has no values: it would never match");
        }
        if has(Modifier::All) && item.values.len() < 2 {
            return wrong(&key, "needs more than one value for `all`");
        }
        let Some(field) = item.field.name.as_deref().filter(|name| !name.is_empty()) else {
            if modifiers.is_empty() {
                return wrong(
                    detection,
                    "has a field whose name is not text: quote it, as '4688' or 'true'",
                );
            }
            let values = item
                .values
                .iter()
                .map(|value| self.keyword_with(&key, modifiers, value));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            return Ok(if has(Modifier::All) {
                Predicate::all(values)
            } else {
                Predicate::any(values)
            });
        };
        let names = self.fields.names(field);
        let is_present = || Predicate::atom_of(names.as_ref(), FieldReading::Members, Test::Exists);
        if has(Modifier::Exists) {
            let wanted = match item.values.first() {
                Some(SigmaValue::Bool(truth)) => *truth,
                Some(SigmaValue::String(text)) => {
                    !matches!(text.original.to_lowercase().as_str(), "false" | "no")
                }
                _ => true,
            };
            return Ok(if wanted {
                is_present()
            } else {
                Predicate::not(is_present())
            });
        }
        let mut values = Vec::with_capacity(item.values.len());
        for value in &item.values {
            // `all` wants each value of the rule, in one of the ways that `expand` has to write it.
            let mut ways = Vec::new();
            for value in self.expanded(&key, modifiers, value)? {
                let value = WrittenValue::of(&key, &value)?;
                if matches!(value, WrittenValue::Null) {
                    ways.push(Predicate::not(is_present()));
                    continue;
                }
                let tests = tests_of(&key, modifiers, &value, self.fields)?;
                let tests = tests.into_iter();
                let atom = |test| Predicate::atom_of(names.as_ref(), FieldReading::Members, test);
                ways.extend(tests.map(atom));
            }
            values.push(Predicate::any(ways));
        }
        let all = if has(Modifier::All) {
            Predicate::all(values)
        } else {
            Predicate::any(values)
        };
        Ok(if has(Modifier::Neq) {
            Predicate::all(vec![is_present(), Predicate::not(all)])
        } else {
            all
        })
    }

    /// Puts the values of placeholders in, one value for each.
    fn expanded(
        &self,
        key: &str,
        modifiers: &[Modifier],
        value: &SigmaValue,
    ) -> Result<Vec<SigmaValue>, LowerError> {
        match modifiers.contains(&Modifier::Expand) {
            true => placeholders::expanded(key, value, self.placeholders),
            false => Ok(vec![value.clone()]),
        }
    }
}
