//! `parse_syslog`, `parse_cef`, `parse_leef` and `parse_kv`: a member of a line that `yagura-formats` reads.

use serde_json::{Map, Value as Json};
use yagura_formats::{Decoded, LineFormat};

use crate::json::{JsonPath, shown};
use crate::{Made, Prepared, Value};

/// Two times, in microseconds since 1970, with no year in common: 2001 and 2031. What differs between events that are read at both
/// depends on the clock.
const CLOCKS: [i64; 2] = [1_000_000_000_000_000, 1_930_000_000_000_000];

/// A member of a line.
#[derive(Debug)]
struct Member {
    format: LineFormat,
    name: String,
    /// The same name as a path, if it is one.
    path: Option<JsonPath>,
}

fn member(format: LineFormat, settings: &[&str]) -> Made {
    let name = settings.first().copied().unwrap_or_default();
    if name.is_empty() {
        return Err("the name of the member is empty".to_owned());
    }
    Ok(Box::new(Member {
        format,
        name: name.to_owned(),
        path: JsonPath::parse(name).ok(),
    }))
}

/// Prepares `parse_syslog(text, member)`.
pub(crate) fn syslog(settings: &[&str]) -> Made {
    member(LineFormat::Syslog, settings)
}

/// Prepares `parse_cef(text, member)`.
pub(crate) fn cef(settings: &[&str]) -> Made {
    member(LineFormat::Cef, settings)
}

/// Prepares `parse_leef(text, member)`.
pub(crate) fn leef(settings: &[&str]) -> Made {
    member(LineFormat::Leef, settings)
}

/// Prepares `parse_kv(text, key)`.
pub(crate) fn logfmt(settings: &[&str]) -> Made {
    member(LineFormat::Logfmt, settings)
}

impl Member {
    fn read(&self, line: &str, clock: i64) -> Option<Json> {
        let mut members: Map<String, Json> = match self.format.decoder(clock).line(line) {
            Ok(Decoded::Event(members)) => members,
            Ok(Decoded::Nothing) | Err(_) => return None,
        };
        match members.remove(&self.name) {
            Some(value) => Some(value),
            None => self.path.as_ref()?.value(&Json::Object(members)).cloned(),
        }
    }
}

impl Prepared for Member {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let value = self.read(text, CLOCKS[0])?;
        // The year of a time without one would be a guess.
        if self.name.ends_with("timestamp") && self.read(text, CLOCKS[1]).as_ref() != Some(&value) {
            return None;
        }
        shown(value).map(Value::text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(prepared: Made, text: &str) -> Option<String> {
        match prepared.unwrap().value(text) {
            Some(Value::Text(text)) => Some(text.into_owned()),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    #[test]
    fn members_are_found_by_name_and_by_path() {
        let line = r#"<34>1 2024-02-03T04:05:06Z web app 7 - [meta@1 a.b="x"] no entry"#;
        for (name, expected) in [
            ("hostname", Some("web")),
            ("timestamp", Some("2024-02-03T04:05:06Z")),
            ("structured_data.meta@1.\"a.b\"", Some("x")),
            ("structured_data", Some(r#"{"meta@1":{"a.b":"x"}}"#)),
            ("version", Some("1")),
            ("nothing", None),
        ] {
            assert_eq!(get(syslog(&[name]), line).as_deref(), expected, "{name}");
        }
        assert_eq!(get(syslog(&["hostname"]), "no header"), None);
        let line = "CEF:0|Acme|Wall|1|7|Deny|5|src=192.0.2.1 spt=4242 msg=no entry";
        assert_eq!(get(cef(&["src"]), line).as_deref(), Some("192.0.2.1"));
        assert_eq!(get(cef(&["spt"]), line).as_deref(), Some("4242"));
        assert_eq!(get(leef(&["src"]), line), None);
        let line = "LEEF:1.0|Acme|Wall|1|7|src=192.0.2.1\tusrName=ada\tusrName=eve";
        assert_eq!(
            get(leef(&["usrName"]), line).as_deref(),
            Some(r#"["ada","eve"]"#)
        );
        let line = r#"level=info msg="a \"b\"" user=ada"#;
        assert_eq!(get(logfmt(&["msg"]), line).as_deref(), Some("a \"b\""));
    }

    #[test]
    fn a_time_without_a_year_is_null_whatever_the_day_is() {
        let line = "<34>Feb  3 04:05:06 web sshd[7]: no entry";
        assert_eq!(get(syslog(&["timestamp"]), line), None);
        assert_eq!(get(syslog(&["app_name"]), line).as_deref(), Some("sshd"));
    }
}
