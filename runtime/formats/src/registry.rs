//! The formats by name, and which of them a text looks like.

use crate::{
    Decode, Gather, access, auditd, aws, cef, clock::Clock, csv, leef, logfmt, modsecurity,
    received, syslog, text, w3c, windows_xml, xml, zeek, zone::Zone,
};
use chrono::DateTime;

/// How much of a text is looked at to recognise its format, in bytes.
const LOOKED_AT: usize = 64 * 1024;

/// A format whose events are lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineFormat {
    /// Zeek's tables.
    Zeek,
    /// W3C extended log format.
    W3c,
    /// Events of Windows as XML, and EVTX files.
    WindowsXml,
    /// Records of any XML document; see [`crate::XmlRecords`].
    Xml,
    /// Audit log of ModSecurity, in sections.
    ModSecurity,
    /// Records of the Linux audit log.
    Auditd,
    /// ArcSight CEF.
    Cef,
    /// IBM QRadar LEEF.
    Leef,
    /// Common and combined access logs.
    Access,
    /// AWS logs with spaces between the fields.
    Aws,
    /// `key=value` pairs.
    Logfmt,
    /// RFC 3164 and RFC 5424.
    Syslog,
    /// A header and columns.
    Csv,
    /// Any line, as one text.
    Text,
}

impl LineFormat {
    /// All formats. A text is the first of them that it looks like, so those with a mark of their own come first.
    pub const ALL: [Self; 14] = [
        Self::Zeek,
        Self::W3c,
        Self::WindowsXml,
        Self::ModSecurity,
        Self::Auditd,
        Self::Cef,
        Self::Leef,
        Self::Access,
        Self::Aws,
        Self::Logfmt,
        Self::Syslog,
        Self::Csv,
        Self::Xml,
        Self::Text,
    ];

    /// Returns its name, as in `--format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zeek => "zeek",
            Self::W3c => "w3c",
            Self::WindowsXml => "windows-xml",
            Self::Xml => "xml",
            Self::ModSecurity => "modsecurity",
            Self::Auditd => "auditd",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::Access => "access",
            Self::Aws => "aws",
            Self::Logfmt => "logfmt",
            Self::Syslog => "syslog",
            Self::Csv => "csv",
            Self::Text => "text",
        }
    }

    /// Returns what it is, for the list of formats.
    pub fn description(self) -> &'static str {
        match self {
            Self::Zeek => "Tables of Zeek, with `#fields`",
            Self::W3c => "W3C extended log format, with `#Fields`: IIS, CloudFront",
            Self::WindowsXml => "Events of Windows as XML, and EVTX files",
            Self::Xml => {
                "Any XML document, an event for each element that `each` names; never recognised by itself"
            }
            Self::ModSecurity => "Audit log of ModSecurity, its sections joined",
            Self::Auditd => "Events of the Linux audit log, their records joined",
            Self::Cef => "ArcSight CEF, alone or behind a syslog header",
            Self::Leef => "IBM QRadar LEEF 1.0 and 2.0, alone or behind a syslog header",
            Self::Access => "Common and combined access logs: nginx, Apache",
            Self::Aws => "AWS logs with spaces: VPC flow, load balancers, S3 access",
            Self::Logfmt => "Pairs `key=value`, alone or behind a syslog header",
            Self::Syslog => "RFC 3164 and RFC 5424",
            Self::Csv => "A header, and `,`, `;`, `|` or tabs between the columns",
            Self::Text => "Any line, as the member `message`; never recognised by itself",
        }
    }

    /// Returns the format that a file looks like by its first lines; nothing for JSON, and for text of no known format.
    pub fn detect(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(LOOKED_AT)];
        let text = String::from_utf8_lossy(start);
        match received::messages(&text) {
            Some(messages) => Self::detect_text(&messages),
            None => Self::detect_text(&text),
        }
    }

    fn detect_text(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        if lines.next()?.starts_with(['{', '[']) && !access::looks_like(text) {
            return None;
        }
        Self::ALL.into_iter().find(|format| match format {
            Self::Zeek => zeek::looks_like(text),
            Self::W3c => w3c::looks_like(text),
            Self::WindowsXml => windows_xml::looks_like(text),
            Self::ModSecurity => modsecurity::looks_like(text),
            Self::Auditd => auditd::looks_like(text),
            Self::Cef => cef::looks_like(text),
            Self::Leef => leef::looks_like(text),
            Self::Access => access::looks_like(text),
            Self::Aws => aws::looks_like(text),
            Self::Logfmt => logfmt::looks_like(text),
            Self::Syslog => syslog::looks_like(text),
            Self::Csv => csv::looks_like(text),
            // Each XML document, each file looks like it.
            Self::Xml | Self::Text => false,
        })
    }

    /// Returns what puts the lines of one file together, if a record of the format may have several.
    pub fn gatherer(self) -> Option<Box<dyn Gather>> {
        match self {
            Self::Auditd => Some(received::apart(Box::new(auditd::Lines::default()))),
            Self::Csv => Some(received::apart(Box::new(csv::Lines::default()))),
            Self::ModSecurity => Some(received::apart(Box::new(modsecurity::Lines::default()))),
            _ => None,
        }
    }

    /// Returns a decoder for one file whose lines were written up to `now`, in microseconds since 1970: a line without a year
    /// is at most 1 day after it. It also reads the lines of a listener, whose messages are of this format.
    pub fn decoder(self, now: i64) -> Box<dyn Decode> {
        self.decoder_in(now, Zone::utc())
    }

    /// Returns the same decoder for a file whose times without a zone are in this one.
    pub fn decoder_in(self, now: i64, zone: Zone) -> Box<dyn Decode> {
        let now = DateTime::from_timestamp_micros(now).unwrap_or_default();
        let clock = || Clock::new(now).in_zone(zone);
        let of_messages: Box<dyn Decode> = match self {
            Self::Zeek => Box::new(zeek::Zeek::new()),
            Self::W3c => Box::new(w3c::W3c::new()),
            Self::WindowsXml => Box::new(windows_xml::WindowsXml::new()),
            Self::Xml => Box::new(xml::XmlLine),
            Self::ModSecurity => Box::new(modsecurity::ModSecurity),
            Self::Auditd => Box::new(auditd::new(clock())),
            Self::Cef => Box::new(cef::new(clock())),
            Self::Leef => Box::new(leef::new(clock())),
            Self::Access => Box::new(access::Access::new()),
            Self::Aws => Box::new(aws::Aws::new()),
            Self::Logfmt => Box::new(logfmt::new(clock())),
            Self::Syslog => Box::new(syslog::new(clock())),
            Self::Csv => Box::new(csv::Csv::new()),
            Self::Text => Box::new(text::Text),
        };
        received(of_messages, self == Self::Syslog)
    }
}
