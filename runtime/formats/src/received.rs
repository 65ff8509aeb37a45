//! Lines that a listener wrote: a message of any format, with what the listener knew of it.
//!
//! ```text
//! line = '{"received":"' time '","peer":"' address '","transport":"' name '","seq":' number ',"message":' text [more] '}'
//! more = [',"bytes":' base64] [',"cut":' number] [',"incomplete":true']
//! ```
//!
//! `yagura listen` writes such lines. The message is read in its own format, as if it stood there alone. Its event also has the member
//! `received` with `time`, `peer`, `transport`, and what else the listener said. A message that was cut, or a second such line within the
//! message, is read like any other text. A time without a year is at most 1 day after the message was received.

use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Decode, Decoded, Gather, Rest, Taken, Wrong};

/// What each such line begins with.
const MARK: &str = "{\"received\":\"";

/// A message with what the listener knew of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    received: String,
    peer: String,
    transport: String,
    seq: u64,
    message: String,
    bytes: Option<String>,
    cut: Option<u64>,
    #[serde(default)]
    incomplete: bool,
}

impl Line {
    /// Reads a line; nothing where a listener did not write it.
    fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        if !line.starts_with(MARK) {
            return None;
        }
        serde_json::from_str(line).ok()
    }

    fn micros(&self) -> Option<i64> {
        let time = DateTime::parse_from_rfc3339(&self.received).ok()?;
        Some(time.timestamp_micros())
    }

    fn member(self) -> Value {
        let mut known = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                known.insert(name.to_owned(), value);
            }
        };
        add("time", Some(self.received.into()));
        add("peer", Some(self.peer.into()));
        add("transport", Some(self.transport.into()));
        add("seq", Some(self.seq.into()));
        add("bytes", self.bytes.map(Value::from));
        add("cut", self.cut.map(Value::from));
        add("incomplete", self.incomplete.then_some(true.into()));
        Value::Object(known)
    }
}

/// Reads lines of a listener, and lines as they are.
struct Received {
    /// The decoder of the messages.
    inner: Box<dyn Decode>,
    /// Whether a message without a time has that of the listener.
    is_syslog: bool,
}

/// Returns a decoder that reads lines as `inner` does, and messages that a listener wrote likewise. `is_syslog` gives a message
/// without a time the time at which it was received, as RFC 3164 section 4.3.2 asks.
pub fn received(inner: Box<dyn Decode>, is_syslog: bool) -> Box<dyn Decode> {
    Box::new(Received { inner, is_syslog })
}

impl Decode for Received {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let Some(envelope) = Line::read(line) else {
            return self.inner.line(line);
        };
        if let Some(micros) = envelope.micros() {
            self.inner.written_until(micros);
        }
        let decoded = self.inner.line(&envelope.message);
        let Decoded::Event(mut members) = decoded.map_err(|wrong| Wrong { at: 0, ..wrong })? else {
            return Ok(Decoded::Nothing);
        };
        if self.is_syslog && !members.contains_key("timestamp") {
            members.insert("timestamp".to_owned(), envelope.received.clone().into());
        }
        // A maker's member of that name stays.
        let known = envelope.member();
        crate::member::add(&mut members, "received", known);
        Ok(Decoded::Event(members))
    }

    fn written_until(&mut self, micros: i64) {
        self.inner.written_until(micros);
    }
}

/// Puts lines together, but for those of a listener: each is a record.
struct Apart {
    inner: Box<dyn Gather>,
    /// Whether lines wait for others.
    waits: bool,
}

/// Returns what puts lines together as `inner` does, and leaves those of a listener alone: they come from many peers.
pub(crate) fn apart(inner: Box<dyn Gather>) -> Box<dyn Gather> {
    Box::new(Apart {
        inner,
        waits: false,
    })
}

impl Gather for Apart {
    fn line(&mut self, line: &str, number: u64) -> Taken {
        if !self.waits && Line::read(line).is_some() {
            return Taken::Alone;
        }
        let taken = self.inner.line(line, number);
        self.waits = match &taken {
            Taken::Alone => false,
            Taken::Waits => true,
            Taken::Records { waits, .. } => waits.is_some(),
        };
        taken
    }

    fn end(&mut self) -> Rest {
        self.waits = false;
        self.inner.end()
    }

    fn may_split(&self) -> bool {
        self.inner.may_split()
    }
}

/// Returns the messages of a text that a listener wrote, a line each; nothing for any other text.
pub(crate) fn messages(text: &str) -> Option<String> {
    let mut messages = String::new();
    // The last line may be cut off.
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = Line::read(lines.next()?)?;
    for line in std::iter::once(first).chain(lines.map_while(Line::read)) {
        messages.push_str(&line.message.replace('\n', " "));
        messages.push('\n');
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LineFormat;

    fn line(message: &str, more: &str) -> String {
        let message = Value::from(message);
        format!(
            r#"{{"received":"2024-03-01T12:00:00.000000Z","peer":"192.0.2.7:514","transport":"udp","seq":3,"message":{message}{more}}}"#
        )
    }

    /// Reads a line as if it were read two years after it was received.
    fn event(format: LineFormat, line: &str) -> Value {
        let now = "2026-03-01T12:00:00Z".parse::<DateTime<chrono::Utc>>();
        let mut decoder = format.decoder(now.unwrap().timestamp_micros());
        match decoder.line(line) {
            Ok(Decoded::Event(members)) => Value::Object(members),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_is_read_in_its_format_and_keeps_what_the_listener_knew() {
        let message = "<34>Mar  1 11:59:58 host sshd[7]: refused";
        let event = event(LineFormat::Syslog, &line(message, r#","cut":9"#));
        assert_eq!(event["message"], "refused");
        assert_eq!(event["hostname"], "host");
        // The year in which it was received.
        assert_eq!(event["timestamp"], "2024-03-01T11:59:58Z");
        assert_eq!(
            event["received"],
            serde_json::json!({
                "time": "2024-03-01T12:00:00.000000Z", "peer": "192.0.2.7:514", "transport": "udp", "seq": 3, "cut": 9
            })
        );
        assert_eq!(
            self::event(LineFormat::Syslog, &line("<34>no time", ""))["timestamp"],
            "2024-03-01T12:00:00.000000Z"
        );
        let text = self::event(LineFormat::Text, &line("a\nb", ""));
        assert_eq!(text["message"], "a\nb");
        assert_eq!(text.get("timestamp"), None);
        let cef = self::event(
            LineFormat::Cef,
            &line("CEF:0|m|p|1|7|n|3|src=192.0.2.9", ""),
        );
        assert_eq!(cef["src"], "192.0.2.9");
    }

    #[test]
    fn lines_that_no_listener_wrote_are_read_as_they_are() {
        let within = line(&line("<34>inner", ""), "");
        let event = event(LineFormat::Text, &within);
        // Once only: a sender cannot say where a message comes from.
        assert_eq!(event["message"], line("<34>inner", ""));
        for other in [
            line("<34>a", r#","host":"x""#),
            r#"{"received":"2024-03-01T12:00:00Z","message":"a"}"#.to_owned(),
            "{\"received\":\"".to_owned(),
        ] {
            assert_eq!(self::event(LineFormat::Text, &other)["message"], other);
        }
        let mut decoder = LineFormat::Syslog.decoder(0);
        assert!(decoder.line(&line("no priority", "")).is_err());
    }

    #[test]
    fn the_format_of_messages_is_recognised() {
        let syslog = format!(
            "{}\n{}\n{}",
            line("<34>Mar  1 11:59:58 host sshd[7]: a", ""),
            line("<34>Mar  1 11:59:59 host sshd[7]: b", ""),
            "{\"received\":\"2024-"
        );
        assert_eq!(
            LineFormat::detect(syslog.as_bytes()),
            Some(LineFormat::Syslog)
        );
        let cef = line("CEF:0|m|p|1|7|n|3|src=192.0.2.9", "");
        assert_eq!(LineFormat::detect(cef.as_bytes()), Some(LineFormat::Cef));
        // JSON within: the line itself is the event.
        let json = line("{\"a\":1}", "");
        assert_eq!(LineFormat::detect(json.as_bytes()), None);
    }

    #[test]
    fn records_of_several_lines_do_not_join_messages_of_peers() {
        let audit = "type=SYSCALL msg=audit(1700000000.123:7): arch=c000003e success=no";
        let mut gather = LineFormat::Auditd.gatherer().unwrap();
        assert_eq!(gather.line(&line(audit, ""), 1), Taken::Alone);
        assert_eq!(gather.line(&line(audit, ""), 2), Taken::Alone);
        assert_ne!(gather.line(audit, 3), Taken::Alone);
        assert_ne!(gather.end(), Rest::default());
        assert_eq!(
            event(LineFormat::Auditd, &line(audit, ""))["received"]["seq"],
            3
        );
    }
}
