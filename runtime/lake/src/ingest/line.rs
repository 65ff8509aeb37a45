//! The events of a piece of text: one object, an array or an envelope of them, or several of these one after another.

use yagura_core::json::{Cursor, JsonError, Kind};

use super::event::{Member, enveloped, members};
use super::kinds::is_blank;

/// What stands in a piece.
#[derive(Debug)]
pub(crate) enum Found<'t> {
    Event {
        text: &'t str,
        members: Vec<Member<'t>>,
    },
    Wrong(Wrong<'t>),
}

/// A stretch of a piece that is not an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong<'t> {
    pub(crate) text: &'t str,
    /// Where it begins in the piece.
    pub(crate) start: usize,
    /// Where in the piece the fault is seen.
    pub(crate) at: usize,
    pub(crate) reason: &'static str,
    /// Whether it could be the beginning of an event.
    pub(crate) is_open: bool,
    /// Whether the piece ends with it.
    pub(crate) is_end: bool,
}

/// So many events of one value are kept while all of it is checked. Of a longer one each event is read a second time, so that a line of
/// millions of small events needs no more memory than its text.
const KEPT_EVENTS: usize = 1_024;

/// Gives the events of a piece to `each`, one after another. A value that is none does not hide those before it, nor those behind the
/// next zeros, where a hole was torn.
///
/// # Errors
/// That of `each`.
pub(crate) fn scan<'t, E>(
    text: &'t str,
    mut each: impl FnMut(Found<'t>) -> Result<(), E>,
) -> Result<(), E> {
    // Nearly all pieces are one event.
    if let Ok(found) = members(text)
        && enveloped(&found).is_none()
    {
        return each(Found::Event {
            text,
            members: found,
        });
    }
    let mut at = 0;
    loop {
        at += blanks(&text[at..]);
        if at == text.len() {
            return Ok(());
        }
        match value(&text[at..]) {
            Ok((length, events)) => {
                events.give(&mut each)?;
                at += length;
                // The elements of an array whose brackets are on other lines, or nowhere.
                at += blanks(&text[at..]);
                at += usize::from(text[at..].starts_with(','));
            }
            Err(error) => {
                let rest = &text[at..];
                let length = rest.find('\0').unwrap_or(rest.len());
                let wrong = rest[..length].trim_end();
                each(Found::Wrong(Wrong {
                    text: wrong,
                    start: at,
                    at: at + error.at.min(wrong.len()),
                    reason: error.reason,
                    is_open: rest.starts_with(['{', '[']) && is_open(&error),
                    is_end: length == rest.len(),
                }))?;
                at += length;
            }
        }
    }
}

/// The events of one value.
enum Events<'t> {
    Few(Vec<(&'t str, Vec<Member<'t>>)>),
    /// Those of an array, which are all objects.
    Many(&'t str),
}

impl<'t> Events<'t> {
    fn give<E>(self, each: &mut impl FnMut(Found<'t>) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Few(events) => events
                .into_iter()
                .try_for_each(|(text, members)| each(Found::Event { text, members })),
            Self::Many(array) => {
                let mut cursor = Cursor::new(array);
                // All of it was read before.
                let _ = cursor.kind();
                cursor.enter();
                while let Ok(true) = cursor.next_element() {
                    let text = cursor.take().unwrap_or_default();
                    let members = members(text).unwrap_or_default();
                    each(Found::Event { text, members })?;
                }
                Ok(())
            }
        }
    }
}

/// Reads one value, and returns its length and its events. A value of which a part is not an event has none, so that none is in two
/// places.
fn value(text: &str) -> Result<(usize, Events<'_>), JsonError> {
    let mut cursor = Cursor::new(text);
    let kind = cursor.kind()?;
    let events = match kind {
        Kind::Object => {
            let object = cursor.take()?;
            let found = members(object)?;
            match enveloped(&found) {
                Some(array) => of_array(array)?,
                None => Events::Few(vec![(object, found)]),
            }
        }
        Kind::Array => of_array(cursor.take()?)?,
        _ => {
            return Err(JsonError {
                at: 0,
                reason: "an event is a JSON object, which begins with `{`",
            });
        }
    };
    Ok((cursor.offset(), events))
}

/// Checks that all elements of an array are events.
fn of_array(array: &str) -> Result<Events<'_>, JsonError> {
    let mut cursor = Cursor::new(array);
    cursor.kind()?;
    cursor.enter();
    let mut events = Vec::new();
    let mut are_few = true;
    while cursor.next_element()? {
        let text = cursor.take()?;
        let members = members(text).map_err(|error| JsonError {
            at: 0,
            reason: error.reason,
        })?;
        if are_few && events.len() == KEPT_EVENTS {
            are_few = false;
            events = Vec::new();
        }
        if are_few {
            events.push((text, members));
        }
    }
    cursor.end()?;
    Ok(match are_few {
        true => Events::Few(events),
        false => Events::Many(array),
    })
}

fn is_open(error: &JsonError) -> bool {
    error.reason.contains("not closed") || error.reason.contains("the text ends")
}

/// Returns the bytes at the start of `text` that mean nothing between events.
fn blanks(text: &str) -> usize {
    let mut rest = text;
    loop {
        let after = rest
            .trim_start_matches(|c: char| c == '\u{feff}' || u8::try_from(c).is_ok_and(is_blank));
        if after.len() == rest.len() {
            return text.len() - rest.len();
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of the events, and of what is wrong in brackets with where it begins and is seen.
    fn shown(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        let _ = scan::<()>(text, |found| {
            all.push(match found {
                Found::Event { text, .. } => text.to_owned(),
                Found::Wrong(wrong) => {
                    let open = if wrong.is_open { " open" } else { "" };
                    format!("<{}> {} {}{open}", wrong.text, wrong.start, wrong.at)
                }
            });
            Ok(())
        });
        all
    }

    #[test]
    fn arrays_of_many_events_are_read_as_those_of_few() {
        let events = |count: usize| -> Vec<String> {
            (0..count).map(|at| format!(r#"{{"a":{at}}}"#)).collect()
        };
        for count in [
            KEPT_EVENTS - 1,
            KEPT_EVENTS,
            KEPT_EVENTS + 1,
            3 * KEPT_EVENTS,
        ] {
            let events = events(count);
            assert!(shown(&format!("[{}]", events.join(" , "))) == events);
            let enveloped = format!(r#"{{"Records":[{}]}}"#, events.join(","));
            assert!(shown(&enveloped) == events);
            // One that is none spoils all of them, wherever it stands.
            let broken = format!("[{},1]", events.join(","));
            assert_eq!(shown(&broken), [format!("<{broken}> 0 0")]);
        }
    }

    #[test]
    fn events_are_found_in_every_arrangement() {
        let (a, b) = (r#"{"a":"}{"}"#, r#"{"b":[1]}"#);
        for text in [
            format!("{a}{b}"),
            format!("{a} {b}"),
            format!("{a}\0\0\0{b}\0"),
            format!("\u{feff}{a}\u{feff}{b}"),
            format!("\u{1e}{a}\u{1e}{b}"),
            format!("[{a},{b}]"),
            format!("{{\"Records\":[{a},{b}]}}"),
            format!("{{\"Records\":[{a}]}}{b}"),
            format!("[]{a}[{b}]"),
            format!("{a},{b},"),
            format!("{a} , {b} ,"),
        ] {
            assert_eq!(shown(&text), [a, b], "{text}");
        }
    }

    #[test]
    fn what_is_wrong_hides_nothing_before_it_and_nothing_behind_a_hole() {
        for (text, expected) in [
            ("plain text", vec!["<plain text> 0 0"]),
            (r#"{"a":1} x"#, vec![r#"{"a":1}"#, "<x> 8 8"]),
            (r#"{"a":1}{"b":"#, vec![r#"{"a":1}"#, r#"<{"b":> 7 7 open"#]),
            (
                "{\"a\":\"x\0\0{\"b\":1}",
                vec!["<{\"a\":\"x> 0 7 open", "{\"b\":1}"],
            ),
            ("x\"}\0\0{\"b\":1}", vec!["<x\"}> 0 0", "{\"b\":1}"]),
            ("[1]", vec!["<[1]> 0 0"]),
            (
                r#"{"Records":[{"a":1},2]}"#,
                vec![r#"<{"Records":[{"a":1},2]}> 0 0"#],
            ),
            (r#"{"a":}"#, vec![r#"<{"a":}> 0 5"#]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
