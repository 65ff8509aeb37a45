//! What receivers of reports answer.

use yagura_sdk::PluginError;
use yagura_sdk::http::{HttpError, Request, Response};

/// Sends what is for a receiver of reports.
pub trait Receive {
    /// Sends the request. The content of an answer does not matter. An answer that no receiver gives says that something
    /// stands between here and there, and the report is sent again.
    ///
    /// # Errors
    /// As [`Request::send`]; [`PluginError::Retry`] for a web page in place of an answer, and for one of many megabytes.
    fn receive(self) -> Result<Response, PluginError>;
}

impl Receive for Request {
    fn receive(self) -> Result<Response, PluginError> {
        let answer = match self.send() {
            Err(HttpError::TooLarge) => {
                return Err(PluginError::Retry(
                    "the receiver answered with more than the host reads: it is not known whether it took the report".to_owned(),
                ));
            }
            answer => answer?,
        };
        if answer.is_success() && is_page(&answer.body) {
            return Err(PluginError::Retry(format!(
                "a web page came with status {}, not an answer of the receiver: look at the URL, and for a proxy or a login in between",
                answer.status
            )));
        }
        Ok(answer)
    }
}

/// Says whether a body is a web page, whatever its type says: some servers call every answer HTML.
fn is_page(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body = body.trim_ascii_start();
    let begins = |with: &[u8]| {
        body.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    begins(b"<!doctype html") || begins(b"<html")
}

#[cfg(test)]
mod tests {
    use yagura_sdk::http;
    use yagura_sdk::testing::{Answer, Host};

    use super::*;

    #[test]
    fn a_page_or_a_flood_is_no_answer() {
        let send = |answer: Answer| {
            let _host = Host::new().answers("POST https://a.example/hook", answer);
            http::post("https://a.example/hook").receive()
        };
        let page = "\u{feff} \n<!DOCTYPE HTML>\n<title>Sign in</title>";
        for answer in [
            Answer::text(200, page),
            Answer::text(202, "<HTML>"),
            Answer::error(HttpError::TooLarge),
        ] {
            let error = send(answer).unwrap_err();
            assert!(matches!(error, PluginError::Retry(_)), "{error}");
        }
        for body in ["", "ok", "<ok/>", "{\"html\":\"<html>\"}"] {
            assert_eq!(send(Answer::text(200, body)).unwrap().status, 200, "{body}");
        }
        // What a failure says is the plugin's to read.
        assert_eq!(send(Answer::text(404, page)).unwrap().status, 404);
    }
}
