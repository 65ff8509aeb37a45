//! A Sigma rule's detections and condition as a [`Predicate`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rsigma_parser::value::{SpecialChar, StringPart};
use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Detections, Modifier, Quantifier, SigmaString,
    SigmaValue,
};
use yagura_core::FieldPath;
use yagura_core::names::did_you_mean;

use super::Placeholders;
use crate::predicate::{GlobPart, MomentPart, Number, NumberOp, Predicate, Reading, Test, TextOp};

/// Why a rule's detection cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowerError {
    /// The key below `detection` that it is about, as far as known: `selection.CommandLine|contains`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Where the fields of a rule are in a table.
pub(crate) trait Fields {
    /// Returns the paths that stand for a Sigma field.
    fn paths(&self, field: &str) -> Vec<FieldPath>;
    /// Returns the fields that a keyword is searched in.
    fn searched(&self) -> &[FieldPath];
}

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

fn wrong<T>(key: &str, message: impl Into<String>) -> Result<T, LowerError> {
    Err(LowerError {
        key: key.to_owned(),
        message: message.into(),
    })
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
                    .filter(|name| pattern.matches_detection_name(name))
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
        let mut parts = match value {
            SigmaValue::String(text) => parts_of(text, false),
            SigmaValue::Null => return wrong(key, "an empty keyword would match every event"),
            other => vec![GlobPart::Literal(other.to_string().to_lowercase())],
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
                .map(|field| Predicate::atom(field.clone(), Reading::Anywhere, test.clone()))
                .collect(),
        ))
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
            // Keywords with modifiers: `|all` is what makes sense of them.
            let values = item.values.iter().map(|value| self.keyword(&key, value));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            return Ok(if has(Modifier::All) {
                Predicate::all(values)
            } else {
                Predicate::any(values)
            });
        };
        let paths = self.fields.paths(field);
        let is_present = || Predicate::atom_of(&paths, Reading::Members, Test::Exists);
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
        for value in self.expanded(&key, modifiers, &item.values)? {
            if matches!(value, SigmaValue::Null) {
                values.push(Predicate::not(is_present()));
                continue;
            }
            let tests = tests_of(&key, modifiers, &value, self.fields)?;
            values.push(Predicate::any(
                tests
                    .into_iter()
                    .map(|test| Predicate::atom_of(&paths, Reading::Members, test))
                    .collect(),
            ));
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

    /// Puts the values of place-holders in, one value for each.
    fn expanded(
        &self,
        key: &str,
        modifiers: &[Modifier],
        values: &[SigmaValue],
    ) -> Result<Vec<SigmaValue>, LowerError> {
        if !modifiers.contains(&Modifier::Expand) {
            return Ok(values.to_vec());
        }
        let mut expanded = Vec::new();
        for value in values {
            let SigmaValue::String(text) = value else {
                expanded.push(value.clone());
                continue;
            };
            let mut texts = vec![text.original.clone()];
            while let Some((before, name, after)) = texts.iter().find_map(|text| placeholder(text))
            {
                let Some(values) = self.placeholders.get(&name) else {
                    let hint = did_you_mean(&name, self.placeholders.keys().map(String::as_str));
                    return wrong(
                        key,
                        format!(
                            "the placeholder `%{name}%` has no values here{hint}; give them under [placeholders] in a field map (--field-map)"
                        ),
                    );
                };
                let from = format!("{before}%{name}%{after}");
                texts = texts
                    .into_iter()
                    .flat_map(|text| {
                        if text == from {
                            values
                                .iter()
                                .map(|value| format!("{before}{value}{after}"))
                                .collect()
                        } else {
                            vec![text]
                        }
                    })
                    .collect();
            }
            expanded.extend(
                texts
                    .iter()
                    .map(|text| SigmaValue::String(SigmaString::new(text))),
            );
        }
        Ok(expanded)
    }
}

/// Finds the first `%name%`: what comes before it, the name, what comes after.
fn placeholder(text: &str) -> Option<(String, String, String)> {
    let open = text.find('%')?;
    let close = open + 1 + text[open + 1..].find('%')?;
    let name = &text[open + 1..close];
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    is_name.then(|| {
        (
            text[..open].to_owned(),
            name.to_owned(),
            text[close + 1..].to_owned(),
        )
    })
}

/// Refuses modifiers that contradict each other.
fn check(key: &str, modifiers: &[Modifier]) -> Result<(), LowerError> {
    use Modifier as M;
    let has = |modifier: &Modifier| modifiers.contains(modifier);
    let operators: Vec<&str> = modifiers
        .iter()
        .filter(|modifier| {
            matches!(
                modifier,
                M::Contains
                    | M::StartsWith
                    | M::EndsWith
                    | M::Re
                    | M::Cidr
                    | M::Exists
                    | M::Gt
                    | M::Gte
                    | M::Lt
                    | M::Lte
                    | M::Minute
                    | M::Hour
                    | M::Day
                    | M::Week
                    | M::Month
                    | M::Year
            )
        })
        .map(|modifier| name_of(*modifier))
        .collect();
    if operators.len() > 1 {
        return wrong(
            key,
            format!(
                "`{}` contradict each other: a field is compared in one way",
                operators.join("` and `")
            ),
        );
    }
    let is_text = operators
        .first()
        .is_none_or(|name| matches!(*name, "contains" | "startswith" | "endswith"));
    if has(&M::FieldRef) && !is_text {
        return wrong(
            key,
            format!("`fieldref` does not go with `{}`", operators.join("`, `")),
        );
    }
    let encodings = [M::Wide, M::Utf16, M::Utf16be];
    if encodings.iter().filter(|modifier| has(modifier)).count() > 1 {
        return wrong(key, "names more than one of `wide`, `utf16` and `utf16be`");
    }
    if has(&M::Base64) && has(&M::Base64Offset) {
        return wrong(key, "names both `base64` and `base64offset`");
    }
    if (has(&M::Utf16) || has(&M::Utf16be)) && !has(&M::Base64) && !has(&M::Base64Offset) {
        return wrong(
            key,
            "`utf16` and `utf16be` give bytes that are no text: add `base64` or `base64offset`",
        );
    }
    let transforms = [
        M::Base64,
        M::Base64Offset,
        M::Wide,
        M::Utf16,
        M::Utf16be,
        M::WindAsh,
        M::Expand,
    ];
    if (!is_text || has(&M::FieldRef))
        && let Some(transform) = transforms.iter().find(|modifier| has(modifier))
    {
        return wrong(
            key,
            format!(
                "`{}` changes text, and the values here are not compared as text",
                name_of(*transform)
            ),
        );
    }
    if !has(&M::Re)
        && let Some(flag) = [M::IgnoreCase, M::Multiline, M::DotAll]
            .iter()
            .find(|modifier| has(modifier))
    {
        return wrong(
            key,
            format!("`{}` is a flag of `re`, which is not there", name_of(*flag)),
        );
    }
    Ok(())
}

/// Returns the tests of one value; one of them is enough.
fn tests_of(
    key: &str,
    modifiers: &[Modifier],
    value: &SigmaValue,
    fields: &dyn Fields,
) -> Result<Vec<Test>, LowerError> {
    use Modifier as M;
    let has = |modifier| modifiers.contains(&modifier);
    let cased = has(M::Cased);
    let op = if has(M::Contains) {
        TextOp::Contains
    } else if has(M::StartsWith) {
        TextOp::StartsWith
    } else if has(M::EndsWith) {
        TextOp::EndsWith
    } else {
        TextOp::Equals
    };
    let plain = || match value {
        SigmaValue::String(text) => text.as_plain().unwrap_or_else(|| text.original.clone()),
        other => other.to_string(),
    };
    let number = || match plain().parse::<f64>() {
        Ok(number) => Ok(Number(number)),
        Err(_) => wrong(key, format!("needs a number, not `{}`", plain())),
    };
    let moments = [
        (M::Minute, MomentPart::Minute),
        (M::Hour, MomentPart::Hour),
        (M::Day, MomentPart::Day),
        (M::Week, MomentPart::Week),
        (M::Month, MomentPart::Month),
        (M::Year, MomentPart::Year),
    ];
    if let Some((_, part)) = moments.into_iter().find(|(modifier, _)| has(*modifier)) {
        return Ok(vec![Test::Moment(part, number()?)]);
    }
    if has(M::FieldRef) {
        let others = fields.paths(&plain());
        return Ok(others
            .into_iter()
            .map(|other| Test::Field { op, other, cased })
            .collect());
    }
    if has(M::Re) {
        let flags: String = [(M::IgnoreCase, 'i'), (M::Multiline, 'm'), (M::DotAll, 's')]
            .into_iter()
            .filter(|(modifier, _)| has(*modifier))
            .map(|(_, flag)| flag)
            .collect();
        let pattern = if flags.is_empty() {
            plain()
        } else {
            format!("(?{flags}){}", plain())
        };
        if let Err(error) = crate::prefilter::values::regex(&pattern) {
            return wrong(key, error.to_string());
        }
        return Ok(vec![Test::Regex(pattern)]);
    }
    if has(M::Cidr) {
        return match plain().parse() {
            Ok(net) => Ok(vec![Test::Cidr(net)]),
            Err(_) => wrong(
                key,
                format!(
                    "`{}` is not a network: write address/length, as 10.0.0.0/8",
                    plain()
                ),
            ),
        };
    }
    let comparisons = [
        (M::Lt, NumberOp::Less),
        (M::Lte, NumberOp::LessOrEqual),
        (M::Gt, NumberOp::Greater),
        (M::Gte, NumberOp::GreaterOrEqual),
    ];
    if let Some((_, op)) = comparisons.into_iter().find(|(modifier, _)| has(*modifier)) {
        return Ok(vec![Test::Number(op, number()?)]);
    }
    match value {
        SigmaValue::Integer(_) | SigmaValue::Float(_) if op == TextOp::Equals => {
            return Ok(vec![Test::Number(NumberOp::Equal, number()?)]);
        }
        SigmaValue::Bool(truth) => return Ok(vec![Test::Truth(*truth)]),
        _ => {}
    }
    let fold = |text: String| if cased { text } else { text.to_lowercase() };
    let text_test = |op, text| Test::Text {
        op,
        value: fold(text),
        cased,
    };
    if has(M::Base64) || has(M::Base64Offset) {
        let text = plain();
        let bytes = if has(M::Wide) {
            utf16(&text, u16::to_le_bytes)
        } else if has(M::Utf16) {
            [&[0xff, 0xfe][..], &utf16(&text, u16::to_le_bytes)].concat()
        } else if has(M::Utf16be) {
            utf16(&text, u16::to_be_bytes)
        } else {
            text.into_bytes()
        };
        if has(M::Base64) {
            return Ok(vec![text_test(op, BASE64.encode(bytes))]);
        }
        let tests: Vec<Test> = at_offsets(&bytes)
            .into_iter()
            .map(|text| text_test(TextOp::Contains, text))
            .collect();
        if tests.is_empty() {
            return wrong(
                key,
                format!("`{}` is too short for `base64offset`", plain()),
            );
        }
        return Ok(tests);
    }
    let texts = match value {
        SigmaValue::String(text) => vec![text.clone()],
        other => vec![SigmaString::from_raw(&other.to_string())],
    };
    let texts = if has(M::WindAsh) {
        texts
            .iter()
            .map(|text| dashed(key, text))
            .collect::<Result<Vec<_>, _>>()?
            .concat()
    } else {
        texts
    };
    Ok(texts
        .into_iter()
        .map(|text| {
            let mut parts = parts_of(&text, cased);
            if has(M::Wide) {
                // UTF-16 that was read as single bytes has a zero after each letter.
                for part in &mut parts {
                    if let GlobPart::Literal(text) = part {
                        *text = text.chars().flat_map(|c| [c, '\0']).collect();
                    }
                }
            }
            pattern(op, parts, cased)
        })
        .collect())
}

fn parts_of(text: &SigmaString, cased: bool) -> Vec<GlobPart> {
    let mut parts: Vec<GlobPart> = Vec::with_capacity(text.parts.len());
    for part in &text.parts {
        let part = match part {
            StringPart::Plain(text) if cased => GlobPart::Literal(text.clone()),
            StringPart::Plain(text) => GlobPart::Literal(text.to_lowercase()),
            StringPart::Special(SpecialChar::WildcardMulti) => GlobPart::Any,
            StringPart::Special(SpecialChar::WildcardSingle) => GlobPart::One,
        };
        match (parts.last_mut(), part) {
            (Some(GlobPart::Any), GlobPart::Any) => {}
            (Some(GlobPart::Literal(before)), GlobPart::Literal(more)) => before.push_str(&more),
            (_, part) => parts.push(part),
        }
    }
    parts
}

/// Returns the simplest test that says the same.
fn pattern(op: TextOp, mut parts: Vec<GlobPart>, cased: bool) -> Test {
    if parts.is_empty() {
        return Test::Text {
            op,
            value: String::new(),
            cased,
        };
    }
    if matches!(op, TextOp::Contains | TextOp::EndsWith) && parts.first() != Some(&GlobPart::Any) {
        parts.insert(0, GlobPart::Any);
    }
    if matches!(op, TextOp::Contains | TextOp::StartsWith) && parts.last() != Some(&GlobPart::Any) {
        parts.push(GlobPart::Any);
    }
    Test::glob(parts, cased)
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// Returns what the bytes look like in the Base64 of a longer text, at each of the three places they can begin.
fn at_offsets(bytes: &[u8]) -> Vec<String> {
    (0..3)
        .filter_map(|offset| {
            let shifted = [&[0_u8; 3][..offset], bytes].concat();
            let encoded = BASE64.encode(&shifted);
            // Letters that also depend on the bytes before and after are left out.
            let start = [0, 2, 3][offset];
            let end = match shifted.len() % 3 {
                0 => encoded.len(),
                1 => encoded.len() - 3,
                _ => encoded.len() - 2,
            };
            (start < end).then(|| encoded[start..end].to_owned())
        })
        .collect()
}

/// Returns the text with each `-` as every dash that Windows takes for one, and as `/`.
fn dashed(key: &str, text: &SigmaString) -> Result<Vec<SigmaString>, LowerError> {
    const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];
    const MOST: usize = 5;
    let dashes = text
        .parts
        .iter()
        .map(|part| match part {
            StringPart::Plain(text) => text.matches('-').count(),
            StringPart::Special(_) => 0,
        })
        .sum::<usize>();
    if dashes > MOST {
        return wrong(
            key,
            format!(
                "`{text}` has {dashes} dashes; `windash` tries each of them five ways, and {MOST} are the most that it can"
            ),
        );
    }
    Ok(
        (0..DASHES.len().pow(u32::try_from(dashes).unwrap_or_default()))
            .map(|mut choice| {
                let mut dashed = text.clone();
                for part in &mut dashed.parts {
                    if let StringPart::Plain(text) = part {
                        *text = text
                            .chars()
                            .map(|c| {
                                if c != '-' {
                                    return c;
                                }
                                let dash = DASHES[choice % DASHES.len()];
                                choice /= DASHES.len();
                                dash
                            })
                            .collect();
                    }
                }
                dashed
            })
            .collect(),
    )
}

/// Returns a modifier as rules write it.
fn name_of(modifier: Modifier) -> &'static str {
    match modifier {
        Modifier::Contains => "contains",
        Modifier::StartsWith => "startswith",
        Modifier::EndsWith => "endswith",
        Modifier::All => "all",
        Modifier::Base64 => "base64",
        Modifier::Base64Offset => "base64offset",
        Modifier::Wide => "wide",
        Modifier::Utf16be => "utf16be",
        Modifier::Utf16 => "utf16",
        Modifier::WindAsh => "windash",
        Modifier::Re => "re",
        Modifier::Cidr => "cidr",
        Modifier::Cased => "cased",
        Modifier::Exists => "exists",
        Modifier::Expand => "expand",
        Modifier::FieldRef => "fieldref",
        Modifier::Gt => "gt",
        Modifier::Gte => "gte",
        Modifier::Lt => "lt",
        Modifier::Lte => "lte",
        Modifier::Neq => "neq",
        Modifier::IgnoreCase => "i",
        Modifier::Multiline => "m",
        Modifier::DotAll => "s",
        Modifier::Minute => "minute",
        Modifier::Hour => "hour",
        Modifier::Day => "day",
        Modifier::Week => "week",
        Modifier::Month => "month",
        Modifier::Year => "year",
    }
}
