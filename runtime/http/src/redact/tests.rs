//! Forms of secrets that are found, and texts that stay unchanged.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;
use yagura_core::alert::hex;

use super::*;

const VALUE: &str = "s3cr/t+\"<ké> \u{7f}zz";

fn redactor() -> Redactor {
    let secrets = [
        ("A", VALUE.as_bytes()),
        ("HOOK", b"T0000/B0000/abcdefghijkl"),
        ("LONG", b"s3cr/t+ and more"),
    ];
    Redactor::new(secrets.into_iter())
}

fn redacted(secret: &[u8], text: &[u8]) -> Vec<u8> {
    let redactor = Redactor::new(std::iter::once(("S", secret)));
    redactor.bytes(text.to_vec()).unwrap()
}

#[test]
fn every_form_of_a_secret_is_found() {
    let json = serde_json::to_string(VALUE).unwrap();
    let json = json.trim_matches('"').to_owned();
    let percent = percent_encode(VALUE.as_bytes(), NON_ALPHANUMERIC).to_string();
    let form: String = url::form_urlencoded::byte_serialize(VALUE.as_bytes()).collect();
    for text in [
        VALUE.to_owned(),
        VALUE.to_uppercase(),
        hex(VALUE.as_bytes()),
        hex(VALUE.as_bytes()).to_ascii_uppercase(),
        percent.clone(),
        percent.to_ascii_lowercase(),
        json.clone(),
        json.replace('/', "\\/"),
        json.replace('é', "\\u00e9"),
        json.replace('<', "\\u003c").replace('>', "\\u003e"),
    ] {
        let found = redactor().text(format!("<{text}>"));
        assert_eq!(found, "<{{secret:A}}>", "{text}");
    }
    let found = redactor().text(form.clone());
    assert_eq!(found, "{{secret:A}}", "{form}");
}

#[test]
fn base64_is_found_wherever_it_begins() {
    for before in ["", "u", "us", "use", "user:", "a longer user:"] {
        for after in ["", "!", "!!", " and more"] {
            let text = format!("{before}{VALUE}{after}");
            for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                let found = redactor().text(encoded.clone());
                assert!(found.contains("{{secret:A}}"), "{text}: {found}");
                // The characters around it hold no byte of the secret.
                let kept = found.len() - "{{secret:A}}".len();
                let others = (before.len() + after.len()) * 8;
                assert!(kept <= others.div_ceil(6) + 4, "{text}: {found}");
            }
        }
    }
}

#[test]
fn the_longest_secret_wins_and_parts_of_a_path_are_found() {
    assert_eq!(
        redactor().text("x s3cr/t+ and more".to_owned()),
        "x {{secret:LONG}}"
    );
    assert_eq!(
        redactor().text("token abcdefghijkl of B0000".to_owned()),
        "token {{secret:HOOK}} of B0000"
    );
    let nothing = Redactor::new(std::iter::empty());
    assert_eq!(nothing.bytes(b"abc".to_vec()).unwrap(), b"abc");
}

#[test]
fn truncated_and_broken_secrets_are_found_whole() {
    let secret = b"Zx81-0123456789-abcdefXYZ";
    for (text, found) in [
        ("key Zx81-0123…", "key {{secret:S}}…"),
        ("ends in 9-abcdefXYZ.", "ends in {{secret:S}}."),
        ("<Zx81-012\r\n  3456789-\n\tabcdefXYZ>", "<{{secret:S}}>"),
        (
            "Z\0x\x008\x001\0-\x000\x001\x002\x003\x004\0",
            "{{secret:S}}\0",
        ),
        ("zX81-0123456789-ABCDEFxyz", "{{secret:S}}"),
        // Too short to identify it.
        ("Zx81-01 and defXYZ", "Zx81-01 and defXYZ"),
    ] {
        let shown = redacted(secret, text.as_bytes());
        assert_eq!(String::from_utf8_lossy(&shown), found, "{text:?}");
    }
}

#[test]
fn a_mail_that_quotes_a_secret_is_found_in_its_lines() {
    let secret = b"Zx81-0123456789-abcdefXYZ-0123456789";
    let mut base64 = String::new();
    let text = [&b"The token is "[..], secret, b", as you asked."].concat();
    for line in STANDARD.encode(text).as_bytes().chunks(20) {
        base64.push_str(&String::from_utf8_lossy(line));
        base64.push_str("\r\n");
    }
    let quoted = "Zx81-0123=\r\n45678=39-abcdef=58YZ-01=\r\n23456789";
    for text in [base64.as_str(), quoted] {
        let shown = redacted(secret, text.as_bytes());
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(shown.contains("{{secret:S}}"), "{shown}");
        // In JSON as well.
        let json = serde_json::to_vec(text).unwrap();
        let shown = redacted(secret, &json);
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(shown.contains("{{secret:S}}"), "{shown}");
    }
}

#[test]
fn common_beginnings_are_not_secret() {
    let hook = b"https://hooks.example/services/T01AB/B02CD/x9y8z7w6v5u4t3s2";
    for text in [
        "see https://hooks.example/docs and https://example.org",
        "{\"password\": \"\", \"token\": null}",
    ] {
        assert_eq!(redacted(hook, text.as_bytes()), text.as_bytes());
    }
    let shown = redacted(
        hook,
        b"POST https://hooks.example/services/T01AB/B02CD/x9 failed",
    );
    assert_eq!(shown, b"POST {{secret:S}} failed");
}

#[test]
fn a_bomb_is_kept_from_the_plugin() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let error = redactor().bytes(bomb.clone()).unwrap_err();
    assert_eq!(error, Unsearchable::Packed);
    // Without a secret there is nothing to search for.
    let nothing = Redactor::new(std::iter::empty());
    assert_eq!(nothing.bytes(bomb.clone()).unwrap(), bomb);
}

/// The processor time of a search grows with the size, also if everything seems to be encoded. The time of this thread alone counts,
/// so that other work on the machine does not matter.
#[test]
fn the_time_grows_with_the_size() {
    let secret = "ab".repeat(500);
    let redactor = Redactor::new(std::iter::once(("S", secret.as_bytes())));
    let time = |text: &[u8]| {
        let begin = cpu_time::ThreadTime::now();
        let _ = redactor.bytes(text.to_vec());
        begin.elapsed()
    };
    for piece in [
        &b"ab"[..],
        b"%41%61&#",
        b"\\u0061=\n",
        b"&\n\n\n\n%\n\n\n\\",
        b"6162",
        b"x\x9cab",
        b"YWJh",
    ] {
        let small = time(&piece.repeat(20_000 / piece.len()));
        let large = time(&piece.repeat(200_000 / piece.len()));
        assert!(
            large < small * 40 + std::time::Duration::from_millis(200),
            "{piece:?}: {small:?}, {large:?}"
        );
    }
}

/// Characters that a server escapes if it escapes only some.
const SOME: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'/');

/// An encoding as servers apply it.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Base64,
    UrlSafe,
    MimeLines,
    Hex,
    Percent,
    PercentSome,
    Form,
    Json,
    JsonAscii,
    Unicode,
    HtmlNamed,
    HtmlDecimal,
    HtmlHex,
    Quoted,
    Upper,
    Lower,
    FirstPart,
    LastPart,
    Lines,
    Gzip,
    Zlib,
    Zstd,
    Surrounded,
}

use Encoding::{
    Base64, FirstPart, Form, Gzip, Hex, HtmlDecimal, HtmlHex, HtmlNamed, Json, JsonAscii, LastPart,
    Lines, Lower, MimeLines, Percent, PercentSome, Quoted, Surrounded, Unicode, Upper, UrlSafe,
    Zlib, Zstd,
};

const ENCODINGS: [Encoding; 23] = [
    Base64,
    UrlSafe,
    MimeLines,
    Hex,
    Percent,
    PercentSome,
    Form,
    Json,
    JsonAscii,
    Unicode,
    HtmlNamed,
    HtmlDecimal,
    HtmlHex,
    Quoted,
    Upper,
    Lower,
    FirstPart,
    LastPart,
    Lines,
    Gzip,
    Zlib,
    Zstd,
    Surrounded,
];

impl Encoding {
    /// Returns whether it encodes text only.
    fn is_of_text(self) -> bool {
        matches!(
            self,
            Json | JsonAscii | Unicode | HtmlNamed | HtmlDecimal | HtmlHex
        )
    }

    /// Returns whether its output can be changed or cut and still be decoded.
    fn is_robust(self) -> bool {
        !matches!(self, Gzip | Zlib | Zstd)
    }

    fn apply(self, bytes: &[u8]) -> Vec<u8> {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        let each = |write: &dyn Fn(char) -> String| -> Vec<u8> {
            text().chars().map(write).collect::<String>().into_bytes()
        };
        let lines =
            |bytes: &[u8], size: usize| bytes.chunks(size).collect::<Vec<_>>().join(&b"\r\n"[..]);
        match self {
            Base64 => STANDARD.encode(bytes).into_bytes(),
            UrlSafe => URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
            MimeLines => lines(STANDARD.encode(bytes).as_bytes(), 20),
            Hex => hex(bytes).into_bytes(),
            Percent => percent_encode(bytes, NON_ALPHANUMERIC)
                .to_string()
                .into_bytes(),
            PercentSome => percent_encode(bytes, SOME).to_string().into_bytes(),
            Form => url::form_urlencoded::byte_serialize(bytes)
                .collect::<String>()
                .into_bytes(),
            Json => {
                let json = serde_json::to_string(&text()).unwrap();
                json[1..json.len() - 1].replace('/', "\\/").into_bytes()
            }
            JsonAscii => each(&|c| match c {
                '"' | '\\' => format!("\\{c}"),
                ' '..='~' => c.to_string(),
                c => c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect(),
            }),
            Unicode => each(&|c| {
                let mut units = [0; 2];
                let units = c.encode_utf16(&mut units);
                units.iter().map(|unit| format!("\\u{unit:04X}")).collect()
            }),
            HtmlNamed => each(&|c| match c {
                '&' => "&amp;".to_owned(),
                '<' => "&lt;".to_owned(),
                '>' => "&gt;".to_owned(),
                '"' => "&quot;".to_owned(),
                '/' => "&sol;".to_owned(),
                'é' => "&eacute;".to_owned(),
                c => c.to_string(),
            }),
            HtmlDecimal => each(&|c| format!("&#{};", u32::from(c))),
            HtmlHex => each(&|c| format!("&#x{:X};", u32::from(c))),
            Quoted => {
                let mut quoted = Vec::new();
                for (at, byte) in bytes.iter().enumerate() {
                    if at % 11 == 10 {
                        quoted.extend(b"=\r\n");
                    }
                    match byte {
                        b'=' | 0..=0x1f | 0x7f.. => quoted.extend(format!("={byte:02X}").bytes()),
                        byte => quoted.push(*byte),
                    }
                }
                quoted
            }
            Upper => bytes.to_ascii_uppercase(),
            Lower => bytes.to_ascii_lowercase(),
            FirstPart => bytes[..bytes.len() - bytes.len() / 3].to_vec(),
            LastPart => bytes[bytes.len() / 3..].to_vec(),
            Lines => lines(bytes, 7),
            Gzip => {
                let mut packed = GzEncoder::new(Vec::new(), Compression::default());
                packed.write_all(bytes).unwrap();
                packed.finish().unwrap()
            }
            Zlib => {
                let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
                packed.write_all(bytes).unwrap();
                packed.finish().unwrap()
            }
            Zstd => zstd::encode_all(bytes, 3).unwrap(),
            Surrounded => [b"{\"a\":\"", bytes, b"\"}"].concat(),
        }
    }
}

/// Returns whether a secret in these two encodings, the inner one first, must be found.
fn is_promised(inner: Encoding, outer: Encoding) -> bool {
    let changes = |encoding| matches!(encoding, Upper | Lower | FirstPart | LastPart | Lines);
    // Text encodings take text.
    if outer.is_of_text() && !inner.is_robust() {
        return false;
    }
    // Compressed data that was changed cannot be decoded.
    if !inner.is_robust() && changes(outer) {
        return false;
    }
    match (inner, outer) {
        // Cut at both ends, or twice.
        (FirstPart | LastPart, FirstPart | LastPart) => false,
        // Base64 in another case is found whole only.
        (Base64 | UrlSafe | MimeLines, Upper | Lower) => true,
        // Quoted-printable has its own lines.
        (Quoted, Lines) => false,
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_secret_passes_in_two_encodings(
        secret in "[a-zA-Z0-9]{4}[a-zA-Z0-9_/+=é<&%\\\\ -]{12,40}[a-zA-Z0-9]{8}",
        inner in prop::sample::select(ENCODINGS.to_vec()),
        outer in prop::sample::select(ENCODINGS.to_vec()),
        around in "[ -~]{0,20}",
        is_one in any::<bool>(),
    ) {
        prop_assume!(is_one || is_promised(inner, outer));
        let mut encoded = inner.apply(secret.as_bytes());
        // An encoding of text cannot take half a character, which a cut may leave.
        let is_cut = matches!(inner, Lines | FirstPart | LastPart);
        prop_assume!(is_one || !is_cut || std::str::from_utf8(&encoded).is_ok());
        if !is_one {
            encoded = outer.apply(&encoded);
        }
        let text = [around.as_bytes(), b"\x02", &encoded, b"\x02", around.as_bytes()].concat();
        let shown = redacted(secret.as_bytes(), &text);
        let placeholder = b"{{secret:S}}";
        prop_assert!(
            shown.windows(placeholder.len()).any(|window| window == placeholder),
            "{:?}", String::from_utf8_lossy(&shown)
        );
        // The rest at either end is too short to identify it.
        let left = shown.len().saturating_sub(2 * around.len() + 2 + placeholder.len());
        prop_assert!(
            left <= encoded.len() / 2,
            "{} of {}: {:?}", left, encoded.len(), String::from_utf8_lossy(&shown)
        );
    }

    #[test]
    fn text_without_a_secret_is_unchanged(
        secret in "[a-zA-Z0-9]{16,60}",
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..2000),
            "[ -~\\n]{0,2000}".prop_map(String::into_bytes),
            "([a-zA-Z0-9+/]{76}\r\n){0,20}".prop_map(String::into_bytes),
            "(%[0-9a-f]{2}|&#[0-9]{2};|[a-z ]{5}|\\\\u00[0-9a-f]{2}){0,200}".prop_map(String::into_bytes),
        ],
        encoding in prop::sample::select(vec![Base64, Hex, Quoted, Gzip, Zstd, Percent, MimeLines]),
    ) {
        prop_assert_eq!(redacted(secret.as_bytes(), &text), text.clone());
        let encoded = encoding.apply(&text);
        prop_assert_eq!(redacted(secret.as_bytes(), &encoded), encoded);
    }
}
