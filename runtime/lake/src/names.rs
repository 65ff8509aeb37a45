//! Names of files and objects, made safe to show, whatever bytes they consist of.

use std::path::Path;

use yagura_core::shown::printable;

/// Returns a name with escaped tabs, line ends, invisible characters and bytes that are not UTF-8: `a\tb`, `a\xffb`.
pub fn escaped(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        shown.push_str(&printable(chunk.valid()));
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
    fn every_byte_of_a_name_is_visible() {
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
