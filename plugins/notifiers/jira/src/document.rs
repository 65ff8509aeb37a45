//! A report in Atlassian's document format.

use plugin_common::{describe, shorten};
use serde_json::{Value, json};
use yagura_sdk::Report;
use yagura_sdk::time::rfc3339;

/// Jira takes 32,767 characters in a description.
const TEXT: usize = 28_000;

pub(crate) fn of(report: &Report) -> Value {
    let paragraph =
        |text: &str| json!({"type": "paragraph", "content": [{"type": "text", "text": text}]});
    let mut content = vec![paragraph(&describe(report))];
    let text = shorten(&report.text, TEXT);
    // An empty text node is refused.
    if !text.trim().is_empty() {
        content.push(json!({
            "type": "codeBlock",
            "attrs": {"language": "text"},
            "content": [{"type": "text", "text": text}],
        }));
    }
    content.push(paragraph(&format!(
        "Incident {}, revision {}, {}",
        report.id,
        report.revision,
        rfc3339(report.time)
    )));
    json!({"type": "doc", "version": 1, "content": content})
}
