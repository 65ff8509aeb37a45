//! Placeholders: `%name%` in a value with `expand`, and the values that stand for it.

use rsigma_parser::value::StringPart;
use rsigma_parser::{SigmaString, SigmaValue};
use yagura_core::names::did_you_mean;

use super::error::{LowerError, wrong};
use crate::sigma::placeholders::Placeholders;

/// Values that one value of a rule may expand to.
const MOST: usize = 10_000;

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
enum ValuePart<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// Puts the values of placeholders in: one value for each choice of them.
///
/// Each piece is read by itself, so that a backslash of the rule does not escape a wildcard of a value, and `%name%` in a
/// value is text.
pub(super) fn expanded(
    key: &str,
    value: &SigmaValue,
    placeholders: &Placeholders,
) -> Result<Vec<SigmaValue>, LowerError> {
    let SigmaValue::String(text) = value else {
        return Ok(vec![value.clone()]);
    };
    let mut texts = vec![SigmaString {
        parts: Vec::new(),
        original: String::new(),
    }];
    let pieces = pieces(&text.original);
    let is_escaped = |piece: &ValuePart<'_>| matches!(piece, ValuePart::Text("%"));
    let is_text = |piece: &ValuePart<'_>| matches!(piece, ValuePart::Text(_));
    if pieces.iter().any(is_escaped) && pieces.iter().all(is_text) {
        return wrong(
            key,
            format!(
                "has no placeholder in `{}`, because a backslash before `%` makes it text: write two backslashes for one before a placeholder, or leave `expand` out",
                text.original
            ),
        );
    }
    for piece in pieces {
        match piece {
            ValuePart::Text(text) => {
                let text = SigmaString::new(text);
                texts.iter_mut().for_each(|before| append(before, &text));
            }
            ValuePart::Placeholder(name) => {
                let values = values_of(key, name, placeholders)?;
                let count = texts.len().saturating_mul(values.len());
                if count > MOST {
                    return wrong(
                        key,
                        format!(
                            "expands `{}` to {count} values or more, and {MOST} is the maximum: use fewer placeholders in one value, or fewer values for `%{name}%`",
                            text.original
                        ),
                    );
                }
                texts = texts
                    .iter()
                    .flat_map(|before| {
                        values.iter().map(|value| {
                            let mut longer = before.clone();
                            append(&mut longer, value);
                            longer
                        })
                    })
                    .collect();
            }
        }
    }
    Ok(texts.into_iter().map(SigmaValue::String).collect())
}

fn values_of(
    key: &str,
    name: &str,
    placeholders: &Placeholders,
) -> Result<Vec<SigmaString>, LowerError> {
    match placeholders.get(name) {
        Some(values) if !values.is_empty() => {
            Ok(values.iter().map(|value| SigmaString::new(value)).collect())
        }
        _ => {
            let hint = did_you_mean(name, placeholders.keys().map(String::as_str));
            wrong(
                key,
                format!(
                    "the placeholder `%{name}%` has no values here{hint}; give them under [placeholders] in a field map (--field-map)"
                ),
            )
        }
    }
}

fn append(before: &mut SigmaString, more: &SigmaString) {
    before.original.push_str(&more.original);
    for part in &more.parts {
        match (before.parts.last_mut(), part) {
            (Some(StringPart::Plain(text)), StringPart::Plain(more)) => text.push_str(more),
            (_, part) => before.parts.push(part.clone()),
        }
    }
}

/// Takes a value apart. A `%` that begins no `%name%` is text, as is one after a backslash that is not itself escaped; that
/// backslash is left out.
fn pieces<'a>(text: &'a str) -> Vec<ValuePart<'a>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    let mut at = 0;
    let mut push = |piece: ValuePart<'a>| {
        if piece != ValuePart::Text("") {
            pieces.push(piece);
        }
    };
    while let Some(open) = text[at..].find('%').map(|open| at + open) {
        let backslashes = text[from..open]
            .bytes()
            .rev()
            .take_while(|byte| *byte == b'\\')
            .count();
        let close = text[open + 1..].find('%').map(|close| open + 1 + close);
        if backslashes % 2 == 1 {
            push(ValuePart::Text(&text[from..open - 1]));
            push(ValuePart::Text(&text[open..=open]));
            from = open + 1;
            at = from;
            continue;
        }
        let name = close.map(|close| &text[open + 1..close]);
        match (name.filter(|name| is_name(name)), close) {
            (Some(name), Some(close)) => {
                push(ValuePart::Text(&text[from..open]));
                push(ValuePart::Placeholder(name));
                from = close + 1;
                at = from;
            }
            _ => at = open + 1,
        }
    }
    push(ValuePart::Text(&text[from..]));
    pieces
}

fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
    !name.is_empty() && name.chars().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders() -> Placeholders {
        [
            ("user", vec!["root", "adm*", "%user%", "100%"]),
            ("empty", vec![]),
            ("many", vec!["x"; 101]),
            ("größe.x-1", vec!["groß"]),
        ]
        .map(|(name, values)| {
            (
                name.to_owned(),
                values.into_iter().map(str::to_owned).collect(),
            )
        })
        .into()
    }

    fn expand(text: &str) -> Result<Vec<String>, LowerError> {
        let value = SigmaValue::String(SigmaString::new(text));
        let values = expanded("sel.a|expand", &value, &placeholders())?;
        Ok(values
            .into_iter()
            .map(|value| match value {
                SigmaValue::String(text) => text
                    .parts
                    .iter()
                    .map(|part| match part {
                        StringPart::Plain(text) => text.as_str(),
                        StringPart::Special(_) => "<any>",
                    })
                    .collect(),
                other => other.to_string(),
            })
            .collect())
    }

    #[test]
    fn only_names_between_percent_signs_are_placeholders() {
        let of = |before: &str, after: &str| {
            ["root", "adm<any>", "%user%", "100%"].map(|value| format!("{before}{value}{after}"))
        };
        for (text, before, after) in [
            ("%user%", "", ""),
            ("100% of %user%", "100% of ", ""),
            ("%%user%%", "%", "%"),
            ("% %user% %", "% ", " %"),
            ("50%%user%", "50%", ""),
            ("C:\\Users\\\\%user%\\x", "C:\\Users\\", "\\x"),
            ("\\%user%user%", "%user", ""),
            ("*%user%?", "<any>", "<any>"),
        ] {
            assert_eq!(expand(text).unwrap(), of(before, after), "{text}");
        }
        assert_eq!(expand("100%").unwrap(), ["100%"]);
        assert_eq!(expand("50% and 60% more").unwrap(), ["50% and 60% more"]);
        assert_eq!(expand("%größe.x-1%!").unwrap(), ["groß!"]);
        assert_eq!(expand("%user%%user%").unwrap().len(), 16);
    }

    #[test]
    fn what_cannot_be_expanded_is_an_error() {
        for (text, reason) in [
            ("%usr%", "`%usr%` has no values here; did you mean `user`?"),
            ("%empty%", "`%empty%` has no values here"),
            (
                "%many%%many%",
                "to 10201 values or more, and 10000 is the maximum",
            ),
            ("C:\\%user%", "write two backslashes"),
        ] {
            let error = expand(text).unwrap_err();
            assert!(error.message.contains(reason), "{text}: {}", error.message);
        }
        assert_eq!(expand("%many%").unwrap().len(), 101);
    }
}
