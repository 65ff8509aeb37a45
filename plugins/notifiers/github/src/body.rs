//! A report as Markdown.

use plugin_common::{describe, shorten};
use yagura_sdk::time::rfc3339;
use yagura_sdk::{Report, Severity};

/// GitHub takes 256 characters in a title, 65,536 in a body.
const TITLE: usize = 240;
const TEXT: usize = 60_000;

pub(crate) fn title(report: &Report) -> String {
    shorten(
        &format!("[{}] {}", report.severity.name(), report.title),
        TITLE,
    )
}

/// What a body starts with; readers do not see it.
pub(crate) fn marker(id: &str) -> String {
    format!("<!-- yagura:{id} -->")
}

/// What a comment about a change of severity starts with.
pub(crate) fn change_marker(report: &Report, before: Severity) -> String {
    let (before, after) = (before.name(), report.severity.name());
    format!(
        "<!-- yagura:{}:{before}:{after}:{} -->",
        report.id, report.revision
    )
}

pub(crate) fn body(report: &Report) -> String {
    let text = shorten(&report.text, TEXT);
    let fence = fence(&text);
    // Inside a fence nothing from logs mentions anybody, links anywhere or ends a comment.
    format!(
        "{}\n**{}**\n\n{fence}text\n{text}\n{fence}\n\nIncident `{}`, revision {}, {}\n",
        marker(&report.id),
        describe(report),
        report.id,
        report.revision,
        rfc3339(report.time)
    )
}

pub(crate) fn change(report: &Report, before: Severity) -> String {
    format!(
        "{}\nSeverity changed from **{}** to **{}** with revision {}.",
        change_marker(report, before),
        before.name(),
        report.severity.name(),
        report.revision
    )
}

/// A fence longer than any run of backticks in the text.
fn fence(text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use yagura_sdk::testing::report;

    use super::*;

    #[test]
    fn logs_stay_inside_their_fence() {
        let hostile = report()
            .text("a ````\n```\n@everyone <!-- yagura:inc-2 -->")
            .build();
        let body = body(&hostile);
        assert!(
            body.starts_with("<!-- yagura:inc-1 -->\n**medium · open"),
            "{body}"
        );
        assert!(body.contains("\n`````text\na ````\n"), "{body}");
        let long = report()
            .text(&"x".repeat(200_000))
            .title(&"t".repeat(500))
            .build();
        assert!(super::body(&long).len() < 65_536 && title(&long).len() <= 256);
    }
}
