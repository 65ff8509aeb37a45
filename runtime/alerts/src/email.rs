//! Reports by e-mail: the host's own notifier.
//!
//! The reports of an incident are a thread: each names the first as what it answers. The number of a message follows from
//! the incident and the report's revision, so that the same report sent twice is the same message.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use email_encoding::headers::{rfc2047, writer::EmailWriter};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use lettre::address::{AddressError, Envelope};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use sha2::{Digest, Sha256};
use url::Url;
use yagura_core::Report;
use yagura_core::alert::hex;
use yagura_core::diagnostic::{Code, Diagnostic, Diagnostics, Key};

use crate::policy::Email;
use crate::ports::{Failure, Notify};
use crate::render::{TITLE, line};

/// How long each step of a delivery may take.
const STEP: Duration = Duration::from_secs(30);

type SecretLookup = dyn Fn(&str) -> Result<String, EmailSecretError> + Send + Sync;

/// Why the value of a secret is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EmailSecretError(pub String);

/// Why a setting cannot be used. The message follows the setting's key.
#[derive(Debug, PartialEq, thiserror::Error)]
enum SettingError {
    #[error("is `{0}`: write smtps://HOST[:PORT], or smtp://HOST[:PORT] for STARTTLS")]
    Server(String),
    #[error("holds a user or a password: write `user`, and the name of a secret as `password`")]
    Login,
    #[error(
        "has `{text}`, which is not an address ({error}): write name@example.org, or `Name <name@example.org>`"
    )]
    Address { text: String, error: AddressError },
    #[error("has `{0}`, whose address is not plain ASCII")]
    NotAscii(String),
}

/// Sends reports by e-mail.
pub struct EmailNotifier {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
    /// The user and the name of the password's secret.
    login: Option<(String, String)>,
    secret: Arc<SecretLookup>,
    step: Duration,
}

impl EmailNotifier {
    /// Makes a notifier; `secret` returns the value of a secret by name, and is asked before each delivery.
    ///
    /// # Errors
    /// The first thing that is wrong with the settings; its key is inside `[notifier.NAME.email]`.
    pub fn new(
        email: &Email,
        secret: impl Fn(&str) -> Result<String, EmailSecretError> + Send + Sync + 'static,
    ) -> Result<Self, Diagnostics> {
        let diagnostic = |code, key, message: String| {
            Diagnostics::from(Diagnostic::error(code, message).at(Key::top(key)))
        };
        let wrong =
            |key, error: SettingError| diagnostic(Code::InvalidValue, key, error.to_string());
        let server = Server::read(&email.server).map_err(|error| wrong("server", error))?;
        let from = mailbox(&email.from).map_err(|error| wrong("from", error))?;
        if email.to.is_empty() {
            let message = "names nobody: write an address".to_owned();
            return Err(diagnostic(Code::EmptyValue, "to", message));
        }
        let to = email.to.iter().map(|address| mailbox(address));
        let to = to
            .collect::<Result<_, _>>()
            .map_err(|error| wrong("to", error))?;
        let login = match (&email.user, &email.password) {
            (Some(user), Some(password)) => Some((user.clone(), password.clone())),
            (None, None) => None,
            (Some(_), None) => {
                let message = "is missing: write the name of the secret, or leave `user` out";
                return Err(diagnostic(Code::MissingKey, "password", message.to_owned()));
            }
            (None, Some(_)) => {
                let message = "is missing: write it, or leave `password` out";
                return Err(diagnostic(Code::MissingKey, "user", message.to_owned()));
            }
        };
        Ok(Self {
            server,
            from,
            to,
            login,
            secret: Arc::new(secret),
            step: STEP,
        })
    }

    /// Returns the id of the message of a report.
    fn message_id(&self, report: &Report) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let id = if report.id.chars().all(is_plain) {
            report.id.clone()
        } else {
            hex(&Sha256::digest(&report.id)[..16])
        };
        format!("<{id}.{}@{}>", report.revision, self.from.email.domain())
    }

    fn message(&self, report: &Report) -> Result<Message, Failure> {
        let severity = report.severity;
        let subject = line(&format!("[{severity}] {}", report.title), TITLE);
        let since_1970 = u64::try_from(report.time.micros()).unwrap_or_default();
        let mut message = Message::builder()
            .from(self.from.clone())
            .date(SystemTime::UNIX_EPOCH + Duration::from_micros(since_1970))
            .message_id(Some(self.message_id(report)))
            // So that nobody's absence note answers it (RFC 3834).
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            message = message.to(to.clone());
        }
        let message = match &report.earlier {
            Some(first) => {
                let first = line(first, 998);
                message
                    .raw_header(subject_header(format!("Re: {subject}")))
                    .in_reply_to(first.clone())
                    .references(first)
            }
            None => message.raw_header(subject_header(subject)),
        };
        let body = format!(
            "{}\n\nIncident {}, report {}\n",
            report.text.trim_end(),
            line(&report.id, TITLE),
            report.revision
        );
        message.body(body).map_err(|error| Failure::Permanent {
            message: format!("cannot write the report as an e-mail: {error}"),
        })
    }

    async fn deliver(&self, report: Report) -> Result<String, Failure> {
        let message = self.message(&report)?;
        let mut connection = self.connect().await?;
        let result = self.send(&mut connection, &message).await;
        // The answer to the message was what counts; the server may be gone by now.
        _ = tokio::time::timeout(self.step, connection.quit()).await;
        result?;
        let id = self.message_id(&report);
        Ok(report.earlier.unwrap_or(id))
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let Server {
            host,
            port,
            security,
        } = &self.server;
        let tls = || {
            TlsParameters::new(host.clone()).map_err(|error| Failure::Permanent {
                message: format!("cannot use TLS with the mail server {host}: {error}"),
            })
        };
        let hello = ClientId::default();
        let wrapped = match security {
            Security::Wrapped => Some(tls()?),
            Security::StartTls | Security::None => None,
        };
        let connect = AsyncSmtpConnection::connect_tokio1(
            (host.as_str(), *port),
            Some(self.step),
            &hello,
            wrapped,
            None,
        );
        let mut connection = self.certain("the connection", connect).await?;
        if *security == Security::StartTls {
            let upgrade = connection.starttls(tls()?, &hello);
            self.certain("STARTTLS", upgrade).await?;
        }
        if let Some((user, name)) = &self.login {
            let (secret, asked) = (Arc::clone(&self.secret), name.clone());
            // A secret may come from a command, which takes its time.
            let password = tokio::task::spawn_blocking(move || secret(&asked)).await;
            let password = password
                .unwrap_or_else(|error| Err(EmailSecretError(error.to_string())))
                .map_err(|error| retry(format!("cannot read the secret `{name}`: {error}")))?;
            let credentials = Credentials::new(user.clone(), password);
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let login = connection.auth(&mechanisms, &credentials);
            self.certain("the login", login).await?;
        }
        Ok(connection)
    }

    async fn send(
        &self,
        connection: &mut AsyncSmtpConnection,
        message: &Message,
    ) -> Result<(), Failure> {
        let envelope: &Envelope = message.envelope();
        let sender = connection.command(Mail::new(envelope.from().cloned(), Vec::new()));
        self.certain("the sender", sender).await?;
        let mut refused = None;
        let mut accepted = 0;
        for to in envelope.to() {
            let receiver = connection.command(Rcpt::new(to.clone(), Vec::new()));
            match self.certain("a receiver", receiver).await {
                Ok(_) => accepted += 1,
                // One address that is gone must not keep the report from the others.
                Err(Failure::Permanent { message }) => {
                    tracing::warn!(receiver = %to, error = message, "the mail server refused a receiver");
                    refused = Some(Failure::Permanent { message });
                }
                Err(failure) => return Err(failure),
            }
        }
        if let Some(failure) = refused.filter(|_| accepted == 0) {
            return Err(failure);
        }
        self.certain("the message", connection.command(Data))
            .await?;
        // From here on the server may have taken it, even if its answer does not arrive.
        let bytes = message.formatted();
        self.step("the message", true, connection.message(&bytes))
            .await
            .map(|_| ())
    }

    /// Takes a step after which it is certain that nothing was delivered if it fails.
    async fn certain<T>(
        &self,
        what: &str,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        self.step(what, false, step).await
    }

    async fn step<T>(
        &self,
        what: &str,
        is_uncertain: bool,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let server = format!("the mail server {}:{}", self.server.host, self.server.port);
        match tokio::time::timeout(self.step, step).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_permanent() => Err(Failure::Permanent {
                message: format!("{server} refused {what}: {error}"),
            }),
            Ok(Err(error)) => Err(Failure::Retry {
                message: format!("{what} failed at {server}: {error}"),
                after: None,
                is_uncertain: is_uncertain && !error.is_transient(),
            }),
            Err(_) => Err(Failure::Retry {
                message: format!("{server} took longer than {:?} for {what}", self.step),
                after: None,
                is_uncertain,
            }),
        }
    }
}

impl Notify for EmailNotifier {
    fn notify(&self, report: Report) -> BoxFuture<'_, Result<String, Failure>> {
        self.deliver(report).boxed()
    }
}

/// Where mail is handed over, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
    security: Security,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// TLS from the first byte.
    Wrapped,
    /// TLS before anything else is sent.
    StartTls,
    /// None, on this machine only.
    None,
}

impl Server {
    fn read(text: &str) -> Result<Self, SettingError> {
        let wrong = || SettingError::Server(text.to_owned());
        let url: Url = text.parse().map_err(|_| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(wrong)?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SettingError::Login);
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        let is_loopback = host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        let (security, port) = match (url.scheme(), is_loopback) {
            ("smtps", _) => (Security::Wrapped, 465),
            ("smtp", false) => (Security::StartTls, 587),
            ("smtp", true) => (Security::None, 25),
            _ => return Err(wrong()),
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(port),
            security,
        })
    }
}

/// Returns the header of a subject. Text that reads like an encoded word (RFC 2047), `=?utf-8?q?…?=`, would be decoded by the
/// reader's mail program to what nobody can see in the alert, so it is encoded itself.
fn subject_header(subject: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Subject");
    let mut encoded = String::new();
    let is_encoded = subject.contains("=?") && {
        let mut writer = EmailWriter::new(&mut encoded, "Subject: ".len(), 0, false);
        rfc2047::encode(&subject, &mut writer).is_ok()
    };
    if is_encoded {
        return HeaderValue::dangerous_new_pre_encoded(name, subject, encoded);
    }
    HeaderValue::new(name, subject)
}

fn mailbox(text: &str) -> Result<Mailbox, SettingError> {
    let mailbox: Mailbox = text.parse().map_err(|error| SettingError::Address {
        text: text.to_owned(),
        error,
    })?;
    if mailbox.email.to_string().is_ascii() {
        Ok(mailbox)
    } else {
        Err(SettingError::NotAscii(text.to_owned()))
    }
}

fn retry(message: String) -> Failure {
    Failure::Retry {
        message,
        after: None,
        is_uncertain: false,
    }
}

#[cfg(test)]
mod tests;
