//! The id of a rule in a run: its own or, where it has none, one made of what it says.

use sha2::{Digest, Sha256};

/// Letters of a title in an id; the rest of it is in the hash.
const LONGEST: usize = 60;

/// Returns an id in a run's form: Sigma's id, or the title and a hash of what the rule says.
///
/// Letters that an id cannot have are left out, so a hash of all of them takes their place: two titles, or two ids, that
/// differ are two ids.
pub(super) fn run_id(id: Option<&str>, title: &str, content: &str) -> String {
    match id.map(str::trim).filter(|id| !id.is_empty()) {
        Some(id)
            if id
                .chars()
                .any(|letter| letter.is_alphanumeric() && !letter.is_ascii()) =>
        {
            with_hash(&slug(id), &short_hash(id))
        }
        Some(id) => match slug(id) {
            slug if slug.is_empty() => with_hash("", &short_hash(id)),
            slug => slug,
        },
        None => {
            let slug = slug(title);
            let end = slug
                .char_indices()
                .nth(LONGEST)
                .map_or(slug.len(), |(at, _)| at);
            with_hash(slug[..end].trim_matches('-'), content)
        }
    }
}

fn with_hash(slug: &str, hash: &str) -> String {
    match slug {
        "" => format!("rule-{hash}"),
        slug => format!("{slug}-{hash}"),
    }
}

fn slug(text: &str) -> String {
    let mut id = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.') {
            id.push(letter.to_ascii_lowercase());
        } else if !id.ends_with('-') {
            id.push('-');
        }
    }
    id.trim_matches('-').to_owned()
}

/// Returns 12 hexadecimal digits.
pub(super) fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_titles_that_differ_are_two_ids() {
        let of = |id: Option<&str>, title: &str| run_id(id, title, "c0ffee");
        assert_eq!(of(Some("5f1C-a"), "x"), "5f1c-a");
        assert_eq!(of(Some("MANY failed"), "x"), "many-failed");
        assert_eq!(of(None, "Same title"), "same-title-c0ffee");
        assert_eq!(of(Some(" "), "Same title"), "same-title-c0ffee");
        assert_eq!(of(None, "権限昇格"), "rule-c0ffee");
        assert_eq!(of(None, ""), "rule-c0ffee");
        assert_eq!(of(None, &"long ".repeat(40)).len(), 59 + 7);
        let different = [
            "規則", "規約", "規則 1", "größe", "groesse", "gr-e", "—", "!",
        ];
        let mut ids: Vec<String> = different.iter().map(|id| of(Some(id), "x")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), different.len(), "{ids:?}");
        for id in &ids {
            assert!(
                id.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
                "{id}"
            );
        }
    }
}
