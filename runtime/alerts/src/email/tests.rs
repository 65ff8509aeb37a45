use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::format::tests::report;

/// What a server of the tests answers, by the command; others it accepts.
#[derive(Clone, Copy)]
enum Behaviour {
    Good,
    /// Answers the first command that begins so with this line.
    Answers(&'static str, &'static str),
    /// Closes the connection when the command comes; `.` is the end of the message.
    Drops(&'static str),
    /// Says nothing more when it comes.
    Hangs(&'static str),
}

/// Serves SMTP on loopback; what clients say is kept, line by line.
async fn serve(behaviour: Behaviour) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            writer.write_all(b"220 test\r\n").await.unwrap();
            let mut is_message = false;
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().unwrap().push(line.clone());
                let is = |command: &str| {
                    if is_message {
                        line == "." && command == "."
                    } else {
                        line.starts_with(command)
                    }
                };
                let answer = match behaviour {
                    Behaviour::Drops(command) if is(command) => break,
                    Behaviour::Hangs(command) if is(command) => {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        break;
                    }
                    Behaviour::Answers(command, answer) if is(command) => {
                        is_message = false;
                        answer
                    }
                    _ if is_message && line != "." => continue,
                    _ if is_message => {
                        is_message = false;
                        "250 taken"
                    }
                    _ if line == "DATA" => {
                        is_message = true;
                        "354 go on"
                    }
                    _ if line.starts_with("EHLO") => "250-test\r\n250 AUTH PLAIN LOGIN",
                    _ if line.starts_with("AUTH") => "235 welcome",
                    _ => "250 well",
                };
                if writer
                    .write_all(format!("{answer}\r\n").as_bytes())
                    .await
                    .is_err()
                {
                    break;
                }
            }
        }
    });
    (port, said)
}

fn settings(server: &str) -> Email {
    Email {
        server: server.to_owned(),
        from: "Yagura <yagura@example.org>".to_owned(),
        to: vec!["soc@example.org".to_owned(), "lead@example.org".to_owned()],
        user: None,
        password: None,
    }
}

fn notifier(port: u16) -> EmailNotifier {
    let settings = settings(&format!("smtp://127.0.0.1:{port}"));
    let mut notifier =
        EmailNotifier::new(&settings, |_| Err(EmailSecretError("none".to_owned()))).unwrap();
    notifier.step = Duration::from_millis(400);
    notifier
}

fn first() -> Report {
    Report {
        revision: 1,
        earlier: None,
        ..report()
    }
}

/// Decodes a header as a mail program does (RFC 2047), `b` words alone.
fn decoded(header: &str) -> String {
    let mut rest = header.replace("\n ", " ");
    let mut text = String::new();
    while let Some(start) = rest.find("=?") {
        text.push_str(&rest[..start]);
        let word = rest[start..].strip_prefix("=?utf-8?b?").unwrap();
        let (base64, after) = word.split_once("?=").unwrap();
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
        for letter in base64.bytes().filter(|letter| *letter != b'=') {
            let value = letters.iter().position(|known| *known == letter).unwrap();
            bits = (bits << 6 | u32::try_from(value).unwrap()) & 0xffff;
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
            }
        }
        text.push_str(&String::from_utf8(bytes).unwrap());
        // Blanks between two encoded words are not shown.
        let next = after.trim_start();
        rest = if next.starts_with("=?") { next } else { after }.to_owned();
    }
    text + &rest
}

#[tokio::test]
async fn a_title_that_looks_encoded_is_shown_as_it_is() {
    for title in [
        "a =?utf-8?q?enc?= b",
        "=?utf-8?b?aGVsbG8=?=",
        "=?=? ?= =?",
        "x=?iso-8859-1?q?=E9?=y and a long text that does not fit one line of a header, with é and 日本語 in it",
        "plain text with an é",
    ] {
        for earlier in [None, Some("<incident-1.1@example.org>".to_owned())] {
            let report = Report {
                title: title.to_owned(),
                earlier: earlier.clone(),
                ..first()
            };
            let (port, said) = serve(Behaviour::Good).await;
            notifier(port).notify(report).await.unwrap();
            let message = said.lock().unwrap().join("\n");
            let (_, subject) = message.split_once("\nSubject: ").unwrap();
            let end = subject
                .match_indices('\n')
                .find(|(at, _)| !subject[at + 1..].starts_with(' '));
            let subject = decoded(&subject[..end.unwrap().0]);
            let re = if earlier.is_some() { "Re: " } else { "" };
            assert_eq!(subject, format!("{re}[low] {title}"));
        }
    }
}

async fn failure(behaviour: Behaviour) -> Failure {
    let (port, _) = serve(behaviour).await;
    notifier(port).notify(first()).await.unwrap_err()
}

#[tokio::test]
async fn the_reports_of_an_incident_are_a_thread() {
    let (port, said) = serve(Behaviour::Good).await;
    let notifier = notifier(port);
    let receipt = notifier.notify(first()).await.unwrap();
    assert_eq!(receipt, "<incident-1.1@example.org>");
    let message = said.lock().unwrap().join("\n");
    for expected in [
        "MAIL FROM:<yagura@example.org>",
        "RCPT TO:<soc@example.org>",
        "RCPT TO:<lead@example.org>",
        "Message-ID: <incident-1.1@example.org>",
        "Subject: [low] Console login without MFA by alice",
        "Date: Fri, 30 Jan 2026 08:02:00 +0000",
        "Auto-Submitted: auto-generated",
        "short lines\n\nIncident incident-1, report 1",
    ] {
        assert!(message.contains(expected), "{expected}\n{message}");
    }
    assert!(!message.contains("In-Reply-To"), "{message}");

    said.lock().unwrap().clear();
    let update = Report {
        revision: 2,
        earlier: Some(receipt.clone()),
        ..report()
    };
    assert_eq!(notifier.notify(update.clone()).await.unwrap(), receipt);
    let sent = std::mem::take(&mut *said.lock().unwrap());
    let message = sent.join("\n");
    for expected in [
        "Message-ID: <incident-1.2@example.org>",
        "In-Reply-To: <incident-1.1@example.org>",
        "References: <incident-1.1@example.org>",
        "Subject: Re: [low] Console login without MFA by alice",
    ] {
        assert!(message.contains(expected), "{expected}\n{message}");
    }
    // Sent again, it is the same message to the byte.
    notifier.notify(update).await.unwrap();
    assert_eq!(*said.lock().unwrap(), sent);
}

#[tokio::test]
async fn a_title_cannot_add_headers() {
    let (port, said) = serve(Behaviour::Good).await;
    let mut report = first();
    report.title = "login\r\nBcc: thief@example.net\r\n\r\nbody 侵入".to_owned();
    report.id = "x>\r\nBcc: thief@example.net".to_owned();
    report.text = "line\r\n.\r\nMAIL FROM:<thief@example.net>".to_owned();
    let receipt = notifier(port).notify(report).await.unwrap();
    assert!(!receipt.contains(['\r', '\n', ' ']), "{receipt}");
    let said = said.lock().unwrap();
    assert!(
        !said.iter().any(|line| line.starts_with("Bcc")),
        "{said:#?}"
    );
    assert_eq!(
        said.iter().filter(|line| line.starts_with("RCPT")).count(),
        2
    );
    // A line of one full stop does not end the message.
    assert_eq!(said.iter().filter(|line| *line == ".").count(), 1);
    assert_eq!(said.iter().filter(|line| *line == "..").count(), 1);
    let subject = said
        .iter()
        .find(|line| line.starts_with("Subject:"))
        .unwrap();
    assert!(subject.is_ascii(), "{subject}");
}

#[tokio::test]
async fn what_will_not_get_better_is_permanent() {
    for behaviour in [
        Behaviour::Answers("MAIL", "550 no such sender"),
        Behaviour::Answers("RCPT", "550 no such user"),
        Behaviour::Answers("DATA", "554 no"),
        Behaviour::Answers(".", "550 spam"),
    ] {
        let failure = failure(behaviour).await;
        assert!(matches!(&failure, Failure::Permanent { .. }), "{failure:?}");
    }
    let failure = failure(Behaviour::Answers(".", "550 looks like spam")).await;
    assert!(
        failure.to_string().contains("refused the message"),
        "{failure}"
    );
    assert!(failure.to_string().contains("looks like spam"), "{failure}");
}

#[tokio::test]
async fn what_may_get_better_is_tried_again() {
    for behaviour in [
        Behaviour::Answers("EHLO", "421 busy"),
        Behaviour::Answers("RCPT", "451 later"),
        Behaviour::Answers(".", "451 later"),
        Behaviour::Drops("EHLO"),
        Behaviour::Drops("DATA"),
        Behaviour::Hangs("MAIL"),
    ] {
        let failure = failure(behaviour).await;
        let is_certain = matches!(
            &failure,
            Failure::Retry {
                is_uncertain: false,
                ..
            }
        );
        assert!(is_certain, "{failure:?}");
    }
    // A port on which nobody listens.
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let failure = notifier(port).notify(first()).await.unwrap_err();
    assert!(
        matches!(
            &failure,
            Failure::Retry {
                is_uncertain: false,
                ..
            }
        ),
        "{failure:?}"
    );
    assert!(
        failure.to_string().contains(&format!("127.0.0.1:{port}")),
        "{failure}"
    );
}

#[tokio::test]
async fn without_an_answer_to_the_message_it_may_have_arrived() {
    for behaviour in [
        Behaviour::Drops("."),
        Behaviour::Hangs("."),
        Behaviour::Answers(".", "what?"),
    ] {
        let failure = failure(behaviour).await;
        assert!(
            matches!(
                &failure,
                Failure::Retry {
                    is_uncertain: true,
                    ..
                }
            ),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn one_address_that_is_gone_does_not_keep_the_report_from_others() {
    let (port, said) = serve(Behaviour::Answers("RCPT TO:<soc@", "550 gone")).await;
    assert!(notifier(port).notify(first()).await.is_ok());
    assert!(said.lock().unwrap().iter().any(|line| line == "."));
}

#[tokio::test]
async fn the_password_is_the_secrets_and_asked_for_each_time() {
    let (port, said) = serve(Behaviour::Good).await;
    let mut settings = settings(&format!("smtp://localhost:{port}"));
    settings.user = Some("yagura".to_owned());
    settings.password = Some("smtp-password".to_owned());
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let notifier = EmailNotifier::new(&settings, move |name| {
        assert_eq!(name, "smtp-password");
        let mut asked = count.lock().unwrap();
        *asked += 1;
        if *asked < 3 {
            Ok(format!("p{asked}"))
        } else {
            Err(EmailSecretError("the command failed".to_owned()))
        }
    })
    .unwrap();
    let login = |said: &Mutex<Vec<String>>| {
        let mut said = said.lock().unwrap();
        let login = said
            .iter()
            .find(|line| line.starts_with("AUTH PLAIN"))
            .cloned();
        said.clear();
        login
    };
    notifier.notify(first()).await.unwrap();
    // Base64 of NUL yagura NUL p1, and then p2.
    assert_eq!(login(&said).as_deref(), Some("AUTH PLAIN AHlhZ3VyYQBwMQ=="));
    notifier.notify(first()).await.unwrap();
    assert_eq!(login(&said).as_deref(), Some("AUTH PLAIN AHlhZ3VyYQBwMg=="));
    let failure = notifier.notify(first()).await.unwrap_err();
    assert!(
        matches!(
            &failure,
            Failure::Retry {
                is_uncertain: false,
                ..
            }
        ),
        "{failure:?}"
    );
    assert!(
        failure
            .to_string()
            .contains("`smtp-password`: the command failed"),
        "{failure}"
    );
}

#[tokio::test]
async fn without_tls_nothing_is_said_where_it_is_needed() {
    let (port, said) = serve(Behaviour::Good).await;
    let mut notifier = notifier(port);
    notifier.server.security = Security::StartTls;
    notifier.login = Some(("yagura".to_owned(), "smtp-password".to_owned()));
    let failure = notifier.notify(first()).await.unwrap_err();
    assert!(failure.to_string().contains("STARTTLS"), "{failure}");
    let said = said.lock().unwrap();
    assert!(
        said.iter()
            .all(|line| !line.starts_with("AUTH") && !line.starts_with("MAIL")),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_server_without_tls_gets_nothing() {
    let (port, said) = serve(Behaviour::Good).await;
    let mut notifier = notifier(port);
    notifier.server.security = Security::Wrapped;
    let failure = notifier.notify(first()).await.unwrap_err();
    let is_certain = matches!(
        &failure,
        Failure::Retry {
            is_uncertain: false,
            ..
        }
    );
    assert!(is_certain, "{failure:?}");
    assert!(
        !said
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("EHLO"))
    );
}

#[test]
fn a_server_is_reached_with_tls_or_on_this_machine() {
    let read = |text: &str| Server::read(text).map(|s| (s.host, s.port, s.security));
    let is = |host: &str, port, security| Ok((host.to_owned(), port, security));
    assert_eq!(
        read("smtps://mail.example.org"),
        is("mail.example.org", 465, Security::Wrapped)
    );
    assert_eq!(
        read("smtp://mail.example.org"),
        is("mail.example.org", 587, Security::StartTls)
    );
    assert_eq!(
        read("smtp://10.0.0.1:25"),
        is("10.0.0.1", 25, Security::StartTls)
    );
    assert_eq!(
        read("smtp://localhost"),
        is("localhost", 25, Security::None)
    );
    assert_eq!(read("smtp://[::1]:2525"), is("::1", 2525, Security::None));
    assert_eq!(
        read("smtp://localhost.example.org").unwrap().2,
        Security::StartTls
    );
    for wrong in [
        "mail.example.org",
        "http://mail.example.org",
        "smtp://",
        "smtps://h/path",
        "smtps://h?tls=none",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert!(
        read("smtps://user:pw@mail.example.org")
            .unwrap_err()
            .to_string()
            .contains("secret")
    );
}

#[test]
fn settings_that_are_wrong_name_their_key() {
    let key = |change: fn(&mut Email)| -> Option<String> {
        let mut settings = settings("smtps://mail.example.org");
        change(&mut settings);
        EmailNotifier::new(&settings, |_| Err(EmailSecretError(String::new())))
            .err()
            .and_then(|error| error.0[0].key.as_ref().map(ToString::to_string))
    };
    assert_eq!(key(|_| {}), None);
    assert_eq!(
        key(|email| email.server = "mail".to_owned()),
        Some("server".to_owned())
    );
    assert_eq!(
        key(|email| email.from = "yagura".to_owned()),
        Some("from".to_owned())
    );
    assert_eq!(
        key(|email| email.from = "a@b.org\r\nBcc: c@d.org".to_owned()),
        Some("from".to_owned())
    );
    assert_eq!(key(|email| email.to.clear()), Some("to".to_owned()));
    assert_eq!(
        key(|email| email.to.push("söc@example.org".to_owned())),
        Some("to".to_owned())
    );
    assert_eq!(
        key(|email| email.user = Some("u".to_owned())),
        Some("password".to_owned())
    );
    assert_eq!(
        key(|email| email.password = Some("p".to_owned())),
        Some("user".to_owned())
    );
}
