//! GitHub issues: one issue an incident, its body rewritten as more becomes known, a comment where the severity changes.
//!
//! The body starts with a comment that names the incident, and all issues have one label: by them an issue is found that an
//! attempt without an answer may have left.

mod body;

use serde::Deserialize;
use serde_json::{Value, json};
use yagura_sdk::http::{Request, Response};
use yagura_sdk::prelude::*;
use yagura_sdk::state::DAY;
use yagura_sdk::time::rfc3339;

use plugin_common::{Receive, base_url, parse, secret};

yagura_sdk::notifier!(GitHub);

/// Pages of 100 issues, the latest first, that are searched for one that may be there.
const PAGES: u32 = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    repository: String,
    #[serde(default = "label")]
    label: String,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default = "token")]
    secret: String,
    #[serde(default = "github")]
    base_url: String,
}

fn label() -> String {
    "yagura".to_owned()
}

fn token() -> String {
    "github_token".to_owned()
}

fn github() -> String {
    "https://api.github.com".to_owned()
}

struct GitHub {
    issues: String,
    label: String,
    labels: Vec<String>,
    authorization: String,
}

/// What is kept of an issue: its number, and the severity that was told last.
struct Receipt {
    number: u64,
    severity: Option<Severity>,
}

impl Receipt {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let number = words.next()?.parse().ok()?;
        let severity = words.next().and_then(Severity::of);
        Some(Self { number, severity })
    }
}

impl Notifier for GitHub {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        let is_part = |part: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.chars().all(is_plain)
        };
        let parts = settings.repository.split_once('/');
        if !parts.is_some_and(|(owner, name)| is_part(owner) && is_part(name)) {
            return Err(PluginError::Config(format!(
                "`repository` is \"{}\": write `OWNER/NAME`",
                settings.repository
            )));
        }
        if settings.label.is_empty() || settings.label.contains(',') {
            return Err(PluginError::Config(format!(
                "`label` is \"{}\": write a label without comma, by which issues are found again",
                settings.label
            )));
        }
        let mut labels = vec![settings.label.clone()];
        labels.extend(settings.labels);
        Ok(Self {
            issues: format!(
                "{}/repos/{}/issues",
                base_url(&settings.base_url)?,
                settings.repository
            ),
            label: settings.label,
            labels,
            authorization: format!("Bearer {}", secret(&settings.secret)?),
        })
    }

    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        let earlier = match report.earlier.as_deref().map(Receipt::read) {
            Some(Some(receipt)) => Some(receipt),
            Some(None) => {
                log::warn("the receipt is none of GitHub's: the issue is searched for");
                self.find(report)?
            }
            None if report.uncertain => self.find(report)?,
            None => None,
        };
        let number = match earlier {
            Some(receipt) if self.update(report, receipt.number)? => {
                if let Some(before) = receipt.severity.filter(|before| *before != report.severity) {
                    self.comment(report, receipt.number, before)?;
                }
                receipt.number
            }
            _ => self.create(report)?,
        };
        Ok(format!("{number} {}", report.severity.name()))
    }
}

impl GitHub {
    fn create(&self, report: &Report) -> Result<u64, PluginError> {
        let issue = json!({
            "title": body::title(report),
            "body": body::body(report),
            "labels": self.labels,
        });
        let answer = self.ask(http::post(&self.issues).json(issue))?;
        let answer = success(answer)?;
        let number = number_of(answer.json()?).ok_or_else(|| {
            PluginError::Retry("GitHub answered an issue without number".to_owned())
        })?;
        // A report may begin with its end, where an alert was withdrawn before it could be told.
        if report.status == Status::Closed {
            self.update(report, number)?;
        }
        Ok(number)
    }

    /// Says whether the issue was there to be updated.
    fn update(&self, report: &Report, number: u64) -> Result<bool, PluginError> {
        let mut issue = json!({
            "title": body::title(report),
            "body": body::body(report),
            "state": "open",
        });
        if report.status == Status::Closed {
            issue["state"] = json!("closed");
            issue["state_reason"] = json!("completed");
        }
        let answer = self.ask(http::patch(format!("{}/{number}", self.issues)).json(issue))?;
        if matches!(answer.status, 404 | 410) {
            log::info(&format!(
                "issue {number} is not there any more: a new one is made"
            ));
            return Ok(false);
        }
        success(answer).map(|_| true)
    }

    /// Says that the severity has changed, once.
    fn comment(&self, report: &Report, number: u64, before: Severity) -> Result<(), PluginError> {
        let comments = format!("{}/{number}/comments", self.issues);
        let marker = body::change_marker(report, before);
        if report.uncertain {
            let request = http::get(&comments)
                .query("since", &rfc3339(report.time.saturating_sub(DAY)))
                .query("per_page", "100");
            let answer = success(self.ask(request)?)?;
            let mut there = answer.json()?.elements();
            if there.any(|comment| starts_with(comment, &marker)) {
                return Ok(());
            }
        }
        let comment: Value = json!({"body": body::change(report, before)});
        success(self.ask(http::post(comments).json(comment))?).map(|_| ())
    }

    /// Looks for the issue of an incident among those with the label.
    fn find(&self, report: &Report) -> Result<Option<Receipt>, PluginError> {
        let marker = body::marker(&report.id);
        for page in 1..=PAGES {
            let request = http::get(&self.issues)
                .query("labels", &self.label)
                .query("state", "all")
                .query("sort", "created")
                .query("direction", "desc")
                .query("per_page", "100")
                .query("page", &page.to_string());
            let answer = success(self.ask(request)?)?;
            let issues: Vec<Json<'_>> = answer.json()?.elements().collect();
            // Only the start counts: the rest of a body is what logs say, and what people add.
            let found = issues.iter().find(|issue| starts_with(**issue, &marker));
            if let Some(number) = found.and_then(|issue| number_of(*issue)) {
                return Ok(Some(Receipt {
                    number,
                    severity: None,
                }));
            }
            if issues.len() < 100 {
                break;
            }
        }
        Ok(None)
    }

    fn ask(&self, request: Request) -> Result<Response, PluginError> {
        let answer = request
            .header("Authorization", &self.authorization)
            .header("Accept", "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header("User-Agent", "yagura")
            .receive()?;
        Ok(answer)
    }
}

fn number_of(issue: Json<'_>) -> Option<u64> {
    issue.get("number")?.raw().parse().ok()
}

fn starts_with(of: Json<'_>, marker: &str) -> bool {
    let body = of.get("body").and_then(Json::string);
    body.is_some_and(|body| body.starts_with(marker))
}

/// Returns an answer of success. GitHub says "too many requests" with 403 too, and then names a time or a limit.
fn success(answer: Response) -> Result<Response, PluginError> {
    let is_limit = answer.status == 403
        && (answer.header("retry-after").is_some()
            || answer.header("x-ratelimit-remaining") == Some("0")
            || answer.text().contains("secondary rate limit"));
    if is_limit {
        return Err(PluginError::Retry(answer.failure().to_string()));
    }
    answer.success()
}

#[cfg(test)]
mod tests;
