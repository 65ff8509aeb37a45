//! `parse_grok`: names of patterns, written out as one regular expression.
//!
//! ```text
//! pattern   = *(regular expression | "%{" name [":" field [":" type]] "}")
//! ```
//!
//! The names are those that Logstash made common; what they stand for is written here, for an engine without look-around. A type is
//! accepted and changes nothing, because results are text.

use crate::{Made, Wrong, pattern};

/// The names of patterns and what they stand for. A pattern uses only names before it, so that none contains itself.
pub const PATTERNS: [(&str, &str); 46] = [
    ("WORD", r"\b[A-Za-z0-9_]+\b"),
    ("NOTSPACE", r"\S+"),
    ("SPACE", r"\s*"),
    ("DATA", r".*?"),
    ("GREEDYDATA", r".*"),
    ("INT", r"[+-]?[0-9]+"),
    ("POSINT", r"\b[1-9][0-9]*\b"),
    ("NONNEGINT", r"\b[0-9]+\b"),
    ("NUMBER", r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"),
    ("BASE10NUM", r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"),
    ("BASE16NUM", r"[+-]?(?:0[xX])?[0-9A-Fa-f]+"),
    ("QUOTEDSTRING", r#""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"#),
    ("QS", "%{QUOTEDSTRING}"),
    (
        "UUID",
        r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    ),
    ("USERNAME", r"[A-Za-z0-9._-]+"),
    ("USER", "%{USERNAME}"),
    ("EMAILLOCALPART", r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+"),
    (
        "IPV4",
        r"\b(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\b",
    ),
    (
        "IPV6",
        r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4})(?:%[A-Za-z0-9]+)?",
    ),
    ("IP", "(?:%{IPV4}|%{IPV6})"),
    (
        "HOSTNAME",
        r"\b[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}))*\.?",
    ),
    ("IPORHOST", "(?:%{IP}|%{HOSTNAME})"),
    ("HOSTPORT", "%{IPORHOST}:%{POSINT}"),
    ("EMAILADDRESS", "%{EMAILLOCALPART}@%{HOSTNAME}"),
    (
        "MAC",
        r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}",
    ),
    ("UNIXPATH", r"(?:/[A-Za-z0-9_%!$@:.,+~-]*)+"),
    ("WINPATH", r"(?:[A-Za-z]+:|\\)(?:\\[^\\?*]*)+"),
    ("PATH", "(?:%{UNIXPATH}|%{WINPATH})"),
    ("URIPROTO", r"[A-Za-z][A-Za-z0-9+.-]*"),
    ("URIHOST", r"(?:\[[0-9A-Fa-f:.]+\]|%{IPORHOST})(?::[0-9]+)?"),
    ("URIPATH", r"(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_-]*)+"),
    ("URIPARAM", r"\?[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\[\]<>-]*"),
    ("URIPATHPARAM", "%{URIPATH}(?:%{URIPARAM})?"),
    (
        "URI",
        "%{URIPROTO}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?",
    ),
    (
        "MONTH",
        r"\b(?:[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|[Mm]ay|[Jj]une?|[Jj]uly?|[Aa]ug(?:ust)?|[Ss]ep(?:t(?:ember)?)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?)\b",
    ),
    ("MONTHNUM", r"(?:1[0-2]|0?[1-9])"),
    ("MONTHDAY", r"(?:3[01]|[12][0-9]|0?[1-9])"),
    (
        "DAY",
        r"(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)",
    ),
    ("YEAR", r"[0-9]{4}|[0-9]{2}"),
    (
        "TIME",
        r"(?:2[0-3]|[01]?[0-9]):[0-5][0-9](?::(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?)?",
    ),
    (
        "TIMESTAMP_ISO8601",
        r"[0-9]{4}-%{MONTHNUM}-%{MONTHDAY}[T ]%{TIME}(?:Z|[+-][0-9]{2}:?[0-9]{2})?",
    ),
    ("SYSLOGTIMESTAMP", "%{MONTH} +%{MONTHDAY} %{TIME}"),
    (
        "HTTPDATE",
        r"%{MONTHDAY}/%{MONTH}/[0-9]{4}:%{TIME} [+-]?[0-9]{4}",
    ),
    ("PROG", r"[\x21-\x5a\x5c\x5e-\x7e]+"),
    ("SYSLOGPROG", r"%{PROG}(?:\[%{POSINT}\])?"),
    (
        "LOGLEVEL",
        r"(?i:trace|debug|info(?:rmation)?|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|alert|emerg(?:ency)?)",
    ),
];

/// The maximum length of a pattern that is written out, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// A pattern written out.
#[derive(Debug, Default)]
struct Expanded {
    regex: String,
    /// The fields, in the order of their groups `__0`, `__1` and so on.
    fields: Vec<String>,
}

impl Expanded {
    fn of(pattern: &str) -> Result<Self, Wrong> {
        let mut expanded = Self::default();
        expanded.add(pattern, PATTERNS.len())?;
        Ok(expanded)
    }

    /// Adds a pattern that may use the first names of [`PATTERNS`].
    fn add(&mut self, pattern: &str, known: usize) -> Result<(), Wrong> {
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("%{") {
            let Some((inside, after)) = after.split_once('}') else {
                return Err(format!("`%{{{after}` has no `}}`"));
            };
            self.regex.push_str(before);
            let mut parts = inside.splitn(3, ':');
            let name = parts.next().unwrap_or_default();
            let field = parts.next().filter(|field| !field.is_empty());
            let found = PATTERNS
                .iter()
                .take(known)
                .position(|(other, _)| *other == name);
            let Some(found) = found else {
                return Err(format!("there is no pattern `{name}`{}", near(name)));
            };
            match field {
                Some(field) => {
                    self.regex.push_str(&format!("(?<__{}>", self.fields.len()));
                    self.fields.push(field.to_owned());
                }
                None => self.regex.push_str("(?:"),
            }
            self.add(
                PATTERNS.get(found).map_or("", |(_, pattern)| pattern),
                found,
            )?;
            self.regex.push(')');
            rest = after;
            if self.regex.len() > MAX_BYTES {
                return Err(format!(
                    "the pattern is longer than {MAX_BYTES} bytes with its names written out"
                ));
            }
        }
        self.regex.push_str(rest);
        Ok(())
    }

    /// Returns the groups of a field: those of names, and those of the regular expression itself.
    fn groups(&self, field: &str) -> Result<Vec<usize>, Wrong> {
        let names = pattern::names(&self.regex)?;
        let is_field = |name: &str| match name.strip_prefix("__").map(str::parse::<usize>) {
            Some(Ok(index)) => self.fields.get(index).is_some_and(|known| known == field),
            _ => name == field,
        };
        let all = names.iter().enumerate();
        let groups = all.filter(|(_, name)| name.as_deref().is_some_and(is_field));
        let groups: Vec<usize> = groups.map(|(index, _)| index).collect();
        if groups.is_empty() {
            let own = names
                .iter()
                .flatten()
                .filter(|name| !name.starts_with("__"));
            let known: Vec<&str> = self.fields.iter().chain(own).map(String::as_str).collect();
            return Err(match known.is_empty() {
                true => format!("the pattern has no field '{field}', and no other one"),
                false => format!(
                    "the pattern has no field '{field}'; it has {}",
                    known.join(", ")
                ),
            });
        }
        Ok(groups)
    }
}

/// Returns the names that begin alike, as the end of a message.
fn near(name: &str) -> String {
    let start = name.get(..2).unwrap_or(name).to_ascii_uppercase();
    let known = PATTERNS
        .iter()
        .filter(|(known, _)| known.starts_with(&start));
    let known: Vec<&str> = known.map(|(known, _)| *known).collect();
    match known.is_empty() || start.is_empty() {
        true => String::new(),
        false => format!("; names that begin so: {}", known.join(", ")),
    }
}

/// Checks the settings of `parse_grok` without compiling the pattern.
pub(crate) fn check(settings: &[&str]) -> Result<(), Wrong> {
    expanded(settings).map(|_| ())
}

/// Returns the pattern of `parse_grok`, written out.
pub(crate) fn pattern(settings: &[&str]) -> Option<String> {
    Some(Expanded::of(settings.first()?).ok()?.regex)
}

/// Prepares `parse_grok(text, pattern, field)`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let (regex, groups) = expanded(settings)?;
    Ok(Box::new(pattern::Groups::new(&regex, groups)?))
}

fn expanded(settings: &[&str]) -> Result<(String, Vec<usize>), Wrong> {
    let [pattern, field] = settings else {
        return Err("it takes a pattern and a field".to_owned());
    };
    let expanded = Expanded::of(pattern)?;
    let groups = expanded.groups(field)?;
    Ok((expanded.regex, groups))
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
    fn every_pattern_matches_what_it_is_for() {
        for (name, text) in [
            ("WORD", "ada_1"),
            ("NOTSPACE", "a-b!"),
            ("SPACE", "  "),
            ("DATA", ""),
            ("GREEDYDATA", "any thing"),
            ("INT", "-12"),
            ("POSINT", "12"),
            ("NONNEGINT", "0"),
            ("NUMBER", "-1.5"),
            ("BASE10NUM", ".5"),
            ("BASE16NUM", "0x1F"),
            ("QUOTEDSTRING", r#""a \" b""#),
            ("QS", "'a'"),
            ("UUID", "123e4567-e89b-12d3-a456-426614174000"),
            ("USERNAME", "ada.b-1"),
            ("USER", "ada"),
            ("EMAILLOCALPART", "ada+x"),
            ("IPV4", "192.0.2.255"),
            ("IPV6", "2001:db8::1"),
            ("IP", "::1"),
            ("HOSTNAME", "a.example.com"),
            ("IPORHOST", "192.0.2.1"),
            ("HOSTPORT", "a.example.com:443"),
            ("EMAILADDRESS", "ada@example.com"),
            ("MAC", "00:00:5e:00:53:01"),
            ("UNIXPATH", "/var/log/a.log"),
            ("WINPATH", r"C:\Users\ada"),
            ("PATH", "/etc"),
            ("URIPROTO", "https"),
            ("URIHOST", "[2001:db8::1]:80"),
            ("URIPATH", "/a/b.html"),
            ("URIPARAM", "?a=1&b=2"),
            ("URIPATHPARAM", "/a?b=1"),
            ("URI", "https://ada:x@example.com:8443/a?b=1"),
            ("MONTH", "September"),
            ("MONTHNUM", "12"),
            ("MONTHDAY", "31"),
            ("DAY", "Friday"),
            ("YEAR", "2024"),
            ("TIME", "23:59:60.5"),
            ("TIMESTAMP_ISO8601", "2024-02-03T04:05:06.7+01:00"),
            ("SYSLOGTIMESTAMP", "Feb  3 04:05:06"),
            ("HTTPDATE", "03/Feb/2024:04:05:06 +0000"),
            ("PROG", "sshd"),
            ("SYSLOGPROG", "sshd[71]"),
            ("LOGLEVEL", "WARNING"),
        ] {
            let pattern = format!("^%{{{name}:x}}$");
            assert_eq!(get(text, &pattern, "x").as_deref(), Some(text), "{name}");
        }
        let tried = 46;
        assert_eq!(PATTERNS.len(), tried, "a pattern has no example above");
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
                "there is no pattern `IPV5`; names that begin so: IPV4, IPV6, IP, IPORHOST",
            ),
            ("%{IP:a", "a", "`%{IP:a` has no `}`"),
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
        assert!(check(&[&long, "a"]).unwrap_err().contains("is longer than"));
    }
}
