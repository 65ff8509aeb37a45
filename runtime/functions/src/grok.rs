//! `parse_grok`: names of patterns, written out as one regular expression.
//!
//! The grammar and the names are those of [`yagura_formats::Grok`]. A type is accepted and changes nothing, because results are text.

use yagura_formats::{GrokPattern, grok_field_name};

use crate::{Made, Wrong, pattern};

/// Writes a pattern out.
fn expanded(pattern: &str) -> Result<GrokPattern, Wrong> {
    GrokPattern::new(pattern, []).map_err(|error| error.to_string())
}

/// Returns the groups of a field: those of names, and those of the regular expression itself.
fn groups(pattern: &GrokPattern, field: &str) -> Result<Vec<usize>, Wrong> {
    let names = pattern::names(pattern.expression())?;
    let wanted = grok_field_name(field);
    let named = names.iter().enumerate();
    let fields = named.filter_map(|(group, name)| Some((group, pattern.field(name.as_deref()?))));
    let fields: Vec<(usize, String)> = fields.collect();
    let found = fields.iter().filter(|(_, name)| *name == wanted);
    let found: Vec<usize> = found.map(|(group, _)| *group).collect();
    if found.is_empty() {
        let known: Vec<&str> = fields.iter().map(|(_, name)| name.as_str()).collect();
        return Err(match known.is_empty() {
            true => format!("the pattern has no field '{field}', and no other one"),
            false => format!(
                "the pattern has no field '{field}'; it has {}",
                known.join(", ")
            ),
        });
    }
    Ok(found)
}

/// Checks the settings of `parse_grok` without compiling the pattern.
pub(crate) fn check(settings: &[&str]) -> Result<(), Wrong> {
    read(settings).map(|_| ())
}

/// Returns the pattern of `parse_grok`, written out.
pub(crate) fn pattern(settings: &[&str]) -> Option<String> {
    Some(expanded(settings.first()?).ok()?.expression().to_owned())
}

/// Prepares `parse_grok(text, pattern, field)`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let (regex, groups) = read(settings)?;
    Ok(Box::new(pattern::Groups::new(&regex, groups)?))
}

fn read(settings: &[&str]) -> Result<(String, Vec<usize>), Wrong> {
    let [pattern, field] = settings else {
        return Err("it takes a pattern and a field".to_owned());
    };
    let expanded = expanded(pattern)?;
    let groups = groups(&expanded, field)?;
    Ok((expanded.expression().to_owned(), groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn get(text: &str, pattern: &str, field: &str) -> Option<String> {
        match prepare(&[pattern, field]).unwrap().value(text) {
            Some(Value::Text(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn fields_are_found_by_any_name() {
        let pattern =
            r"%{IP:source.ip} (?<verb>[A-Z]+) %{NUMBER:bytes:int}|none of %{WORD:[user][name]}";
        let line = "from 192.0.2.1 GET 15";
        assert_eq!(
            get(line, pattern, "source.ip").as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(get(line, pattern, "verb").as_deref(), Some("GET"));
        assert_eq!(get(line, pattern, "bytes").as_deref(), Some("15"));
        assert_eq!(get(line, pattern, "[user][name]"), None);
        assert_eq!(
            get("none of ada", pattern, "[user][name]").as_deref(),
            Some("ada")
        );
        let either = "a=%{INT:n}|b=%{WORD:n}";
        assert_eq!(get("b=x", either, "n").as_deref(), Some("x"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (pattern, field, expected) in [
            (
                "%{IPV5:a}",
                "a",
                "no pattern has the name `IPV5` at character 1; names that begin so: IP, IPORHOST, IPV4, IPV6",
            ),
            ("%{IP:a", "a", "`%{NAME:field:type}`"),
            ("%{IP:a}", "b", "the pattern has no field 'b'; it has a"),
            (
                "%{IP}",
                "b",
                "the pattern has no field 'b', and no other one",
            ),
            ("(%{IP:a}", "a", "unclosed group"),
        ] {
            let wrong = check(&[pattern, field]).unwrap_err();
            assert!(wrong.ends_with(expected), "{wrong}");
        }
        let long = "%{URI}".repeat(1_000);
        assert!(check(&[&long, "a"]).unwrap_err().contains("longer than"));
    }
}
