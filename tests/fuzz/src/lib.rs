//! Everything that reads bytes of others, as functions that take any bytes: none may panic, hang, or use without bound.
//!
//! `cargo test` gives them the inputs of `corpus/`, and parts of them; `cargo xtask fuzz` looks for more.

mod logs;
mod packs;
mod rules;
mod service;

use yagura_formats::LineFormat;

/// The environment variable that names the target.
pub const TARGET: &str = "YAGURA_FUZZ_TARGET";

/// Something that reads bytes of others.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// What it reads, and from whom.
    pub about: &'static str,
    /// Reads some bytes.
    pub read: fn(&[u8]),
}

/// The target of a format of lines.
macro_rules! of_format {
    ($name:literal, $format:ident) => {
        Target {
            name: concat!("lines-", $name),
            about: concat!("lines of logs in the format `", $name, "`"),
            read: |bytes| logs::lines_of(LineFormat::$format, bytes),
        }
    };
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "archive",
        about: "a pack in one file, as it comes over the network",
        read: packs::archive,
    },
    Target {
        name: "archive-inside",
        about: "the entries of a pack in one file, before they are compressed",
        read: packs::archive_inside,
    },
    Target {
        name: "layout",
        about: "packs carried by hand: `yagura load`",
        read: packs::layout,
    },
    Target {
        name: "manifest",
        about: "MANIFEST.sha256, signatures and keys of a pack",
        read: packs::manifest,
    },
    Target {
        name: "pack-files",
        about: "pack.toml, rules, policies, and what an operator keeps beside them",
        read: packs::texts,
    },
    Target {
        name: "condition",
        about: "the condition of a rule, to what it says of events",
        read: rules::condition,
    },
    Target {
        name: "sigma",
        about: "Sigma rules, filters and correlations, to the conditions that evaluate them",
        read: rules::sigma,
    },
    Target {
        name: "component",
        about: "a plugin's component",
        read: rules::component,
    },
    Target {
        name: "parquet",
        about: "an object of a table, read and evaluated",
        read: logs::parquet,
    },
    Target {
        name: "ingest",
        about: "logs as text, written as a table and evaluated",
        read: logs::ingest,
    },
    Target {
        name: "lines",
        about: "lines of logs that are not JSON, in the format that they look like",
        read: logs::lines,
    },
    of_format!("access", Access),
    of_format!("auditd", Auditd),
    of_format!("aws", Aws),
    of_format!("cef", Cef),
    of_format!("csv", Csv),
    of_format!("leef", Leef),
    of_format!("logfmt", Logfmt),
    of_format!("modsecurity", ModSecurity),
    of_format!("xml", Xml),
    of_format!("syslog", Syslog),
    of_format!("text", Text),
    of_format!("w3c", W3c),
    of_format!("windows-xml", WindowsXml),
    of_format!("zeek", Zeek),
    Target {
        name: "evtx",
        about: "a chunk of a Windows event log, to XML and to events",
        read: logs::evtx,
    },
    Target {
        name: "normalized",
        about: "what a plugin makes of raw records, to rows",
        read: logs::normalized,
    },
    Target {
        name: "avro",
        about: "an Avro object container file, to JSON",
        read: logs::avro,
    },
    Target {
        name: "xml",
        about: "an XML document and the path of its records, to JSON",
        read: logs::xml,
    },
    Target {
        name: "grok",
        about: "a grok pattern, and lines of its shape",
        read: logs::grok,
    },
    Target {
        name: "alert",
        about: "alerts and incidents as JSON, and what is told of them",
        read: service::alert,
    },
];
