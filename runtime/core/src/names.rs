//! Near names for error messages.

/// Returns up to three of `known` that look like `wanted`, best first.
///
/// Case and the separators `_`, `-` and `.` do not count, so that `eventName` finds `event_name`.
pub fn near<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = fold(wanted);
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &fold(name)), name))
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Returns `; did you mean …?` for the end of an error message, or nothing when no name is near.
pub fn did_you_mean<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = near(wanted, known);
    if near.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!("; did you mean {}?", quoted.join(" or "))
}

/// Returns the one of `known` that `wanted` is with a slip of the finger: one letter more, less, changed or swapped, or two
/// in a name of more than six letters.
pub fn slip_of<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().find(|name| {
        let most = if name.chars().count() > 6 { 2 } else { 1 };
        *name != wanted && strsim::osa_distance(wanted, name) <= most
    })
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-' | '.'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Writes a number with separators of thousands, for messages.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn finds_what_the_author_meant() {
        let known = ["event_name", "event_source", "user_name", "source_ip"];
        assert_eq!(near("eventName", known)[0], "event_name");
        assert_eq!(near("usr_name", known)[0], "user_name");
        assert!(near("zzz", known).is_empty());
        assert_eq!(did_you_mean("zzz", known), "");
    }

    #[test]
    fn slips_of_the_finger_are_not_names_of_ones_own() {
        let known = ["level", "references", "tags"];
        for (wanted, want) in [
            ("levle", Some("level")),
            ("Level", Some("level")),
            ("reference", Some("references")),
            ("refrence", Some("references")),
            ("tag", Some("tags")),
            ("x_level", None),
            ("level", None),
            ("owner", None),
        ] {
            assert_eq!(slip_of(wanted, known), want, "{wanted}");
        }
    }
}
