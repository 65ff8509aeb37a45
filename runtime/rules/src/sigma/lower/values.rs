//! One value of a detection as tests of a field.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipnet::IpNet;
use rsigma_parser::value::{SpecialChar, StringPart};
use rsigma_parser::{Modifier, SigmaString, SigmaValue};

use super::dashes::{self, Dashed};
use super::error::{LowerError, wrong};
use super::fields::Fields;
use super::modifiers::{ModifierRole, name_of, role_of};
use crate::case_folding::fold;
use crate::pattern_cost::{self, PatternCost};
use crate::predicate::{FieldNames, GlobPart, MomentPart, Number, NumberOp, Test, TextOp};
use crate::sigma::load::without_marks;

/// A value as the rule wrote it.
pub(super) enum WrittenValue {
    /// Text, perhaps with wildcards.
    Text(SigmaString),
    /// A number, and its text.
    Number(Number, String),
    /// A truth value.
    Truth(bool),
    /// Absence.
    Null,
}

impl WrittenValue {
    /// Reads a value of the parser's, which has doubles for all but short integers; those were marked before.
    pub(super) fn of(key: &str, value: &SigmaValue) -> Result<Self, LowerError> {
        Ok(match value {
            SigmaValue::Null => Self::Null,
            SigmaValue::Bool(truth) => Self::Truth(*truth),
            SigmaValue::Integer(number) => Self::Number((*number).into(), number.to_string()),
            SigmaValue::Float(number) => match Number::from_f64(*number) {
                Some(exact) => Self::Number(exact, number.to_string()),
                None => {
                    return wrong(
                        key,
                        format!(
                            "holds `{number}`, which is not a number that a field can have: quote it to compare text"
                        ),
                    );
                }
            },
            SigmaValue::String(text) => match without_marks(&text.original) {
                Some((written, true)) => match Number::parse(&written) {
                    Some(number) => Self::Number(number, written),
                    None => Self::Text(SigmaString::new(&written)),
                },
                Some((written, false)) => Self::Text(SigmaString::new(&written)),
                None if is_nested(&text.original) => {
                    return wrong(
                        key,
                        "holds a mapping or a list inside a list where a value must be",
                    );
                }
                None => Self::Text(text.clone()),
            },
        })
    }

    /// Returns the value as text.
    pub(super) fn text(&self) -> SigmaString {
        match self {
            Self::Text(text) => text.clone(),
            other => SigmaString::from_raw(&other.plain()),
        }
    }

    /// Returns the value as text without wildcards.
    fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.as_plain().unwrap_or_else(|| text.original.clone()),
            Self::Number(_, written) => written.clone(),
            Self::Truth(truth) => truth.to_string(),
            Self::Null => "null".to_owned(),
        }
    }
}

/// Says whether this is what the parser makes of a mapping or a list in place of a value.
fn is_nested(text: &str) -> bool {
    (text.starts_with("Mapping {") && text.ends_with('}'))
        || (text.starts_with("Sequence [") && text.ends_with(']'))
}

/// Returns the tests of one value; one of them is enough.
pub(super) fn tests_of(
    key: &str,
    modifiers: &[Modifier],
    value: &WrittenValue,
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
    let plain = || value.plain();
    let number = || match value {
        WrittenValue::Number(number, _) => Ok(number.clone()),
        _ => match Number::parse(&plain()) {
            Some(number) => Ok(number),
            None => wrong(key, format!("needs a number, not `{}`", plain())),
        },
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
        let others = fields.names(&plain());
        let others = others.iter().flat_map(FieldNames::all).cloned();
        return Ok(others
            .map(|other| Test::Field { op, other, cased })
            .collect());
    }
    if has(M::Re) {
        return regex(key, modifiers, plain());
    }
    if has(M::Cidr) {
        return Ok(vec![Test::Cidr(network(key, &plain())?)]);
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
    let is_text = |modifier: &M| matches!(modifier, M::Contains | M::StartsWith | M::EndsWith);
    let mut operators = (modifiers.iter()).filter(|of| role_of(**of) == ModifierRole::Operator);
    if let Some(other) = operators.find(|modifier| !is_text(modifier)) {
        // Read as equality the rule would say something else.
        return wrong(
            key,
            format!("`{}` cannot be evaluated here", name_of(*other)),
        );
    }
    let is_encoded = has(M::Base64) || has(M::Base64Offset) || has(M::Wide);
    match value {
        WrittenValue::Number(number, _) if op == TextOp::Equals && !is_encoded => {
            return Ok(vec![Test::Number(NumberOp::Equal, number.clone())]);
        }
        WrittenValue::Truth(truth) if op == TextOp::Equals && !is_encoded => {
            return Ok(vec![Test::Truth(*truth)]);
        }
        _ => {}
    }
    let text = value.text();
    if has(M::Base64) || has(M::Base64Offset) {
        let texts = match has(M::WindAsh).then(|| dashes::variants(&text)) {
            None => vec![text],
            Some(Dashed::Few(texts)) => texts,
            Some(Dashed::Many(count)) => {
                return wrong(
                    key,
                    format!(
                        "`{text}` has {count} dashes; {} is the maximum where each way to write them is encoded",
                        dashes::MOST_WRITTEN
                    ),
                );
            }
        };
        let mut tests = Vec::new();
        for text in texts {
            tests.extend(encoded(key, modifiers, op, &text)?);
        }
        return Ok(tests);
    }
    let is_wide = has(M::Wide);
    let texts = match has(M::WindAsh).then(|| dashes::variants(&text)) {
        None => vec![text],
        Some(Dashed::Few(texts)) => texts,
        Some(Dashed::Many(_)) => {
            return Ok(vec![Test::Regex(dashes::pattern(
                &text, op, cased, is_wide,
            ))]);
        }
    };
    Ok(texts
        .into_iter()
        .map(|text| {
            let mut parts = parts_of(&text, cased);
            if is_wide {
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

fn regex(key: &str, modifiers: &[Modifier], pattern: String) -> Result<Vec<Test>, LowerError> {
    let flags: String = [
        (Modifier::IgnoreCase, 'i'),
        (Modifier::Multiline, 'm'),
        (Modifier::DotAll, 's'),
    ]
    .into_iter()
    .filter(|(modifier, _)| modifiers.contains(modifier))
    .map(|(_, flag)| flag)
    .collect();
    let pattern = if flags.is_empty() {
        pattern
    } else {
        format!("(?{flags}){pattern}")
    };
    let mut cost = PatternCost::default();
    cost.add(pattern_cost::of_regex(&pattern), || pattern.clone());
    if let Err(error) = cost.within(pattern_cost::RULE) {
        return wrong(key, error.to_string());
    }
    match crate::prefilter::values::regex_syntax(&pattern) {
        Ok(()) => Ok(vec![Test::Regex(pattern)]),
        Err(error) => wrong(key, error.to_string()),
    }
}

/// Reads a network; an address alone is the network of this one.
fn network(key: &str, text: &str) -> Result<IpNet, LowerError> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    match text.parse().ok().or_else(address) {
        Some(net) => Ok(net),
        None => wrong(
            key,
            format!("`{text}` is not a network: write address/length, as 10.0.0.0/8"),
        ),
    }
}

fn encoded(
    key: &str,
    modifiers: &[Modifier],
    op: TextOp,
    text: &SigmaString,
) -> Result<Vec<Test>, LowerError> {
    use Modifier as M;
    let has = |modifier| modifiers.contains(&modifier);
    let cased = has(M::Cased);
    let text_test = |op, text: String| Test::Text {
        op,
        value: if cased {
            text
        } else {
            fold(&text).into_owned()
        },
        cased,
    };
    let text = text.as_plain().unwrap_or_else(|| text.original.clone());
    let bytes = if has(M::Wide) {
        utf16(&text, u16::to_le_bytes)
    } else if has(M::Utf16) {
        [&[0xff, 0xfe][..], &utf16(&text, u16::to_le_bytes)].concat()
    } else if has(M::Utf16be) {
        utf16(&text, u16::to_be_bytes)
    } else {
        text.clone().into_bytes()
    };
    if has(M::Base64) {
        return Ok(vec![text_test(op, BASE64.encode(bytes))]);
    }
    let tests: Vec<Test> = at_offsets(&bytes)
        .into_iter()
        .map(|text| text_test(TextOp::Contains, text))
        .collect();
    if tests.is_empty() {
        return wrong(key, format!("`{text}` is too short for `base64offset`"));
    }
    Ok(tests)
}

/// Returns the pieces of a text with wildcards.
pub(super) fn parts_of(text: &SigmaString, cased: bool) -> Vec<GlobPart> {
    let mut parts: Vec<GlobPart> = Vec::with_capacity(text.parts.len());
    for part in &text.parts {
        let part = match part {
            StringPart::Plain(text) if cased => GlobPart::Literal(text.clone()),
            StringPart::Plain(text) => GlobPart::Literal(fold(text).into_owned()),
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
pub(super) fn pattern(op: TextOp, mut parts: Vec<GlobPart>, cased: bool) -> Test {
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
