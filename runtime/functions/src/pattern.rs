//! `parse_regex`: a group of a regular expression; and what `parse_grok` shares with it.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

use crate::{Made, Prepared, Value, Wrong};

/// The maximum of bytes that a compiled pattern takes.
const COMPILED_BYTES: usize = 10 << 20;

/// Groups of a regular expression, of which the first that matched counts.
#[derive(Debug)]
pub(crate) struct Groups {
    regex: Regex,
    groups: Vec<usize>,
}

impl Groups {
    /// Compiles a pattern.
    pub(crate) fn new(pattern: &str, groups: Vec<usize>) -> Result<Self, Wrong> {
        let mut builder = RegexBuilder::new(pattern);
        let regex = builder.size_limit(COMPILED_BYTES).build();
        let regex = regex.map_err(|error| match error {
            regex::Error::CompiledTooBig(bytes) => {
                format!("the pattern takes more than {bytes} bytes when it is compiled")
            }
            other => other.to_string(),
        })?;
        Ok(Self { regex, groups })
    }
}

impl Prepared for Groups {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let found = self.regex.captures(text)?;
        let mut groups = self.groups.iter();
        let group = groups.find_map(|group| found.get(*group))?;
        Some(Value::Text(Cow::Borrowed(group.as_str())))
    }
}

/// Returns the names of the groups of a regular expression, by index; the group 0 is the whole match.
pub(crate) fn names(pattern: &str) -> Result<Vec<Option<String>>, Wrong> {
    let hir = regex_syntax::Parser::new().parse(pattern);
    let hir = hir.map_err(|error| {
        let reason = match &error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            _ => "wrong syntax".to_owned(),
        };
        format!("'{pattern}' is not a regular expression: {reason}")
    })?;
    let mut names = vec![None];
    names.resize(hir.properties().explicit_captures_len() + 1, None);
    let mut left: Vec<&Hir> = vec![&hir];
    while let Some(hir) = left.pop() {
        match hir.kind() {
            HirKind::Capture(capture) => {
                if let Some(name) = names.get_mut(capture.index as usize) {
                    *name = capture.name.as_deref().map(str::to_owned);
                }
                left.push(&capture.sub);
            }
            HirKind::Repetition(repetition) => left.push(&repetition.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => left.extend(parts),
            _ => {}
        }
    }
    Ok(names)
}

fn pattern_and_group<'s>(settings: &[&'s str]) -> Result<(&'s str, usize), Wrong> {
    let [pattern, group] = settings else {
        return Err("it takes a pattern and a group".to_owned());
    };
    let names = names(pattern)?;
    let by_name = names
        .iter()
        .position(|name| name.as_deref() == Some(*group));
    let by_number = || group.parse().ok().filter(|group| *group < names.len());
    by_name
        .or_else(by_number)
        .map(|group| (*pattern, group))
        .ok_or_else(|| {
            let known: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
            format!(
                "the pattern has no group '{group}'; its groups are 0 to {}{}{}",
                names.len() - 1,
                if known.is_empty() { "" } else { ", named " },
                known.join(", ")
            )
        })
}

/// Checks the settings of `parse_regex` without compiling the pattern.
pub(crate) fn check(settings: &[&str]) -> Result<(), Wrong> {
    pattern_and_group(settings).map(|_| ())
}

/// Returns the pattern of `parse_regex`.
pub(crate) fn pattern(settings: &[&str]) -> Option<String> {
    settings.first().map(|pattern| (*pattern).to_owned())
}

/// Prepares `parse_regex(text, pattern, group)`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let (pattern, group) = pattern_and_group(settings)?;
    Ok(Box::new(Groups::new(pattern, vec![group])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_names_and_numbers() {
        let pattern = "(?P<user>[a-z]+)@([a-z.]+)(x)?";
        let get = |group: &str| prepare(&[pattern, group]).unwrap();
        let text = "mail ada@example.com!";
        assert_eq!(get("user").value(text), Some(Value::text("ada")));
        assert_eq!(get("2").value(text), Some(Value::text("example.com")));
        assert_eq!(get("0").value(text), Some(Value::text("ada@example.com")));
        assert_eq!(get("3").value(text), None);
        assert_eq!(get("1").value("none"), None);
    }

    #[test]
    fn a_wrong_pattern_and_an_unknown_group_are_named() {
        let wrong = check(&["(a", "0"]).unwrap_err();
        assert_eq!(wrong, "'(a' is not a regular expression: unclosed group");
        let wrong = check(&["(?<a>.)(.)", "b"]).unwrap_err();
        assert_eq!(
            wrong,
            "the pattern has no group 'b'; its groups are 0 to 2, named a"
        );
        assert!(check(&["a", "1"]).is_err());
        let wrong = prepare(&[r"(?:\pL{200}){200}", "0"]).unwrap_err();
        assert!(wrong.contains("when it is compiled"), "{wrong}");
    }
}
