//! Messages for people: numbers with units, and many messages that are alike.

use std::collections::BTreeMap;

/// Messages that are alike and are all shown; of more the first [`SHOWN_ALIKE`] are.
const MOST_ALIKE: usize = 8;
/// Messages of a large group that are shown.
const SHOWN_ALIKE: usize = 3;

/// Returns messages for people, each with what it says apart from names. Of many that say the same of different things the first ones
/// stand for all, with how many there are more; these are logged at the level `info`.
pub fn folded(messages: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (says, message) in messages {
        let place = *places.entry(shape(&says)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(message);
    }
    let mut lines = Vec::new();
    for mut group in groups {
        let more = group.len().saturating_sub(SHOWN_ALIKE) as u64;
        if group.len() <= MOST_ALIKE {
            lines.extend(group);
            continue;
        }
        for message in group.drain(SHOWN_ALIKE..) {
            tracing::info!("{message}");
        }
        lines.extend(group);
        lines.push(format!(
            "  … and {} more like it; YAGURA_LOG=info shows all",
            number(more)
        ));
    }
    lines
}

/// Returns a message without what differs between alike ones: names in backquotes, numbers, paths.
fn shape(message: &str) -> String {
    let mut shape = String::new();
    for (index, part) in message.split('`').enumerate() {
        if index % 2 == 1 {
            shape.push('`');
            continue;
        }
        let words = part.split_whitespace().map(|word| {
            let is_name = word.contains(['/', '\\']) || word.chars().any(|c| c.is_ascii_digit());
            if is_name { "#" } else { word }
        });
        shape.push_str(&words.collect::<Vec<_>>().join(" "));
    }
    shape
}

/// Writes a number with thousands apart.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number with its unit.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        self::number(number),
        if number == 1 { one } else { many }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_messages_that_are_alike_are_a_few_lines() {
        let message = |n: u32| {
            let text = format!("rule `r-{n}` does not run: {n} columns of s3://b/{n} are missing");
            (text.clone(), text)
        };
        let other = |text: &str| (text.to_owned(), text.to_owned());
        let few: Vec<_> = (0..8).map(message).collect();
        let texts: Vec<String> = few.iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(folded(few), texts);
        let many = (0..500).map(message);
        let many = [other("first")]
            .into_iter()
            .chain(many)
            .chain([other("last")]);
        let lines = folded(many);
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert_eq!(lines[0], "first");
        assert!(lines[1].contains("`r-0`"), "{lines:?}");
        assert!(lines[4].contains("and 497 more like it"), "{lines:?}");
        assert_eq!(lines[5], "last");
    }
}
