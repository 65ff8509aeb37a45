//! `[listen.NAME]` as it is written, and as a listener needs it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde::Deserialize;
use yagura_core::TimeSpan;
use yagura_lake::Location;
use yagura_listen::{Compression, Framing, ListenLimits, ListenOptions, TlsFiles, tls_server};

/// `[listen.NAME]`: what cannot write to a bucket sends syslog here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenSettings {
    /// The prefix that receives the objects: a path, or a URL of an object store.
    pub url: String,
    /// Options of the object store.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Where datagrams are received: `ADDRESS:PORT`, or a port of loopback.
    pub udp: Option<String>,
    /// Where connections are accepted.
    pub tcp: Option<String>,
    /// Where connections with TLS are accepted; with `cert` and `key`.
    pub tls: Option<String>,
    /// The certificate of `tls` and those between it and its authority: a file in PEM, relative to this one.
    pub cert: Option<PathBuf>,
    /// Its key: a file in PEM, relative to this one.
    pub key: Option<PathBuf>,
    /// Authorities whose clients may connect to `tls`: a file in PEM, relative to this one.
    pub client_ca: Option<PathBuf>,
    /// Networks of the peers that are listened to; without it, all.
    #[serde(default)]
    pub allow: Vec<String>,
    /// How the messages of a connection are told apart.
    #[serde(default)]
    pub framing: FramingName,
    /// How objects are compressed.
    #[serde(default)]
    pub compression: CompressionName,
    /// An object is written when its first message was received so long ago …
    pub age: Option<TimeSpan>,
    /// … or when it has so many MiB, before compression.
    pub object_mib: Option<usize>,
    /// Longest message in KiB.
    pub message_kib: Option<usize>,
    /// Connections that are open at the same time.
    pub connections: Option<usize>,
    /// A connection from which nothing has come for so long is closed.
    pub idle: Option<TimeSpan>,
    /// MiB of messages that wait for the store.
    pub queue_mib: Option<usize>,
}

/// `framing`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FramingName {
    /// Each message shows it.
    #[default]
    Auto,
    /// All messages have a count.
    OctetCounting,
    /// Each line is a message.
    Newline,
}

/// `compression`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionName {
    /// zstd.
    #[default]
    Zstd,
    /// gzip.
    Gzip,
    /// None.
    None,
}

impl ListenSettings {
    /// Makes the paths of files relative to a directory.
    pub(crate) fn resolve(&mut self, dir: &Path) {
        let files = [&mut self.cert, &mut self.key, &mut self.client_ca];
        for file in files.into_iter().flatten() {
            *file = dir.join(&*file);
        }
    }

    pub(super) fn open(&self, name: &str) -> Result<ListenOptions> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            bail!(
                "the name must consist of letters, digits, `-` and `_`, because the names of objects begin with it"
            );
        }
        let to = Location::parse(&self.url, &self.options)?;
        let tls = match (&self.tls, &self.cert, &self.key) {
            (None, None, None) if self.client_ca.is_none() => None,
            (Some(tls), Some(cert), Some(key)) => {
                let files = TlsFiles {
                    cert: cert.clone(),
                    key: key.clone(),
                    client_ca: self.client_ca.clone(),
                };
                Some((address("tls", tls)?, tls_server(&files)?))
            }
            (Some(_), ..) => bail!("`tls` needs `cert` and `key`: files in PEM"),
            (None, ..) => {
                bail!(
                    "`cert`, `key` and `client_ca` are for `tls`: write `tls` with an address, or leave them out"
                )
            }
        };
        let udp = self.udp.as_deref();
        let tcp = self.tcp.as_deref();
        let options = ListenOptions {
            name: name.to_owned(),
            udp: udp.map(|udp| address("udp", udp)).transpose()?,
            tcp: tcp.map(|tcp| address("tcp", tcp)).transpose()?,
            tls,
            allow: networks(&self.allow)?,
            framing: match self.framing {
                FramingName::Auto => Framing::Auto,
                FramingName::OctetCounting => Framing::OctetCounting,
                FramingName::Newline => Framing::Newline,
            },
            store: to.store,
            prefix: to.prefix,
            compression: match self.compression {
                CompressionName::Zstd => Compression::Zstd,
                CompressionName::Gzip => Compression::Gzip,
                CompressionName::None => Compression::None,
            },
            limits: self.limits()?,
        };
        if options.udp.is_none() && options.tcp.is_none() && options.tls.is_none() {
            bail!(
                "it listens nowhere: write `udp`, `tcp` or `tls` with an address, such as `udp = \"127.0.0.1:514\"`"
            );
        }
        Ok(options)
    }

    fn limits(&self) -> Result<ListenLimits> {
        let usual = ListenLimits::default();
        let size = |key: &str, given: Option<usize>, unit: usize, usual: usize| match given {
            None => Ok(usual),
            Some(0) => bail!(
                "`{key}` is 0, with which nothing can be done: make it at least 1, or leave it out"
            ),
            Some(given) => Ok(given.saturating_mul(unit)),
        };
        let length = |given: Option<TimeSpan>, usual| given.map_or(usual, TimeSpan::to_std);
        Ok(ListenLimits {
            age: length(self.age, usual.age),
            object_bytes: size("object_mib", self.object_mib, 1 << 20, usual.object_bytes)?,
            message_bytes: size(
                "message_kib",
                self.message_kib,
                1 << 10,
                usual.message_bytes,
            )?,
            connections: size("connections", self.connections, 1, usual.connections)?,
            idle: length(self.idle, usual.idle),
            queue_bytes: size("queue_mib", self.queue_mib, 1 << 20, usual.queue_bytes)?,
        })
    }
}

/// Reads networks; an address is one of its own.
fn networks(texts: &[String]) -> Result<Vec<IpNet>> {
    let read = |text: &String| -> Option<IpNet> {
        let address = || text.parse().ok().map(|address: IpAddr| address.into());
        text.parse().ok().or_else(address)
    };
    let read = texts.iter().map(|text| {
        read(text).with_context(|| {
            format!("`allow` has `{text}`, which is not a network: write one as 10.20.0.0/16 or 192.0.2.7")
        })
    });
    read.collect()
}

/// Reads `ADDRESS:PORT`; a port alone is one of loopback.
fn address(key: &str, text: &str) -> Result<SocketAddr> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().ok().with_context(|| {
        format!(
            "`{key}` is `{text}`, which is not an address: write ADDRESS:PORT, such as 127.0.0.1:514 or [::]:514, or a port alone for loopback"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn open(text: &str) -> Result<ListenOptions> {
        let settings: ListenSettings = toml::from_str(text).unwrap();
        settings.open("edge")
    }

    #[test]
    fn a_port_alone_is_one_of_loopback() {
        for (text, expected) in [
            ("514", "127.0.0.1:514"),
            (":514", "127.0.0.1:514"),
            ("0.0.0.0:514", "0.0.0.0:514"),
            ("[::1]:514", "[::1]:514"),
        ] {
            assert_eq!(address("udp", text).unwrap().to_string(), expected);
        }
        let error = address("udp", "localhost:514").unwrap_err().to_string();
        assert!(error.contains("which is not an address"), "{error}");
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        for (text, expected) in [
            ("", "it listens nowhere"),
            ("tls = \"6514\"", "`tls` needs `cert` and `key`"),
            ("udp = \"514\"\ncert = \"a\"", "are for `tls`"),
            ("udp = \"514\"\nobject_mib = 0", "`object_mib` is 0"),
            ("udp = \"514\"\nallow = [\"10\"]", "is not a network"),
        ] {
            let error = open(&format!("url = \"raw\"\n{text}")).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let options = open("url = \"raw\"\nudp = \"0\"\nage = \"5s\"\nmessage_kib = 2").unwrap();
        assert_eq!(options.limits.age, Duration::from_secs(5));
        assert_eq!(options.limits.message_bytes, 2_048);
    }
}
