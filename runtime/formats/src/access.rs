//! Access logs of web servers: the common and the combined log format of Apache, nginx and others.
//!
//! ```text
//! common   = [vhost SP] remote-addr SP ident SP user SP "[" time "]" SP DQUOTE request DQUOTE SP status SP bytes
//! combined = common SP DQUOTE referer DQUOTE SP DQUOTE user-agent DQUOTE
//! line     = (common / combined) *(SP extra)
//! time     = 01/Mar/2026:10:11:12 +0100, or RFC 3339
//! request  = method SP path SP protocol, or any other text, such as the first bytes of TLS
//! ```
//!
//! A value `-` is left out, except a request. Text keeps the escapes of its writer: `\"`, `\x16`. `time_local` is the time as
//! written, and `timestamp` the same as RFC 3339. A request that is not one of HTTP is only `request`. What stands behind goes
//! into the array `extra`, with `-` for what is not there.
//!
//! Source: <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html>;
//! <https://nginx.org/en/docs/http/ngx_http_log_module.html>. The names are nginx's.

use std::net::IpAddr;

use serde_json::Value;

use crate::parts::{Members, bare, bracketed, pieces, quoted, request, whole_lines, wrong};
use crate::times::{common_time, is_moment};
use crate::{Decode, Decoded, Wrong};

/// Reads access logs. It keeps nothing between lines.
#[derive(Debug, Default)]
pub(crate) struct Access;

impl Access {
    /// Returns a decoder.
    pub(crate) fn new() -> Self {
        Self
    }
}

impl Decode for Access {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let line = bare(line);
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        let at = |rest: &str| line.len() - rest.len();
        let (head, time, rest) = around_time(line).ok_or_else(|| {
            wrong(
                "no time in brackets, such as [01/Mar/2026:10:11:12 +0000], stands in the line",
                0,
            )
        })?;
        let client = client(head).ok_or_else(|| {
            wrong(
                "before the time do not stand an address, an identity and a user",
                0,
            )
        })?;
        let (asked, rest) = quoted(rest, is_status_next).ok_or_else(|| {
            wrong(
                "a request in quotes and a status must follow the time",
                at(rest),
            )
        })?;
        let (status, rest) = word(rest);
        let (bytes, rest) = word(rest);
        if !(bytes == "-" || is_digits(bytes)) {
            return Err(wrong(
                "behind the status stands no number of bytes",
                at(rest),
            ));
        }
        let behind = pieces(rest).map_err(|error| wrong(error.reason, at(rest) + error.at))?;

        let mut event = Members::default();
        let mut add = |name: &str, text: &str| {
            if text != "-" && !text.is_empty() {
                event.text(name, text);
            }
        };
        add("vhost", client.vhost.unwrap_or_default());
        add("remote_addr", client.address);
        add("ident", client.ident);
        add("user", client.user);
        add("time_local", time);
        add(
            "timestamp",
            &common_time(time).unwrap_or_else(|| time.to_owned()),
        );
        event.text("request", asked);
        if let Some((method, path, protocol)) = request(asked) {
            event.text("method", method);
            event.text("path", path);
            if let Some(protocol) = protocol {
                event.text("protocol", protocol);
            }
        }
        // Status 000 is 0: the connection closed before an answer.
        if let Ok(status) = status.parse::<u16>() {
            event.add("status", Value::from(status));
        }
        if bytes != "-" {
            event.number("bytes", bytes);
        }
        let mut extra = behind.as_slice();
        if let [referer, agent, others @ ..] = extra
            && referer.is_quoted
            && agent.is_quoted
        {
            for (name, piece) in [("referer", referer), ("user_agent", agent)] {
                if piece.text != "-" {
                    event.text(name, piece.text);
                }
            }
            extra = others;
        }
        if !extra.is_empty() {
            event.add("extra", extra.iter().map(|piece| piece.text).collect());
        }
        Ok(Decoded::Event(event.into_map()))
    }
}

/// Who asked for what.
struct Client<'t> {
    vhost: Option<&'t str>,
    address: &'t str,
    ident: &'t str,
    user: &'t str,
}

/// Finds the time, and returns it and what stands before and behind.
fn around_time(line: &str) -> Option<(&str, &str, &str)> {
    line.match_indices(" [").find_map(|(at, _)| {
        let (time, rest) = bracketed(line.get(at + 1..)?)?;
        let is_time = common_time(time).is_some() || is_moment(time);
        is_time.then_some((line.get(..at)?, time, rest.strip_prefix(' ')?))
    })
}

/// Reads what stands before the time. A user's name may have spaces.
fn client(head: &str) -> Option<Client<'_>> {
    let (first, rest) = address(head)?;
    let (ident, user) = rest.split_once(' ')?;
    let hosted = address(rest).and_then(|(address, rest)| {
        let (ident, user) = rest.split_once(' ')?;
        Some(Client {
            vhost: Some(first),
            address,
            ident,
            user,
        })
    });
    let is_host = |found: &Client<'_>| ident != "-" && (is_ip(found.address) || found.ident == "-");
    if let Some(found) = hosted.filter(is_host) {
        return Some(found);
    }
    let found = Client {
        vhost: None,
        address: first,
        ident,
        user,
    };
    (!user.contains(' ') || ident == "-" || is_ip(first)).then_some(found)
}

/// Reads an address, or several with a comma and a space between them.
fn address(text: &str) -> Option<(&str, &str)> {
    let mut spaces = text.match_indices(' ');
    let (at, _) =
        spaces.find(|(at, _)| text.get(..*at).is_some_and(|text| !text.ends_with(',')))?;
    Some((text.get(..at)?, text.get(at + 1..)?)).filter(|(address, _)| !address.is_empty())
}

fn is_ip(text: &str) -> bool {
    let first = text.split(',').next().unwrap_or(text);
    first.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_status_next(rest: &str) -> bool {
    rest.starts_with(' ') && {
        let (status, _) = word(rest);
        status == "-" || (is_digits(status) && status.len() <= 3)
    }
}

/// Returns the word behind a space, and the rest.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(' ');
    text.split_at(text.find(' ').unwrap_or(text.len()))
}

/// Says whether the first lines of a text, at most 3, are of an access log.
pub(crate) fn looks_like(start: &str) -> bool {
    let mut lines = whole_lines(start).take(3).peekable();
    let is_event = |line| matches!(Access.line(line), Ok(Decoded::Event(_)));
    lines.peek().is_some() && lines.all(is_event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        match Access.line(line) {
            Ok(Decoded::Event(event)) => Value::Object(event).to_string(),
            Ok(Decoded::Nothing) => String::new(),
            Err(wrong) => format!("{} {}", wrong.at, wrong.reason),
        }
    }

    const TIME: &str =
        r#""time_local":"01/Mar/2026:10:11:12 +0100","timestamp":"2026-03-01T10:11:12+01:00""#;

    #[test]
    fn common_and_combined_lines_are_read() {
        let line = r#"192.0.2.7 - kim [01/Mar/2026:10:11:12 +0100] "GET /a?b=c HTTP/1.1" 200 -"#;
        let request = r#""request":"GET /a?b=c HTTP/1.1","method":"GET","path":"/a?b=c","protocol":"HTTP/1.1","status":200"#;
        let common = format!(r#"{{"remote_addr":"192.0.2.7","user":"kim",{TIME},{request}"#);
        assert_eq!(shown(line), format!("{common}}}"));
        let combined = shown(&format!(
            r#"{line} "-" "Agent \"x\" \x22y" 0.005 "192.0.2.9, 192.0.2.8" -"#
        ));
        let agent =
            r#""user_agent":"Agent \\\"x\\\" \\x22y","extra":["0.005","192.0.2.9, 192.0.2.8","-"]"#;
        assert_eq!(combined, format!("{common},{agent}}}"));
    }

    #[test]
    fn hosts_and_users_with_spaces_are_told_apart() {
        for (head, expected) in [
            (
                "shop.example:443 192.0.2.7 - -",
                r#"{"vhost":"shop.example:443","remote_addr":"192.0.2.7","#,
            ),
            (
                "shop.example client.example - kim",
                r#"{"vhost":"shop.example","remote_addr":"client.example","user":"kim","#,
            ),
            (
                "192.0.2.1 2001:db8::7 - -",
                r#"{"vhost":"192.0.2.1","remote_addr":"2001:db8::7","#,
            ),
            (
                "192.0.2.7 - kim lee",
                r#"{"remote_addr":"192.0.2.7","user":"kim lee","#,
            ),
            (
                "192.0.2.7, 192.0.2.8 - -",
                r#"{"remote_addr":"192.0.2.7, 192.0.2.8","#,
            ),
            ("192.0.2.7 - ", r#"{"remote_addr":"192.0.2.7","#),
            (
                "host id [x]",
                r#"{"remote_addr":"host","ident":"id","user":"[x]","#,
            ),
        ] {
            let line = format!("{head} [01/Mar/2026:10:11:12 +0100] \"GET / HTTP/1.1\" 200 5");
            assert!(
                shown(&line).starts_with(&format!("{expected}{TIME}")),
                "{}",
                shown(&line)
            );
        }
    }

    #[test]
    fn broken_requests_are_events() {
        for (request, expected) in [
            ("-", r#""request":"-","status":400,"bytes":0}"#),
            (
                r"\x16\x03\x01",
                r#""request":"\\x16\\x03\\x01","status":400,"bytes":0}"#,
            ),
            ("", r#""request":"","status":400,"bytes":0}"#),
            (
                r#"GET /a="b" c HTTP/1.0"#,
                r#""method":"GET","path":"/a=\"b\" c","protocol":"HTTP/1.0","status":400,"bytes":0}"#,
            ),
        ] {
            let line = format!("192.0.2.7 - - [2026-03-01T10:11:12+01:00] \"{request}\" 400 0 ");
            assert!(shown(&line).ends_with(expected), "{}", shown(&line));
        }
    }

    #[test]
    fn what_is_wrong_says_why() {
        for (line, reason) in [
            ("plain text", "0 no time in brackets"),
            (
                "Mar  1 10:11:12 host nginx: 192.0.2.7 - - [01/Mar/2026:10:11:12 +0100] \"-\" 1 1",
                "0 before the time",
            ),
            (
                "192.0.2.7 - - [01/Mar/2026:10:11:12 +0100] \"GET /",
                "43 a request in quotes",
            ),
            (
                "192.0.2.7 - - [01/Mar/2026:10:11:12 +0100] \"-\" 200",
                "50 behind the status",
            ),
            (
                "192.0.2.7 - - [01/Mar/2026:10:11:12 +0100] \"-\" 200 5 \"a",
                "53 a quote is not closed",
            ),
        ] {
            assert!(shown(line).starts_with(reason), "{}", shown(line));
        }
    }

    #[test]
    fn only_access_logs_look_like_one() {
        let line = "192.0.2.7 - - [01/Mar/2026:10:11:12 +0100] \"GET / HTTP/1.1\" 200 5\n";
        assert!(looks_like(line) && looks_like(&format!("{line}\n{line}{line}the rest")));
        for start in [
            "",
            "a b [c] \"d\" 200 5\n",
            "{\"a\":1}\n",
            &format!("{line}prose\n"),
        ] {
            assert!(!looks_like(start), "{start}");
        }
    }
}
