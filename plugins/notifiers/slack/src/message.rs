//! A report as blocks.

use plugin_common::{describe, shorten};
use serde_json::{Value, json};
use yagura_sdk::{Report, time};

/// The metadata's type.
pub(crate) const EVENT: &str = "yagura_incident";

/// Slack takes 150 characters in a header, 3000 in a section, 50 blocks.
const HEADER: usize = 150;
const SECTION: usize = 2900;
const SECTIONS: usize = 10;

/// Returns the arguments of `chat.postMessage` and `chat.update`.
pub(crate) fn body(report: &Report, channel: &str) -> Value {
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    let mut blocks = vec![
        json!({"type": "header", "text": plain(&shorten(&report.title, HEADER))}),
        json!({"type": "context", "elements": [plain(&describe(report))]}),
    ];
    // Plain text: what comes from logs must not mention anybody or pass for a link.
    for text in sections(&report.text) {
        blocks.push(json!({"type": "section", "text": plain(&text)}));
    }
    let footer = format!(
        "{} · revision {} · {}",
        report.id,
        report.revision,
        time::rfc3339(report.time)
    );
    blocks.push(json!({"type": "context", "elements": [plain(&footer)]}));
    json!({
        "channel": channel,
        "text": escape(&format!("[{}] {}", report.severity.name(), shorten(&report.title, 300))),
        "blocks": blocks,
        "metadata": {
            "event_type": EVENT,
            "event_payload": {"id": report.id, "revision": report.revision},
        },
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// Cuts a text at ends of lines into parts that fit a section.
fn sections(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        let line = shorten(line, SECTION);
        let mut last = parts.pop().unwrap_or_default();
        if last.len() + 1 + line.len() > SECTION {
            parts.push(std::mem::take(&mut last));
        }
        if !last.is_empty() {
            last.push('\n');
        }
        last.push_str(&line);
        parts.push(last);
    }
    parts.retain(|part| !part.trim().is_empty());
    if parts.len() > SECTIONS {
        parts.truncate(SECTIONS - 1);
        parts.push("… and more".to_owned());
    }
    parts
}

/// Escapes what Slack takes for links and mentions.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use yagura_sdk::testing::report;

    use super::*;

    #[test]
    fn long_reports_keep_slacks_limits() {
        let text = "櫓".repeat(5000) + "\n" + &"line\n".repeat(20_000);
        let long = report().title(&"t".repeat(500)).text(&text).build();
        let body = body(&long, "C1");
        let blocks = body["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), 3 + SECTIONS);
        for block in &blocks[2..blocks.len() - 1] {
            let text = block["text"]["text"].as_str().unwrap();
            assert!(text.chars().count() <= 3000 && !text.is_empty());
        }
        assert!(blocks[0]["text"]["text"].as_str().unwrap().chars().count() <= HEADER);
        assert_eq!(blocks[11]["text"]["text"], "… and more");
    }

    #[test]
    fn logs_mention_nobody() {
        let hostile = report().title("<!channel> & <@U1>").text("<!here>").build();
        let body = body(&hostile, "C1");
        assert_eq!(body["text"], "[medium] &lt;!channel&gt; &amp; &lt;@U1&gt;");
        assert_eq!(body["blocks"][2]["text"]["type"], "plain_text");
    }
}
