//! An Azurite server, whose address the environment names, and objects of any name in it.

#![expect(clippy::unwrap_used, reason = "a test without its server must fail")]

use crate::s3::settings_of;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The key that every Azurite has, which its documentation tells.
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server.
#[derive(Debug)]
pub struct Azurite {
    url: String,
    server: String,
    account: String,
}

impl Azurite {
    /// Returns the server that `YAGURA_TEST_AZURITE` names, as `http://HOST:PORT/ACCOUNT`.
    ///
    /// # Panics
    /// If it names none.
    pub fn of_environment() -> Self {
        Self::at(std::env::var("YAGURA_TEST_AZURITE").unwrap())
    }

    fn at(url: String) -> Self {
        let rest = url.strip_prefix("http://").unwrap();
        let (server, account) = rest.split_once('/').unwrap();
        Self {
            server: server.to_owned(),
            account: account.to_owned(),
            url,
        }
    }

    /// Returns the options of a table or location there.
    pub fn options(&self) -> BTreeMap<String, String> {
        let options = [
            ("azure_storage_account_name", self.account.as_str()),
            ("azure_storage_account_key", KEY),
            ("azure_storage_endpoint", &self.url),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        options.map(owned).into()
    }

    /// Returns them as lines of a configuration.
    pub fn settings(&self) -> String {
        settings_of(&self.options())
    }

    /// Makes a container.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn make(&self, container: &str) {
        let query = [("restype", "container")];
        self.ask("PUT", &format!("/{container}"), &query, &[], b"");
    }

    /// Puts an object there whose name is encoded as in a URL.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn put(&self, container: &str, name: &str, bytes: &[u8]) {
        let kind = [("x-ms-blob-type", "BlockBlob")];
        self.ask("PUT", &format!("/{container}/{name}"), &[], &kind, bytes);
    }

    /// Returns the queues of the server, which `YAGURA_TEST_AZURITE_QUEUE` names, as `http://HOST:PORT/ACCOUNT`.
    ///
    /// # Panics
    /// If it names none.
    pub fn queues_of_environment() -> Self {
        Self::at(std::env::var("YAGURA_TEST_AZURITE_QUEUE").unwrap())
    }

    /// Makes a queue, where this is the server's queues, and returns its URL.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn queue(&self, name: &str) -> String {
        self.ask("PUT", &format!("/{name}"), &[], &[], b"");
        format!("{}/{name}", self.url)
    }

    /// Puts a message into a queue, in base64 as Event Grid does.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn send(&self, queue: &str, text: &str) {
        let text = STANDARD.encode(text);
        let body = format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>");
        let path = format!("/{queue}/messages");
        self.ask("POST", &path, &[], &[], body.as_bytes());
    }

    /// Returns how many messages a queue has, hidden ones among them.
    ///
    /// # Panics
    /// If the server does not answer as it should.
    pub fn left(&self, queue: &str) -> u64 {
        let query = [("comp", "metadata")];
        let answer = self.ask("GET", &format!("/{queue}"), &query, &[], b"");
        let answer = answer.to_ascii_lowercase();
        let count = answer.split("x-ms-approximate-messages-count: ").nth(1);
        let count = count.and_then(|rest| rest.split_whitespace().next());
        count.unwrap().parse().unwrap()
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> String {
        let Self {
            account, server, ..
        } = self;
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut headers = headers.to_vec();
        headers.extend([("x-ms-date", date.as_str()), ("x-ms-version", "2021-12-02")]);
        headers.sort_unstable();
        let length = match body.len() {
            0 => String::new(),
            length => length.to_string(),
        };
        let mut signed = format!("{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n");
        for (name, value) in &headers {
            signed += &format!("{name}:{value}\n");
        }
        signed += &format!("/{account}/{account}{path}");
        for (name, value) in query {
            signed += &format!("\n{name}:{value}");
        }
        let key = STANDARD.decode(KEY).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(signed.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let query = query.iter().map(|(name, value)| format!("{name}={value}"));
        let query = query.collect::<Vec<_>>().join("&");
        let mut request = format!(
            "{method} /{account}{path}?{query} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in &headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Authorization: SharedKey {account}:{signature}\r\n\r\n");
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{path}: {answer}");
        answer
    }
}
