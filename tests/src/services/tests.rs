//! What the troubles do, by a client of one request a connection.

use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use serde_json::json;

use super::slack::Slack;
use super::*;

/// Sends one request and returns status line and body.
async fn ask(
    url: &str,
    line: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<(String, String)> {
    let address = url.strip_prefix("http://").unwrap_or(url).to_owned();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let talk = move || {
        let mut socket = std::net::TcpStream::connect(address)?;
        socket.write_all(request.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::task::spawn_blocking(talk).await??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.to_owned(), body.to_owned()))
}

async fn post(server: &Server<Slack>) -> std::io::Result<(String, String)> {
    let body =
        json!({"channel": "C1", "text": "hello", "metadata": {"event_type": "t"}}).to_string();
    ask(
        &server.url(),
        "POST /api/chat.postMessage",
        "authorization: Bearer token\r\n",
        &body,
    )
    .await
}

#[tokio::test]
async fn a_service_keeps_what_it_is_told() {
    let server = Server::start(Slack::new("token")).await.unwrap();
    let (head, body) = post(&server).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.contains(r#""ok":true"#), "{body}");
    let history = "GET /api/conversations.history?channel=C1&include_all_metadata=true";
    let (_, page) = ask(
        &server.url(),
        history,
        "authorization: Bearer token\r\n",
        "",
    )
    .await
    .unwrap();
    assert!(page.contains(r#""metadata":{"event_type":"t"}"#), "{page}");
    let (_, refused) = ask(&server.url(), history, "", "").await.unwrap();
    assert!(refused.contains("invalid_auth"), "{refused}");
    assert_eq!(server.service().messages.len(), 1);
    let lines: Vec<String> = server.requests().iter().map(Seen::line).collect();
    assert_eq!(
        lines[..2],
        [
            "POST /api/chat.postMessage",
            "GET /api/conversations.history"
        ]
    );
}

#[tokio::test]
async fn troubles_come_in_order_before_or_after_the_work() {
    let server = Server::start(Slack::new("token")).await.unwrap();
    server.fail(1, &Trouble::busy(7));
    server.fail_after(1, &Trouble::Malformed);
    server.fail(1, &Trouble::Reset);
    server.fail_after(1, &Trouble::Reset);
    server.fail(1, &Trouble::redirect("http://10.0.0.1/"));

    let (head, _) = post(&server).await.unwrap();
    assert!(
        head.contains("429") && head.contains("retry-after: 7"),
        "{head}"
    );
    assert_eq!(server.service().messages.len(), 0);
    let (_, body) = post(&server).await.unwrap();
    assert!(serde_json::from_str::<Value>(&body).is_err(), "{body}");
    assert_eq!(server.service().messages.len(), 1);
    for messages in [1, 2] {
        let error = post(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(server.service().messages.len(), messages);
    }
    let (head, _) = post(&server).await.unwrap();
    assert!(head.contains("location: http://10.0.0.1/"), "{head}");

    let late = Duration::from_millis(200);
    server.fail(9, &Trouble::Slow(late));
    let start = Instant::now();
    let (head, _) = post(&server).await.unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && start.elapsed() >= late,
        "{head}"
    );
    server.heal();
    post(&server).await.unwrap();
    assert_eq!(server.service().messages.len(), 4);
    assert_eq!(server.requests().len(), 7);
}

#[test]
fn queries_are_unescaped() {
    for (text, plain) in [
        ("a%20b", "a b"),
        ("a+b", "a b"),
        ("%E6%AB%93", "櫓"),
        ("100%", "100%"),
        ("%zz", "%zz"),
    ] {
        assert_eq!(request::unescape(text), plain);
    }
}
