//! Which detections, or which rules of a correlation, a pattern in a condition names.

use rsigma_parser::SelectorPattern;

/// Says whether `them` or a pattern such as `sel*`, `*_main` or `s*l*n` names this one. `*` is any text, wherever it is;
/// all other characters are themselves. `them` leaves out names that begin with `_`, as Sigma has it.
pub(super) fn is_named(pattern: &SelectorPattern, name: &str) -> bool {
    match pattern {
        SelectorPattern::Them => !name.starts_with('_'),
        SelectorPattern::Pattern(pattern) => fits(pattern, name),
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text_wherever_they_are() {
        let names = [
            "",
            "s",
            "sel",
            "selection",
            "sel_a",
            "sel_a_b",
            "a.sel",
            "_sel",
            "s+l",
            "filter_sel",
            "ss",
        ];
        // The reference: a regular expression of which everything but the stars is escaped.
        for pattern in [
            "*", "**", "sel", "sel*", "*sel", "*sel*", "s*l", "s*l*n", "s**l", "*_*", "s*s",
            "sel*sel", "_*", "s+l", "s.l", "*a*b", "sel_*_b", "se*el", "",
        ] {
            let regex = regex::escape(pattern).replace("\\*", ".*");
            let regex = regex::Regex::new(&format!("^{regex}$")).unwrap();
            for name in names {
                let is_named = is_named(&SelectorPattern::Pattern(pattern.to_owned()), name);
                assert_eq!(is_named, regex.is_match(name), "`{pattern}` and `{name}`");
            }
        }
        assert!(
            is_named(&SelectorPattern::Them, "sel") && !is_named(&SelectorPattern::Them, "_sel")
        );
    }
}
