//! Patterns in which `*` stands for any text, as everywhere in Yagura's configuration.

/// Says whether a text fits a pattern, without regard to case.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    let Some((middle, end)) = rest.rsplit_once('*') else {
        return text.ends_with(rest);
    };
    for part in middle.split('*') {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_case_does_not_matter() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "A"),
            ("*.verdict", "virustotal.verdict"),
            ("a*b*c", "a--b--b-c"),
            ("**", "x"),
            ("Windows*", "windows 11"),
            ("ab*b", "abb"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a*b*c", "a-c-b"),
            ("*x", "xy"),
            ("ab*b", "ab"),
            ("", "a"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
