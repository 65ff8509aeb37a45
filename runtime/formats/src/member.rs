//! Members of an event: duplicate keys, header members beside those of the message, and the lines that a detection looks at.

use serde_json::{Map, Value};

/// How many lines a detection looks at.
const LINES: usize = 32;

/// Adds a member. A key that is there already becomes an array of its values, in their order.
pub(crate) fn add(members: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let value = value.into();
    match members.get_mut(key) {
        None => {
            members.insert(key.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// Adds text that belongs to no key, unless it is blank.
pub(crate) fn add_text(members: &mut Map<String, Value>, text: &str) {
    let text = text.trim();
    if !text.is_empty() {
        add(members, "text", text);
    }
}

/// Joins the members of a header and of its message. Where both have a name, that of the header becomes `header_<name>`.
pub(crate) fn merge(header: Map<String, Value>, message: Map<String, Value>) -> Map<String, Value> {
    if header.is_empty() {
        return message;
    }
    let mut members = Map::new();
    let mut doubles = Vec::new();
    for (key, value) in header {
        if key == "text" || !message.contains_key(&key) {
            members.insert(key, value);
        } else {
            doubles.push((format!("header_{key}"), value));
        }
    }
    for (key, value) in message {
        add(&mut members, &key, value);
    }
    for (key, value) in doubles {
        add(&mut members, &key, value);
    }
    members
}

/// Returns whether the first line of a text is of a form, and so are 3 of 4 lines after it. The last line may be cut off, and
/// does not count beside others.
pub(crate) fn are_most(start: &str, is_line: impl Fn(&str) -> bool) -> bool {
    let whole = match start.rsplit_once('\n') {
        Some((lines, _)) if !lines.trim().is_empty() => lines,
        _ => start,
    };
    let mut lines = whole
        .trim_start_matches('\u{feff}')
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(LINES)
        .map(is_line);
    if lines.next() != Some(true) {
        return false;
    }
    let (mut count, mut matching) = (0, 0);
    for matches in lines {
        count += 1;
        matching += usize::from(matches);
    }
    matching * 4 >= count * 3
}

/// Checks that the tests of all forms share.
#[cfg(test)]
pub(crate) mod check {
    use serde_json::{Map, Value};

    use crate::clock::Clock;
    use crate::{Decode, Decoded, Wrong};

    /// 1 March 2024, noon.
    pub(crate) fn clock() -> Clock {
        Clock::new("2024-03-01T12:00:00Z".parse().unwrap())
    }

    pub(crate) fn event(decoder: &mut impl Decode, line: &str) -> Map<String, Value> {
        match decoder.line(line) {
            Ok(Decoded::Event(members)) => members,
            other => panic!("{other:?}: {line}"),
        }
    }

    /// Returns the events of lines as JSON, and the reasons of what is wrong.
    pub(crate) fn shown(decoder: &mut impl Decode, lines: &[&str]) -> Vec<String> {
        let read = lines.iter().filter_map(|line| match decoder.line(line) {
            Ok(Decoded::Event(event)) => Some(Value::Object(event).to_string()),
            Ok(Decoded::Nothing) => None,
            Err(wrong) => Some(format!("{} {}", wrong.at, wrong.reason)),
        });
        read.collect()
    }

    /// Changes each line at every place, and looks for its words in its event. `derived` are those that become something else.
    pub(crate) fn loses_nothing<D: Decode>(
        decoder: impl Fn() -> D,
        looks_like: fn(&str) -> bool,
        lines: &[&str],
        derived: &[&str],
    ) {
        for line in lines {
            withstands(&mut decoder(), looks_like, line);
            let event = event(&mut decoder(), line);
            let lost = lost(line, &event);
            assert!(
                lost.iter().all(|piece| derived.contains(piece)),
                "{line}: {lost:?}"
            );
        }
    }

    /// Reads a line cut off at every place, and with every character dropped, doubled or replaced.
    pub(crate) fn withstands(decoder: &mut impl Decode, looks_like: fn(&str) -> bool, line: &str) {
        let mut read = |text: &str| {
            looks_like(text);
            if let Err(Wrong { at, .. }) = decoder.line(text) {
                assert!(at <= text.len() && text.is_char_boundary(at), "{text}");
            }
        };
        for (at, c) in line.char_indices() {
            let (before, after) = (&line[..at], &line[at + c.len_utf8()..]);
            read(before);
            read(&line[at..]);
            for middle in [
                "", "é", "\\", "\"", "'", "=", "|", "[", "]", "\u{1d}", "\n", "😀",
            ] {
                read(&format!("{before}{middle}{after}"));
                read(&format!("{before}{middle}{c}{after}"));
            }
        }
    }

    /// Returns the words and numbers of a line that its event does not show.
    pub(crate) fn lost<'l>(line: &'l str, members: &Map<String, Value>) -> Vec<&'l str> {
        let mut shown = String::new();
        show(&Value::Object(members.clone()), &mut shown);
        line.split(|c: char| !c.is_alphanumeric())
            .filter(|piece| !shown.contains(piece))
            .collect()
    }

    fn show(value: &Value, to: &mut String) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, value)| {
                to.push_str(key);
                to.push('\n');
                show(value, to);
            }),
            Value::Array(values) => values.iter().for_each(|value| show(value, to)),
            Value::String(text) => to.push_str(text),
            other => to.push_str(&other.to_string()),
        }
        to.push('\n');
    }

    /// Reads a line of about a megabyte. A reader that needs the square of the length would be busy for minutes.
    pub(crate) fn reads_long_lines(decoder: &mut impl Decode, head: &str, part: &str) {
        let line = format!("{head}{}", part.repeat(128_000));
        let _ = decoder.line(&line);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_name_of_a_header_member_yields_to_the_message() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let joined = merge(
            object(json!({"severity": "info", "hostname": "a", "text": "x"})),
            object(json!({"severity": "high", "text": "y"})),
        );
        let expected = json!({"hostname": "a", "text": ["x", "y"], "severity": "high", "header_severity": "info"});
        assert_eq!(Value::Object(joined), expected);
    }

    #[test]
    fn most_lines_decide() {
        let is_a = |line: &str| line.starts_with('a');
        assert!(are_most("a\n\na\na\nb\na\nb", is_a));
        assert!(are_most("a", is_a));
        assert!(!are_most("b\na\na\na\n", is_a));
        assert!(!are_most("a\na\nb\nb\n", is_a));
        assert!(!are_most("", is_a));
    }
}
