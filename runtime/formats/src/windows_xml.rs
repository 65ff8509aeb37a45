//! Events of Windows as XML: one `<Event>` element becomes one event.
//!
//! ```text
//! event   = "<Event" attributes ">" "<System>" … "</System>" [EventData] [UserData] [RenderingInfo] "</Event>"
//! damaged = "<?damaged " reason "?>"       a record of an EVTX file that could not be read
//! ```
//!
//! The event has the shape of `evtx_dump`, which Sigma's rules for Windows read: `Event.System.EventID`,
//! `Event.System.Provider.#attributes.Name`, `Event.EventData.TargetUserName`.
//!
//! * An element is its text, or `null` without one. If it has attributes, it is an object with `#attributes`, and with `#text` for
//!   text. Elements inside are members; a name that occurs again becomes an array.
//! * In `EventData`, a `Data` with a name is the member of that name and empty text if it is empty. Those without a name are
//!   the array `Data`.
//! * A comment or a processing instruction inside an event is the member `#comment`. Windows writes none.
//! * In `System`, what the schema says is a number is one, as far as no digit is lost. All else is text.
//!
//! EVTX files are read as the same XML ([`crate::Evtx`]), so an event has one shape, whichever way it came.
//!
//! Sources: the schema of events, <https://learn.microsoft.com/en-us/windows/win32/wes/eventschema-schema>;
//! XML 1.0, <https://www.w3.org/TR/xml/>.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use crate::member::add;
use crate::parts::{number, wrong};
use crate::{Decode, Decoded, Wrong};

/// How deep elements may lie in one another.
const DEEPEST: usize = 64;
/// What a line begins with that stands for a damaged record.
pub(crate) const DAMAGED: &str = "<?damaged ";

/// Elements and attributes of `System` that are numbers.
const NUMBERS: [&str; 14] = [
    "EventID",
    "Version",
    "Level",
    "Task",
    "Opcode",
    "EventRecordID",
    "Qualifiers",
    "ProcessID",
    "ThreadID",
    "ProcessorID",
    "SessionID",
    "KernelTime",
    "UserTime",
    "ProcessorTime",
];

/// Reads events of Windows as XML. It keeps nothing between events.
#[derive(Debug, Default)]
pub(crate) struct WindowsXml;

impl WindowsXml {
    /// Returns a decoder.
    pub(crate) fn new() -> Self {
        Self
    }
}

impl Decode for WindowsXml {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let text = line.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
        if text.is_empty() || is_wrapper(text) {
            return Ok(Decoded::Nothing);
        }
        if let Some(reason) = text.strip_prefix(DAMAGED) {
            // A file may hold such a line that no reader of EVTX wrote.
            let reason = match reason.trim_end_matches("?>").trim() {
                "" => "it stands for a damaged record",
                reason => reason,
            };
            return Err(wrong(reason, 0));
        }
        let start = line.len()
            - line
                .trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace())
                .len();
        read(text).map(Decoded::Event).map_err(|error| Wrong {
            at: floor(line, start + error.at),
            ..error
        })
    }
}

/// Says whether a text is only what may stand around events: a declaration, `<Events>` or `</Events>`.
fn is_wrapper(text: &str) -> bool {
    let is_declaration = text.starts_with("<?xml") && text.find("?>") == Some(text.len() - 2);
    let is_tag = ["<Events", "</Events"]
        .iter()
        .any(|start| text.starts_with(start))
        && text.find('>') == Some(text.len() - 1);
    is_declaration || is_tag
}

/// Returns the last boundary of a character at or before a place.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// An element that is being read.
#[derive(Default)]
struct Element {
    name: String,
    attributes: Map<String, Value>,
    members: Map<String, Value>,
    text: String,
    has_elements: bool,
}

/// Reads one element `<Event>`, with nothing but declarations and comments around it.
fn read(text: &str) -> Result<Map<String, Value>, Wrong> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut found = None;
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or_default();
        let event = reader.read_event().map_err(|error| {
            let at = usize::try_from(reader.error_position()).unwrap_or_default();
            wrong(format!("the XML of the event is damaged: {error}"), at)
        })?;
        let outside = |what: &str| wrong(format!("{what} stands outside of an <Event>"), at);
        match event {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) if open.is_empty() && found.is_some() => {
                let name = name_of(&tag);
                return Err(outside(&format!("<{name}>")));
            }
            Event::Start(tag) => {
                if open.is_empty() && name_of(&tag) != "Event" {
                    return Err(outside(&format!("<{}>", name_of(&tag))));
                }
                if open.len() >= DEEPEST {
                    let reason = format!("more than {DEEPEST} elements lie in one another");
                    return Err(wrong(reason, at));
                }
                open.push(element(&tag, &open, at)?);
            }
            Event::Empty(tag) => {
                if open.is_empty() && name_of(&tag) != "Event" {
                    return Err(outside(&format!("<{}>", name_of(&tag))));
                }
                let empty = element(&tag, &open, at)?;
                close(empty, &mut open, &mut found);
            }
            Event::End(_) => {
                if let Some(closed) = open.pop() {
                    close(closed, &mut open, &mut found);
                }
            }
            Event::Text(part) => {
                let part = String::from_utf8_lossy(&part);
                put_text(&part, &mut open).map_err(|()| outside("text"))?;
            }
            Event::CData(part) => {
                let part = String::from_utf8_lossy(&part);
                put_text(&part, &mut open).map_err(|()| outside("text"))?;
            }
            Event::GeneralRef(name) => {
                let part = format!("&{};", String::from_utf8_lossy(&name));
                put_text(&unescaped(&part), &mut open).map_err(|()| outside("text"))?;
            }
            Event::Comment(part) => put_comment(&String::from_utf8_lossy(&part), &mut open),
            Event::PI(part) => {
                put_comment(&format!("?{}?", String::from_utf8_lossy(&part)), &mut open);
            }
            Event::Decl(_) | Event::DocType(_) => {}
        }
    }
    if let Some(last) = open.last() {
        let reason = format!("the element <{}> is not closed", last.name);
        return Err(wrong(reason, text.len()));
    }
    let event = found.ok_or_else(|| wrong("no <Event> is here", 0))?;
    Ok([("Event".to_owned(), event)].into_iter().collect())
}

fn name_of(tag: &BytesStart<'_>) -> String {
    String::from_utf8_lossy(tag.name().as_ref()).into_owned()
}

fn element(tag: &BytesStart<'_>, open: &[Element], at: usize) -> Result<Element, Wrong> {
    let is_in_system = is_in_system(open);
    let mut attributes = Map::new();
    for attribute in tag.attributes().with_checks(false) {
        let attribute =
            attribute.map_err(|error| wrong(format!("an attribute is damaged: {error}"), at))?;
        let name = String::from_utf8_lossy(attribute.key.as_ref());
        let value = unescaped(&String::from_utf8_lossy(&attribute.value));
        add(&mut attributes, &name, typed(&name, value, is_in_system));
    }
    Ok(Element {
        name: name_of(tag),
        attributes,
        ..Element::default()
    })
}

/// Says whether what lies in the innermost open element belongs to `System`.
fn is_in_system(open: &[Element]) -> bool {
    open.get(1).is_some_and(|element| element.name == "System")
}

fn typed(name: &str, text: String, is_in_system: bool) -> Value {
    let as_number = (is_in_system && NUMBERS.contains(&name))
        .then(|| number(&text))
        .flatten();
    as_number.unwrap_or(Value::String(text))
}

fn put_text(part: &str, open: &mut [Element]) -> Result<(), ()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(part),
        None if part
            .trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace())
            .is_empty() => {}
        None => return Err(()),
    }
    Ok(())
}

/// Keeps a comment or a processing instruction inside an event: it may hide what somebody wanted to be unseen.
fn put_comment(text: &str, open: &mut [Element]) {
    if let Some(element) = open.last_mut() {
        element.has_elements = true;
        add(&mut element.members, "#comment", text);
    }
}

/// Turns an element that was closed into a value, and adds it to the one around it.
fn close(element: Element, open: &mut [Element], found: &mut Option<Value>) {
    let is_in_system = is_in_system(open);
    let Some(parent) = open.last_mut() else {
        *found = Some(value(element, false, is_in_system));
        return;
    };
    parent.has_elements = true;
    let is_data = element.name == "Data" && parent.name == "EventData";
    if !is_data {
        let name = element.name.clone();
        add(
            &mut parent.members,
            &name,
            value(element, false, is_in_system),
        );
        return;
    }
    let mut element = element;
    match element.attributes.shift_remove("Name") {
        Some(Value::String(name)) => {
            let value = value(element, true, false);
            add(&mut parent.members, &name, value);
        }
        _ => {
            let value = value(element, true, false);
            let all = parent
                .members
                .entry("Data")
                .or_insert_with(|| Value::Array(Vec::new()));
            match all {
                Value::Array(values) => values.push(value),
                first => *first = Value::Array(vec![first.take(), value]),
            }
        }
    }
}

fn value(element: Element, is_data: bool, is_in_system: bool) -> Value {
    let Element {
        name,
        attributes,
        mut members,
        text,
        has_elements,
    } = element;
    // Between elements, blanks are only for the eye.
    let has_text = if has_elements {
        !text.trim().is_empty()
    } else {
        !text.is_empty()
    };
    if attributes.is_empty() && members.is_empty() {
        return match has_text {
            true => typed(&name, text, is_in_system),
            false if is_data => Value::String(String::new()),
            false => Value::Null,
        };
    }
    let mut all = Map::new();
    if !attributes.is_empty() {
        all.insert("#attributes".to_owned(), Value::Object(attributes));
    }
    if has_text {
        add(&mut all, "#text", typed(&name, text, is_in_system));
    }
    all.append(&mut members);
    Value::Object(all)
}

/// Replaces the references of XML. What is not one stays as it is written.
pub(crate) fn unescaped(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        found.push_str(before);
        // The longest is `&#x10FFFF;`, with some zeros more.
        let end = after.bytes().take(16).position(|byte| byte == b';');
        let name = end.and_then(|end| after.get(..end));
        match name.and_then(character) {
            Some(c) => {
                found.push(c);
                rest = after
                    .get(name.map_or(0, str::len) + 1..)
                    .unwrap_or_default();
            }
            None => {
                found.push('&');
                rest = after;
            }
        }
    }
    found.push_str(rest);
    found
}

fn character(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    })
}

/// Says whether a text begins with an event of Windows, or with a list of them.
pub(crate) fn looks_like(start: &str) -> bool {
    let mut rest = start.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    loop {
        let is_tag = |name: &str| {
            let behind = rest.strip_prefix(name).map(|rest| rest.chars().next());
            matches!(behind, Some(Some(c)) if c.is_whitespace() || c == '>')
        };
        if rest.starts_with(DAMAGED) {
            return true;
        }
        if is_tag("<Event") {
            return rest.contains("<System") || rest.contains("/win/2004/08/events/event");
        }
        let end = match rest.get(..4) {
            Some("<?xm") => "?>",
            Some("<!--") => "-->",
            _ if is_tag("<Events") => ">",
            _ => return false,
        };
        let Some((_, behind)) = rest.split_once(end) else {
            return false;
        };
        rest = behind.trim_start();
    }
}

#[cfg(test)]
mod tests;
