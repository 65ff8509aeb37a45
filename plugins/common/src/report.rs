//! The same words for a report in every service.

use yagura_sdk::{AlertState, Report};

/// Returns one line about where an incident is: `high · open · 3 alerts, final`.
pub fn describe(report: &Report) -> String {
    let alerts = match report.alert_count {
        1 => "1 alert".to_owned(),
        count => format!("{count} alerts"),
    };
    format!(
        "{} · {} · {alerts}{}",
        report.severity.name(),
        report.status.name(),
        match markers(report).state {
            "" => String::new(),
            state => format!(", {state}"),
        }
    )
}

/// What decides whether a report says something new to somebody who does not read every line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Markers {
    /// How severe the incident is.
    pub severity: &'static str,
    /// Where the work on it is.
    pub status: &'static str,
    /// `provisional` while an alert of it may still change, `final` when none can; empty without alerts.
    pub state: &'static str,
}

/// Returns a report's markers.
pub fn markers(report: &Report) -> Markers {
    let is_open = |state| state == AlertState::Provisional;
    let state = if report.alerts.is_empty() {
        ""
    } else if report.alerts.iter().any(|alert| is_open(alert.state)) {
        "provisional"
    } else {
        "final"
    };
    Markers {
        severity: report.severity.name(),
        status: report.status.name(),
        state,
    }
}

/// Returns the start of a text, at most `bytes` long, with an ellipsis where something is cut off.
pub fn shorten(text: &str, bytes: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes.saturating_sub(ELLIPSIS.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ELLIPSIS}", &text[..end])
}

#[cfg(test)]
mod tests {
    use yagura_sdk::testing::{alert, report};

    use super::*;

    #[test]
    fn an_incident_is_final_when_all_its_alerts_are() {
        let provisional = || alert().state(AlertState::Provisional);
        let text = |builder: yagura_sdk::testing::ReportBuilder| describe(&builder.build());
        assert_eq!(text(report()), "medium · open · 0 alerts");
        assert_eq!(
            text(report().alert(alert())),
            "medium · open · 1 alert, final"
        );
        assert_eq!(
            text(report().alert(alert()).alert(provisional())),
            "medium · open · 2 alerts, provisional"
        );
        let withdrawn = alert().state(AlertState::Withdrawn);
        assert_eq!(
            text(report().alert(withdrawn)),
            "medium · open · 1 alert, final"
        );
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("櫓櫓櫓", 8), "櫓…");
        assert_eq!(shorten("abcdef", 5), "ab…");
    }
}
