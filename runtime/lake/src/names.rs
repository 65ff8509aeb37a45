//! Names of files and objects as people may read them, whatever bytes they are made of.

use std::path::Path;

/// Returns a name with tabs, line ends, other controls and bytes that are not UTF-8 written as escapes: `a\tb`, `a\xffb`.
pub fn escaped(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                // What turns or hides the text beside it is no less confusing.
                '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}' => {
                    shown.extend(letter.escape_unicode());
                }
                letter if letter.is_control() => shown.extend(letter.escape_default()),
                letter => shown.push(letter),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Returns a path in the form of [`escaped`].
pub fn of_path(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_name_is_seen() {
        for (name, shown) in [
            (b"logs/a b.json".as_slice(), "logs/a b.json"),
            ("é刻\\".as_bytes(), "é刻\\"),
            (
                b"a\tb\nwarning: c\r\x1b[31m",
                "a\\tb\\nwarning: c\\r\\u{1b}[31m",
            ),
            (b"a\xff\xfeb\xc3", "a\\xff\\xfeb\\xc3"),
            ("x\u{202e}gpj".as_bytes(), "x\\u{202e}gpj"),
        ] {
            assert_eq!(escaped(name), shown);
        }
    }
}
