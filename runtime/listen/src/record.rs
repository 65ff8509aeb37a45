//! A message as a line of an object: JSON, so that every tool can read it, with what only the listener knows.
//!
//! ```text
//! {"received":"2026-02-03T04:05:06.789012Z","peer":"192.0.2.7:51514","transport":"udp","seq":17,"message":"<34>…"}
//! ```
//!
//! `message` is the text as it was sent. If its bytes are not UTF-8, U+FFFD stands in place of what is not, and `bytes` holds all
//! of them in Base64. `cut` counts bytes at its end that were left out, and `incomplete` says that the connection ended within it.
//! `yagura-formats` reads such lines. Time and number also keep equal messages apart: ingest knows objects by their content.

use std::net::SocketAddr;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use yagura_core::Timestamp;

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// A message with what the listener knows of it.
#[derive(Debug)]
pub(crate) struct Record<'m> {
    pub(crate) received: Timestamp,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) seq: u64,
    pub(crate) message: &'m [u8],
    pub(crate) cut: u64,
    pub(crate) is_incomplete: bool,
}

#[derive(Serialize)]
struct Line<'m> {
    received: String,
    peer: String,
    transport: &'static str,
    seq: u64,
    message: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    incomplete: bool,
}

impl Record<'_> {
    /// Adds the line, with its end.
    pub(crate) fn write(&self, lines: &mut Vec<u8>) {
        let message = String::from_utf8_lossy(self.message);
        let is_utf8 = matches!(message, std::borrow::Cow::Borrowed(_));
        let line = Line {
            received: self.received.to_string(),
            peer: SocketAddr::new(self.peer.ip().to_canonical(), self.peer.port()).to_string(),
            transport: self.transport.name(),
            seq: self.seq,
            message: &message,
            bytes: (!is_utf8).then(|| STANDARD.encode(self.message)),
            cut: (self.cut > 0).then_some(self.cut),
            incomplete: self.is_incomplete,
        };
        // Texts and numbers are always JSON, and memory takes all of it.
        let _ = serde_json::to_writer(&mut *lines, &line);
        lines.push(b'\n');
    }
}

/// Returns the time of the clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    Timestamp::clamped(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &[u8], cut: u64, is_incomplete: bool) -> String {
        let mut lines = Vec::new();
        let record = Record {
            received: "2026-02-03T04:05:06.789Z".parse().unwrap(),
            peer: "[::ffff:192.0.2.7]:514".parse().unwrap(),
            transport: Transport::Tls,
            seq: 7,
            message,
            cut,
            is_incomplete,
        };
        record.write(&mut lines);
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn a_line_says_all_that_is_known_and_keeps_every_byte() {
        assert_eq!(
            line("<34>a \"ü\"\nb".as_bytes(), 0, false),
            "{\"received\":\"2026-02-03T04:05:06.789000Z\",\"peer\":\"192.0.2.7:514\",\"transport\":\"tls\",\"seq\":7,\
             \"message\":\"<34>a \\\"ü\\\"\\nb\"}\n"
        );
        let odd = line(b"caf\xe9", 3, true);
        let odd: serde_json::Value = serde_json::from_str(&odd).unwrap();
        assert_eq!(odd["message"], "caf\u{fffd}");
        assert_eq!(
            STANDARD.decode(odd["bytes"].as_str().unwrap()).unwrap(),
            b"caf\xe9"
        );
        assert_eq!(odd["cut"], 3);
        assert_eq!(odd["incomplete"], true);
    }
}
