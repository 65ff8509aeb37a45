//! Upper and lower case as one: the simple case folding of Unicode, one character for one.
//!
//! Lower case alone would not do. A final sigma `ς`, a `σ` and a `Σ` are one letter, as are `ß` and `ẞ`, `k` and the sign
//! of Kelvin, `s` and the long `ſ`; each pair has different lower cases. Simple folding maps each character to one
//! character, so that `?` in a pattern still stands for one. Hence `ß` is not `ss`, and `İ` is neither `i` nor `I`.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// Characters of a page of the table.
const PAGE: usize = 256;

/// What each character is folded to, by page; pages of characters without case are absent.
static PAGES: LazyLock<Vec<Option<Box<[char; PAGE]>>>> = LazyLock::new(pages);

/// Returns the text with its case folded.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    Cow::Owned(folded)
}

/// Replaces what is in `folded` by the text with its case folded.
#[inline]
pub fn fold_into(text: &str, folded: &mut String) {
    folded.clear();
    if text.is_ascii() {
        folded.push_str(text);
        folded.make_ascii_lowercase();
        return;
    }
    let pages = &*PAGES;
    folded.extend(text.chars().map(|letter| folded_by(pages, letter)));
}

fn folded_by(pages: &[Option<Box<[char; PAGE]>>], letter: char) -> char {
    let code = letter as usize;
    match pages.get(code / PAGE) {
        Some(Some(page)) => page[code % PAGE],
        _ => letter,
    }
}

fn pages() -> Vec<Option<Box<[char; PAGE]>>> {
    let mut pages = vec![None; char::MAX as usize / PAGE + 1];
    let has_case = |letter: &char| {
        letter.to_lowercase().ne(std::iter::once(*letter))
            || letter.to_uppercase().ne(std::iter::once(*letter))
    };
    for letter in ('\0'..=char::MAX).filter(has_case) {
        let folded = representative(letter);
        if folded == letter {
            continue;
        }
        let code = letter as usize;
        let page = pages[code / PAGE].get_or_insert_with(|| {
            let first = code / PAGE * PAGE;
            Box::new(std::array::from_fn(|place| {
                let code = u32::try_from(first + place).unwrap_or_default();
                char::from_u32(code).unwrap_or_default()
            }))
        });
        page[code % PAGE] = folded;
    }
    pages
}

/// Returns the one of a character's other cases that stands for all of them: lower case, of ASCII where there is one.
fn representative(letter: char) -> char {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(letter, letter)]);
    if class.try_case_fold_simple().is_err() {
        return lower(letter);
    }
    let cases: Vec<char> = class
        .iter()
        .flat_map(|range| range.start()..=range.end())
        .collect();
    let lower_of =
        |case: &char| Some(lower(*case)).filter(|lower| lower != case && cases.contains(lower));
    let found = cases.iter().find_map(lower_of);
    found.or(cases.first().copied()).unwrap_or(letter)
}

/// Returns the lower case where that is one character.
fn lower(letter: char) -> char {
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The orbit of each letter that has other cases, written down by hand from `CaseFolding.txt` (status C and S).
    #[test]
    fn letters_of_one_kind_are_one() {
        for cases in [
            "kK\u{212a}",
            "sSſ",
            "σςΣ",
            "ßẞ",
            "åÅ\u{212b}",
            "µμΜ",
            "βϐΒ",
            "θϑΘϴ",
            "φϕΦ",
            "ωΩ\u{2126}",
            "ǆǅǄ",
            "яЯ",
            "ꭰᎠ",
            "ⅷⅧ",
            "ⓐⒶ",
            "ａＡ",
            "𐐨𐐀",
            "ιι\u{345}Ι",
            "öÖ",
            "ﬆﬅ",
        ] {
            let folded: Vec<String> = cases
                .chars()
                .map(|case| fold(&case.to_string()).into_owned())
                .collect();
            assert!(
                folded.iter().all(|case| *case == folded[0]),
                "{cases}: {folded:?}"
            );
            assert!(cases.contains(&folded[0]), "{cases}: {folded:?}");
        }
        // These have no other case, or one of several characters, which simple folding leaves alone.
        for letter in ["İ", "ı", "ŉ", "ﬁ", "漢", "ª", "ﬀ"] {
            assert_eq!(fold(letter), letter);
        }
        assert_ne!(fold("ß"), fold("ss"));
        assert_eq!(fold("ΟΔΟΣ οδος Größe K"), fold("οδοσ ΟΔΟΣ GRÖẞE k"));
        assert_eq!(fold("Straße"), "straße");
    }

    #[test]
    fn folding_is_that_of_regular_expressions_and_of_ascii() {
        for letter in '\0'..=char::MAX {
            let folded = fold(&letter.to_string()).into_owned();
            let mut again = folded.chars();
            let (one, more) = (again.next().unwrap(), again.next());
            assert_eq!(more, None, "{letter:?}");
            assert_eq!(
                fold(&folded),
                folded,
                "{letter:?} is folded once and for all"
            );
            if letter.is_ascii() {
                assert_eq!(one, letter.to_ascii_lowercase());
            }
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(letter, letter)]);
            class.try_case_fold_simple().unwrap();
            for case in class.iter().flat_map(|range| range.start()..=range.end()) {
                assert_eq!(fold(&case.to_string()), folded, "{letter:?} and {case:?}");
            }
        }
    }
}
