//! Azure's lists of objects, made fit to be read: its client refuses a whole page for one name that it cannot use.
//!
//! ```text
//! the server's page ─▶ each name that no object can have ─▶ a hidden name that holds it ─▶ the client ─▶ the name itself, to be told
//! ```
//!
//! S3 and Google Cloud Storage go on behind a name that is given (`list.rs`); Azure's servers of today do not.

use std::future::Future;
use std::pin::Pin;

use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use object_store::path::Path;
use object_store::{ClientOptions, Error as StoreError};
use yagura_core::alert::hex;

use crate::names::escaped;

/// What the last part of a name begins with that stands for another one.
const MARK: &str = ".odd-name-";

/// Returns the name for which another one stands, as people may read it.
pub(crate) fn odd_name(object: &Path) -> Option<String> {
    let digits = object.filename()?.strip_prefix(MARK)?;
    let digit = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len()).step_by(2).map(digit);
    let name = bytes.collect::<Option<Vec<u8>>>()?;
    let parent = object.as_ref().rsplit_once('/');
    let parent = parent.map_or_else(String::new, |(parent, _)| format!("{parent}/"));
    Some(parent + &escaped(&name))
}

/// Makes clients that read lists so.
#[derive(Debug, Default)]
pub(crate) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient, StoreError> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Lists(client)))
    }
}

#[derive(Debug)]
struct Lists(HttpClient);

type HttpAnswer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Lists {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> HttpAnswer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let query = request.uri().query().unwrap_or_default();
        let is_list = request.method() == "GET" && query.split('&').any(|of| of == "comp=list");
        Box::pin(async move {
            let response = self.0.execute(request).await?;
            if !is_list || !response.status().is_success() {
                return Ok(response);
            }
            let (mut parts, body) = response.into_parts();
            let page = body.bytes().await?;
            parts.headers.remove("content-length");
            let page = usable(&page).map(Into::into).unwrap_or(page);
            Ok(HttpResponse::from_parts(
                parts,
                HttpResponseBody::from(page),
            ))
        })
    }
}

/// Returns a page in which each name can be that of an object; nothing where it is so already.
fn usable(page: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(page).ok()?;
    let mut written = String::with_capacity(text.len());
    let mut is_other = false;
    let mut rest = text;
    while let Some((before, element)) = rest.split_once("<Name") {
        written.push_str(before);
        let parts = element.split_once('>').and_then(|(attributes, after)| {
            let is_name = attributes.is_empty() || attributes.starts_with(char::is_whitespace);
            let (content, after) = after.split_once("</Name>")?;
            (is_name && !attributes.ends_with('/')).then_some((attributes, content, after))
        });
        let Some((attributes, content, after)) = parts else {
            written.push_str("<Name");
            rest = element;
            continue;
        };
        let is_encoded = attributes.contains("Encoded=\"true\"");
        let name = name_of(content, is_encoded);
        let plain = std::str::from_utf8(&name)
            .ok()
            .filter(|name| is_usable(name));
        match plain {
            Some(_) if !is_encoded => {
                written.push_str("<Name>");
                written.push_str(content);
            }
            Some(name) => {
                is_other = true;
                written.push_str("<Name>");
                written.push_str(&quoted(name));
            }
            None => {
                is_other = true;
                written.push_str("<Name>");
                written.push_str(&quoted(&hidden(&name)));
            }
        }
        written.push_str("</Name>");
        rest = after;
    }
    written.push_str(rest);
    is_other.then(|| written.into_bytes())
}

/// Says whether an object can have this name.
fn is_usable(name: &str) -> bool {
    !name.starts_with('/') && Path::parse(name).is_ok()
}

/// Returns a hidden name below the same folder, as far as that can be used.
fn hidden(name: &[u8]) -> String {
    let mut folder = String::new();
    let mut rest = name;
    while let Some(end) = rest.iter().position(|byte| *byte == b'/') {
        let part = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        if part.is_empty() || !is_usable(part) {
            break;
        }
        folder.push_str(part);
        folder.push('/');
        rest = &rest[end + 1..];
    }
    format!("{folder}{MARK}{}", hex(rest))
}

/// Reads a name as XML writes it, and Azure what XML cannot.
fn name_of(content: &str, is_encoded: bool) -> Vec<u8> {
    let mut name = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((before, entity)) = rest.split_once('&') {
        name.extend_from_slice(before.as_bytes());
        let read = entity.split_once(';').and_then(|(entity, after)| {
            let letter = match entity {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                number => {
                    let number = number.strip_prefix('#')?;
                    let number = match number.strip_prefix('x') {
                        Some(digits) => u32::from_str_radix(digits, 16),
                        None => number.parse(),
                    };
                    char::from_u32(number.ok()?)?
                }
            };
            Some((letter, after))
        });
        match read {
            Some((letter, after)) => {
                name.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            None => {
                name.push(b'&');
                rest = entity;
            }
        }
    }
    name.extend_from_slice(rest.as_bytes());
    if !is_encoded {
        return name;
    }
    let mut decoded = Vec::with_capacity(name.len());
    let mut bytes = name.as_slice();
    while let [byte, after @ ..] = bytes {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, value) {
            (b'%', Some(value)) => {
                decoded.push(value);
                bytes = &after[2..];
            }
            _ => {
                decoded.push(*byte);
                bytes = after;
            }
        }
    }
    decoded
}

/// Writes a name as XML does.
fn quoted(name: &str) -> String {
    name.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_object_can_have_stand_as_hidden_ones() {
        let page = "<Blobs><Blob><Name>t/ok &amp; 100%25.parquet</Name><Size>1</Size></Blob>\
            <Blob><Name>t/a\tb.parquet</Name></Blob><Blob><Name>t/&#xD;&#10;</Name></Blob>\
            <Blob><Name>t//empty.parquet</Name></Blob><Blob><Name>t/x/../y&lt;.parquet</Name></Blob>\
            <Blob><Name Encoded=\"true\">t/%EF%BF%BE%01.parquet</Name></Blob>\
            <Blob><Name Encoded=\"true\">t/%C3%A9 b%2.parquet</Name></Blob><BlobPrefix><Name>t/\u{7f}/</Name></BlobPrefix>\
            <Blob><Name>/t</Name></Blob><Names>x\t</Names><Name/></Blobs><NextMarker>a\tb</NextMarker>";
        let read = String::from_utf8(usable(page.as_bytes()).unwrap()).unwrap();
        let names = read.split("<Name>").skip(1);
        let names: Vec<&str> = names.map(|of| of.split_once('<').unwrap().0).collect();
        assert_eq!(names[0], "t/ok &amp; 100%25.parquet");
        assert_eq!(names[6], "t/é b%2.parquet");
        let odd = |name: &str| odd_name(&Path::parse(name).unwrap());
        let told: Vec<Option<String>> = names.iter().map(|name| odd(name)).collect();
        let told: Vec<&str> = told.iter().flatten().map(String::as_str).collect();
        assert_eq!(
            told,
            [
                "t/a\\tb.parquet",
                "t/\\r\\n",
                "t//empty.parquet",
                "t/x/../y<.parquet",
                "t/\u{fffe}\\u{1}.parquet",
                "t/\\u{7f}/",
                "/t",
            ]
        );
        assert!(read.contains("<Size>1</Size>"), "{read}");
        assert!(read.ends_with("<Names>x\t</Names><Name/></Blobs><NextMarker>a\tb</NextMarker>"));
        // What stands is left as it is.
        assert_eq!(usable(b"<Blob><Name>t/a &amp; b</Name></Blob>"), None);
        assert_eq!(usable(b"<Name><Name"), None);
        assert_eq!(odd("t/.odd-name-zz"), None);
        assert_eq!(odd("t/.odd-name-123"), None);
        assert_eq!(odd("t/a.parquet"), None);
    }
}
