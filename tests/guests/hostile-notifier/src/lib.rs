//! A notifier that tells a server of each report, or misbehaves. The report's title chooses: see [`BEHAVIOURS`]; any other
//! title is a path of the server, which is its configuration.
//!
//! It speaks the contract itself, without the SDK, so that it can also do what the SDK would not allow.

wit_bindgen::generate!({
    path: "../../../wit/v0.1.0",
    world: "notifier",
});

use std::sync::Mutex;

use exports::yagura::plugin::notifying::{Guest, PluginError, Report};
use yagura::plugin::http::{self, Request, Signature};

/// What a report's title makes the notifier do. Each has a test in `runtime/host/tests/it/responders.rs`.
const BEHAVIOURS: [&str; 4] = [
    "receipt-huge",
    "receipt-garbage",
    "notify-for-ever",
    "panics",
];

static SERVER: Mutex<String> = Mutex::new(String::new());

struct Hostile;

impl Guest for Hostile {
    fn open(config: String) -> Result<(), PluginError> {
        *SERVER.lock().expect("one thread") = config;
        Ok(())
    }

    fn notify(report: Report) -> Result<String, PluginError> {
        match report.title.as_str() {
            "receipt-huge" => Ok("r".repeat(1 << 20)),
            // SAFETY: none. The host must not take it for text.
            "receipt-garbage" => Ok(unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) }),
            "notify-for-ever" => loop {
                let _ = tell(&report);
            },
            name if BEHAVIOURS.contains(&name) => panic!("no receipt for {}", report.id),
            _ => tell(&report),
        }
    }
}

fn tell(report: &Report) -> Result<String, PluginError> {
    let server = SERVER.lock().expect("one thread").clone();
    let body = format!(
        "{} {} {:?} {} {:?}",
        report.id, report.revision, report.earlier, report.text, report.alerts
    );
    let answer = http::send(&Request {
        method: "POST".to_owned(),
        url: format!("{server}/{}", report.title),
        headers: Vec::new(),
        body: body.into_bytes(),
        sign: Some(Signature {
            header: "X-Signature".to_owned(),
            secret: "TOKEN".to_owned(),
            prefix: "v0=".to_owned(),
            before: "v0:".to_owned(),
        }),
    });
    match answer {
        Ok(answer) if answer.status == 200 => {
            Ok(String::from_utf8_lossy(&answer.body).into_owned())
        }
        Ok(answer) => Err(PluginError::Retry(format!("status {}", answer.status))),
        Err(error) => Err(PluginError::Retry(format!("{error:?}"))),
    }
}

export!(Hostile);
