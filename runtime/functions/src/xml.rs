//! `parse_xml`: the text of an element or an attribute.
//!
//! ```text
//! path = name *("/" name) ["/" "@" attribute]
//! name = element [ "[" (number | "@" attribute "=" quote value quote) "]" ]
//! ```
//!
//! Names are compared without their prefixes. Only the 5 entities of XML itself and character references are resolved: what a document
//! type declares never grows. What stands behind the element is not read, so a text that is cut off there still has a result.

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::{Made, Prepared, Value, Wrong};

/// The maximum of elements in a path.
const MAX_STEPS: usize = 50;

#[derive(Debug, PartialEq, Eq)]
struct XmlPath {
    steps: Vec<Step>,
    attribute: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    name: String,
    filter: Filter,
}

#[derive(Debug, PartialEq, Eq)]
enum Filter {
    Any,
    /// The element of so many with the name, from 1, as in XPath.
    Number(usize),
    /// The value of an attribute.
    Attribute(String, String),
}

/// Prepares `parse_xml(text, path)`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let text = settings.first().copied().unwrap_or_default();
    Ok(Box::new(XmlPath::parse(text)?))
}

impl XmlPath {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |reason: &str| {
            format!(
                "'{text}' is not a path of XML: {reason}; `Event/System/EventID`, `Event/EventData/Data[@Name='User']` and \
                 `Event/System/Provider/@Name` are paths"
            )
        };
        let mut path = Self {
            steps: Vec::new(),
            attribute: None,
        };
        let mut rest = text.strip_prefix('/').unwrap_or(text);
        loop {
            if let Some(name) = rest.strip_prefix('@') {
                if path.steps.is_empty() || !is_name(name) {
                    return Err(wrong("an attribute stands behind an element, at the end"));
                }
                path.attribute = Some(name.to_owned());
                return Ok(path);
            }
            let (name, after) = rest.split_at(rest.find(['/', '[']).unwrap_or(rest.len()));
            if !is_name(name) {
                return Err(wrong("the name of an element is empty or no name"));
            }
            let (filter, after) = match after.strip_prefix('[') {
                None => (Filter::Any, after),
                Some(inside) => filter(inside).ok_or_else(|| {
                    wrong("between `[` and `]` stands a number from 1 or `@name='value'`")
                })?,
            };
            path.steps.push(Step {
                name: name.to_owned(),
                filter,
            });
            if path.steps.len() > MAX_STEPS {
                return Err(wrong("50 elements are the maximum"));
            }
            rest = match after.strip_prefix('/') {
                Some(rest) => rest,
                None if after.is_empty() => return Ok(path),
                None => return Err(wrong("`/` stands between two elements")),
            };
        }
    }

    /// Reads a text up to the first element of the path, and returns what it says.
    fn find(&self, text: &str) -> Option<String> {
        let mut reader = Reader::from_str(text);
        let mut place = Place {
            counts: vec![0; self.steps.len()],
            ..Place::default()
        };
        loop {
            match reader.read_event().ok()? {
                Event::Start(element) => {
                    if let Some(found) = self.enter(&element, &mut place) {
                        return found;
                    }
                }
                Event::Empty(element) => {
                    if let Some(found) = self.enter(&element, &mut place) {
                        return found;
                    }
                    if place.leave(self.steps.len()) {
                        return Some(place.text);
                    }
                }
                Event::End(_) if place.leave(self.steps.len()) => return Some(place.text),
                Event::Text(text) if place.is_inside => {
                    place.text.push_str(&text.xml10_content().ok()?)
                }
                Event::CData(text) if place.is_inside => {
                    place.text.push_str(&text.xml10_content().ok()?)
                }
                Event::GeneralRef(reference) if place.is_inside => {
                    place.text.push(character(&reference)?)
                }
                Event::Eof => return None,
                _ => {}
            }
        }
    }

    /// Enters an element. Returns the result, which may be none, if it is that of an attribute.
    fn enter(&self, element: &BytesStart<'_>, place: &mut Place) -> Option<Option<String>> {
        place.depth += 1;
        if place.is_inside || place.matched + 1 != place.depth {
            return None;
        }
        let step = self.steps.get(place.matched)?;
        if element.local_name().as_ref() != step.name.as_bytes() {
            return None;
        }
        if let Some(count) = place.counts.get_mut(place.matched) {
            *count += 1;
        }
        let is_match = match &step.filter {
            Filter::Any => true,
            Filter::Number(number) => place.counts.get(place.matched) == Some(number),
            Filter::Attribute(name, value) => attribute(element, name).as_ref() == Some(value),
        };
        if !is_match {
            return None;
        }
        place.matched += 1;
        if let Some(count) = place.counts.get_mut(place.matched) {
            *count = 0;
        }
        if place.matched < self.steps.len() {
            return None;
        }
        match &self.attribute {
            // Another element of the path may have it.
            Some(name) => attribute(element, name).map(Some),
            None => {
                place.is_inside = true;
                None
            }
        }
    }
}

/// Where the reader is.
#[derive(Debug, Default)]
struct Place {
    depth: usize,
    /// How many of the open elements are those of the path.
    matched: usize,
    /// How many elements of the name of each step its parent has so far.
    counts: Vec<usize>,
    /// Whether the element is open whose text is wanted.
    is_inside: bool,
    text: String,
}

impl Place {
    /// Leaves an element; true if it is the one whose text is wanted.
    fn leave(&mut self, steps: usize) -> bool {
        self.depth = self.depth.saturating_sub(1);
        self.matched = self.matched.min(self.depth);
        self.is_inside && self.depth < steps
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '@', '[', ']', '=', '\'', '"', ' ', ':', '*'])
}

/// Reads what stands between `[` and `]`, and returns the text behind.
fn filter(text: &str) -> Option<(Filter, &str)> {
    let Some(attribute) = text.strip_prefix('@') else {
        let (number, rest) = text.split_once(']')?;
        let number = number.parse().ok().filter(|number| *number > 0)?;
        return Some((Filter::Number(number), rest));
    };
    let (name, quoted) = attribute.split_once('=')?;
    let quote = quoted.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (value, rest) = quoted.strip_prefix(quote)?.split_once(quote)?;
    let rest = rest.strip_prefix(']')?;
    is_name(name).then(|| (Filter::Attribute(name.to_owned(), value.to_owned()), rest))
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    // The check for equal names takes the square of their number.
    let mut attributes = element.attributes();
    let mut all = attributes.with_checks(false).filter_map(Result::ok);
    let found = all.find(|attribute| attribute.key.local_name().as_ref() == name.as_bytes())?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

fn character(reference: &BytesRef<'_>) -> Option<char> {
    if let Some(c) = reference.resolve_char_ref().ok()? {
        return Some(c);
    }
    let text = resolve_xml_entity(reference.decode().ok()?.as_ref())?;
    text.chars().next()
}

impl Prepared for XmlPath {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let found = self.find(text)?;
        Some(Value::text(found.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str, path: &str) -> Option<String> {
        match prepare(&[path]).unwrap().value(text) {
            Some(Value::Text(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    const EVENT: &str = r#"<?xml version="1.0"?>
<e:Event xmlns:e="urn:example"><System><Provider Name="Security &amp; more"/><EventID>4625</EventID></System>
  <Other><EventID>1</EventID></Other>
  <EventData>
    <Data Name="User">ada</Data><Data Name='Ip'> 192.0.2.1 </Data><Data Name="Note">a &lt; b &#x41;<![CDATA[ <x> ]]></Data>
    <Data/><Nested>one <b>two</b> three</Nested>
  </EventData>
  <EventData><Data Name="Late">x</Data></EventData>
</e:Event>"#;

    #[test]
    fn elements_and_attributes_are_found() {
        for (path, expected) in [
            ("Event/System/EventID", Some("4625")),
            ("/Event/System/EventID", Some("4625")),
            ("Event/System/Provider/@Name", Some("Security & more")),
            ("Event/System/Provider", Some("")),
            ("Event/EventData/Data[@Name='Ip']", Some("192.0.2.1")),
            ("Event/EventData/Data[@Name=\"Late\"]", Some("x")),
            ("Event/EventData/Data[2]/@Name", Some("Ip")),
            ("Event/EventData/Data", Some("ada")),
            ("Event/EventData/Data[4]", Some("")),
            ("Event/EventData[2]/Data[1]", Some("x")),
            ("Event/EventData/Nested", Some("one two three")),
            ("Event/EventData/Data[@Name='Note']", Some("a < b A <x>")),
            ("Event/EventID", None),
            ("System/EventID", None),
            ("Event/EventData/Data[9]", None),
            ("Event/System/Provider/@Guid", None),
        ] {
            assert_eq!(get(EVENT, path).as_deref(), expected, "{path}");
        }
        // What stands behind the element is not read.
        assert_eq!(get("<a><b>1</b><c", "a/b").as_deref(), Some("1"));
        for text in [
            "",
            "a",
            "<a><b>1",
            "<a><b>1</c></a>",
            "<a",
            "<a><b>&x;</b></a>",
            "<a><b>&</b></a>",
        ] {
            assert_eq!(get(text, "a/b"), None, "{text}");
        }
    }

    #[test]
    fn entities_of_a_document_type_do_not_grow() {
        let bomb = r#"<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><a><b>&y;</b><c k="&y;"/></a>"#;
        assert_eq!(get(bomb, "a/b"), None);
        assert_eq!(get(bomb, "a/c/@k"), None);
    }

    #[test]
    fn a_wrong_path_is_named() {
        for path in [
            "", "/", "a/", "a//b", "@a", "a[0]", "a[x]", "a[@b]", "a[@b='c'", "a/@b/c", "a:b",
            "a[1]b",
        ] {
            let wrong = prepare(&[path]).unwrap_err();
            assert!(wrong.contains("is not a path of XML"), "{wrong}");
        }
    }

    #[test]
    fn deep_and_long_texts_take_little() {
        for part in ["<a>", "<a><a/>", "<a b=''>", "&lt;", "<!--", "]]>"] {
            let _ = get(&format!("<a>{}", part.repeat(100_000)), "a/a/a/a");
        }
        let attributes: Vec<String> = (0..100_000).map(|at| format!("k{at}=''")).collect();
        let text = format!("<a {}/>", attributes.join(" "));
        assert_eq!(get(&text, "a/@k99999").as_deref(), Some(""));
    }
}
