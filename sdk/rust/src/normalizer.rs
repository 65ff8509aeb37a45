//! Normalizers: events out of raw records in a form of their own.

use std::cell::RefCell;
use std::fmt::Display;

use crate::bindings::normalizer::exports::yagura::plugin::normalizing::{
    Column, Guest, Normalized,
};
use crate::{Config, PluginError, json, log};

/// Parses the raw records of a source, one after another. Each line of the logs is a record.
///
/// What a record becomes must depend on its bytes alone: the host divides records into calls as it likes, and makes calls again. So
/// keep nothing between records. The source's file maps the fields of events to columns.
///
/// ```
/// use yagura_sdk::prelude::*;
///
/// /// `2026-02-03T04:05:06Z|lobby|open|ann`
/// struct Doors;
///
/// impl Normalizer for Doors {
///     fn open(_: &Config) -> Result<Self, PluginError> {
///         Ok(Self)
///     }
///
///     fn parse(&mut self, record: &[u8], events: &mut ParsedEvents) -> Result<(), Malformed> {
///         let line = std::str::from_utf8(record)?;
///         let [time, door, what, who] = line.split('|').collect::<Vec<_>>()[..] else {
///             return Err(Malformed::from("a line has four fields, separated by `|`"));
///         };
///         events.add().text("time", time).text("door", door).text("what", what).text("who", who);
///         Ok(())
///     }
/// }
///
/// yagura_sdk::normalizer!(Doors);
///
/// use yagura_sdk::testing::parse;
/// let events = parse::<Doors>("{}", "2026-02-03T04:05:06Z|lobby|open|ann").unwrap();
/// assert_eq!(events, [r#"{"time":"2026-02-03T04:05:06Z","door":"lobby","what":"open","who":"ann"}"#]);
/// assert!(parse::<Doors>("{}", "lobby").is_err());
/// ```
pub trait Normalizer: Sized + 'static {
    /// Checks the configuration. Called once, before all other calls.
    ///
    /// # Errors
    /// [`PluginError::Config`] if it is wrong: the plugin is not opened.
    fn open(config: &Config<'_>) -> Result<Self, PluginError>;

    /// Adds the events of one record: usually one, none for a header.
    ///
    /// # Errors
    /// [`Malformed`], with the reason: the host keeps the record with it, and without its events. Any error or text that can be shown
    /// becomes one by `?`.
    fn parse(&mut self, record: &[u8], events: &mut ParsedEvents) -> Result<(), Malformed>;
}

/// Why a record is malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

// `Malformed` cannot be shown by itself, so that this holds for all that can.
impl<T: Display> From<T> for Malformed {
    fn from(reason: T) -> Self {
        Self(reason.to_string())
    }
}

/// Collects events, as JSON text.
#[derive(Debug, Default)]
pub struct ParsedEvents {
    text: String,
    /// Where each event ends.
    ends: Vec<u32>,
}

impl ParsedEvents {
    /// Begins an event; it ends with the statement.
    pub fn add(&mut self) -> ParsedEvent<'_> {
        self.text.push('{');
        ParsedEvent {
            is_empty: true,
            events: self,
        }
    }

    /// Adds an event that is the text of a JSON object already.
    pub fn add_json(&mut self, object: &str) {
        self.text.push_str(object);
        self.end();
    }

    fn end(&mut self) {
        // Beyond 4 GiB nothing fits into the memory of a plugin.
        self.ends
            .push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn count(&self) -> usize {
        self.ends.len()
    }

    /// Drops all events but the first ones.
    fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        let end = self.ends.last().map_or(0, |end| *end as usize);
        self.text.truncate(end);
    }

    /// Returns the events one by one.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut start = 0;
        let event = |end: &u32| {
            let event = self.text[start..*end as usize].to_owned();
            start = *end as usize;
            event
        };
        self.ends.iter().map(event).collect()
    }
}

/// An event under construction. Each method adds a field; a path such as `client.ip` is one name, which expressions read like
/// nested objects.
#[derive(Debug)]
pub struct ParsedEvent<'e> {
    events: &'e mut ParsedEvents,
    is_empty: bool,
}

impl ParsedEvent<'_> {
    /// Adds a text; an absent one is left out.
    pub fn text<'t>(mut self, name: &str, value: impl Into<Option<&'t str>>) -> Self {
        if let Some(value) = value.into() {
            self.name(name);
            json::quote_into(value, &mut self.events.text);
        }
        self
    }

    /// Adds a whole number; an absent one is left out.
    pub fn int64(mut self, name: &str, value: impl Into<Option<i64>>) -> Self {
        if let Some(value) = value.into() {
            self.name(name);
            self.events.text.push_str(&value.to_string());
        }
        self
    }

    /// Adds a number; an absent one is left out, and one that is not finite.
    pub fn float64(mut self, name: &str, value: impl Into<Option<f64>>) -> Self {
        if let Some(value) = value.into().filter(|value| value.is_finite()) {
            self.name(name);
            self.events.text.push_str(&value.to_string());
        }
        self
    }

    /// Adds a truth value; an absent one is left out.
    pub fn boolean(mut self, name: &str, value: impl Into<Option<bool>>) -> Self {
        if let Some(value) = value.into() {
            self.name(name);
            self.events.text.push_str(&value.to_string());
        }
        self
    }

    /// Adds a value that is JSON text, such as an object or an array; what is not valid becomes a text.
    pub fn json(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        if json::is_valid(value) {
            self.events.text.push_str(value);
        } else {
            json::quote_into(value, &mut self.events.text);
        }
        self
    }

    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.events.text.push(',');
        }
        json::quote_into(name, &mut self.events.text);
        self.events.text.push(':');
    }
}

impl Drop for ParsedEvent<'_> {
    fn drop(&mut self) {
        self.events.text.push('}');
        self.events.end();
    }
}

/// The part that [`normalizer!`](crate::normalizer!) implements.
#[doc(hidden)]
pub trait Component {
    /// Opens the normalizer.
    const OPEN: Open;
}

#[doc(hidden)]
pub type Open = fn(&Config<'_>) -> Result<Box<dyn Opened>, PluginError>;

/// A [`Normalizer`] of any type.
#[doc(hidden)]
pub trait Opened {
    /// See [`Normalizer::parse`].
    fn parse(&mut self, record: &[u8], events: &mut ParsedEvents) -> Result<(), Malformed>;
}

impl<N: Normalizer> Opened for N {
    fn parse(&mut self, record: &[u8], events: &mut ParsedEvents) -> Result<(), Malformed> {
        Normalizer::parse(self, record, events)
    }
}

#[doc(hidden)]
pub fn open<N: Normalizer>(config: &Config<'_>) -> Result<Box<dyn Opened>, PluginError> {
    Ok(Box::new(N::open(config)?))
}

thread_local! {
    /// An instance of a component has one thread.
    static OPENED: RefCell<Option<Box<dyn Opened>>> = const { RefCell::new(None) };
}

impl<C: Component> Guest for C {
    fn open(config: String) -> Result<(), PluginError> {
        log::log_panics();
        OPENED.set(Some(C::OPEN(&Config::new(&config))?));
        Ok(())
    }

    fn normalize(records: Column) -> Result<Normalized, PluginError> {
        OPENED.with_borrow_mut(|opened| normalized(crate::report::opened(opened)?, &records))
    }
}

/// Parses the records of a column.
fn normalized(opened: &mut dyn Opened, records: &Column) -> Result<Normalized, PluginError> {
    let wrong = || PluginError::Data("the records are not laid out as a column".to_owned());
    let offsets = records.offsets.as_chunks::<4>().0;
    let mut events = ParsedEvents::default();
    let mut first = vec![0; 4];
    first.reserve(records.offsets.len());
    let mut malformed = Vec::new();
    for (index, pair) in (0_u32..).zip(offsets.windows(2)) {
        let [start, end] = [pair[0], pair[1]].map(|bytes| u32::from_le_bytes(bytes) as usize);
        let record = records.values.get(start..end).ok_or_else(wrong)?;
        let before = events.count();
        if let Err(Malformed(reason)) = opened.parse(record, &mut events) {
            events.truncate(before);
            malformed.push((index, reason));
        }
        first.extend(narrow(events.count()).to_le_bytes());
    }
    let ends = events.ends.iter().flat_map(|end| end.to_le_bytes());
    Ok(Normalized {
        records: first,
        events: Column {
            validity: Vec::new(),
            offsets: 0_u32.to_le_bytes().into_iter().chain(ends).collect(),
            values: events.text.into_bytes(),
        },
        malformed,
    })
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Parses one record; for tests.
pub(crate) fn parse_one<N: Normalizer>(
    config: &str,
    record: &[u8],
) -> Result<Vec<String>, PluginError> {
    let mut events = ParsedEvents::default();
    let parsed = N::open(&Config::new(config))?.parse(record, &mut events);
    parsed.map_err(|Malformed(reason)| PluginError::Data(reason))?;
    Ok(events.texts())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a=1 b=x`: an event for each pair, and an error at a word that is none.
    struct Pairs;

    impl Normalizer for Pairs {
        fn open(_: &Config<'_>) -> Result<Self, PluginError> {
            Ok(Self)
        }

        fn parse(&mut self, record: &[u8], events: &mut ParsedEvents) -> Result<(), Malformed> {
            for word in std::str::from_utf8(record)?.split_whitespace() {
                let (name, value) = word.split_once('=').ok_or("no `=`")?;
                events
                    .add()
                    .text(name, value)
                    .int64("n", value.parse().ok())
                    .boolean("is_empty", value.is_empty())
                    .float64("none", None)
                    .json("raw", value);
            }
            Ok(())
        }
    }

    struct TestComponent;

    impl Component for TestComponent {
        const OPEN: Open = open::<Pairs>;
    }

    fn column(records: &[&[u8]]) -> Column {
        let mut offsets = 0_u32.to_le_bytes().to_vec();
        let mut values = Vec::new();
        for record in records {
            values.extend_from_slice(record);
            offsets.extend(narrow(values.len()).to_le_bytes());
        }
        Column {
            validity: Vec::new(),
            offsets,
            values,
        }
    }

    fn integers(bytes: &[u8]) -> Vec<u32> {
        let chunks = bytes.as_chunks::<4>().0.iter();
        chunks.map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn each_record_has_its_events_or_a_reason() {
        assert!(<TestComponent as Guest>::normalize(column(&[])).is_err());
        <TestComponent as Guest>::open("{}".to_owned()).unwrap();
        let records: [&[u8]; 4] = [b"a=1 b=\"", b"", b"c=2 d", b"\xff"];
        let found = <TestComponent as Guest>::normalize(column(&records)).unwrap();
        assert_eq!(integers(&found.records), [0, 2, 2, 2, 2]);
        let text = String::from_utf8(found.events.values).unwrap();
        let ends = integers(&found.events.offsets);
        assert_eq!((ends.len(), ends[0], ends[2] as usize), (3, 0, text.len()));
        assert_eq!(
            text,
            "{\"a\":\"1\",\"n\":1,\"is_empty\":false,\"raw\":1}{\"b\":\"\\\"\",\"is_empty\":false,\"raw\":\"\\\"\"}"
        );
        assert_eq!(found.malformed[0], (2, "no `=`".to_owned()));
        assert_eq!(found.malformed[1].0, 3);
        let none = <TestComponent as Guest>::normalize(column(&[])).unwrap();
        assert_eq!(integers(&none.records), [0]);
        assert_eq!(integers(&none.events.offsets), [0]);
    }
}
