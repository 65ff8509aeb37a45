//! Jira Cloud, by version 3 of its REST API: one issue an incident, rewritten as more becomes known, and moved along where the
//! configuration names a transition.
//!
//! Each issue has a label with the incident's id, by which one is found that an attempt without an answer may have left. Jira's
//! search may lag a little behind what was made.

mod document;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use yagura_sdk::http::{Request, Response};
use yagura_sdk::prelude::*;

use plugin_common::{Receive, base_url, parse, secret, shorten};

yagura_sdk::notifier!(Jira);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `https://SITE.atlassian.net`.
    base_url: String,
    /// Key of the project.
    project: String,
    #[serde(default = "task")]
    issue_type: String,
    /// The account that the token is of.
    user: String,
    #[serde(default = "token")]
    secret: String,
    #[serde(default)]
    labels: Vec<String>,
    /// Severity to name of priority; without it Jira's default stays.
    #[serde(default)]
    priorities: BTreeMap<String, String>,
    /// Name of a transition, or of the status that it leads to, when the incident is closed.
    close_transition: Option<String>,
    /// The same when a closed one is opened again.
    reopen_transition: Option<String>,
}

fn task() -> String {
    "Task".to_owned()
}

fn token() -> String {
    "jira_token".to_owned()
}

struct Jira {
    api: String,
    authorization: String,
    settings: Settings,
}

/// What is kept of an issue: its key, and whether it was closed from here.
struct Receipt {
    key: String,
    is_closed: bool,
}

impl Receipt {
    fn read(text: &str) -> Self {
        match text.strip_suffix(" closed") {
            Some(key) => Self {
                key: key.to_owned(),
                is_closed: true,
            },
            None => Self {
                key: text.to_owned(),
                is_closed: false,
            },
        }
    }
}

impl Notifier for Jira {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        let wrong = |message: String| Err(PluginError::Config(message));
        if settings.project.is_empty()
            || !settings
                .project
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return wrong(format!(
                "`project` is \"{}\": write the project's key, like `SEC`",
                settings.project
            ));
        }
        if settings.user.is_empty() || settings.user.contains([':', '}', '\n']) {
            return wrong(format!(
                "`user` is \"{}\": write the mail address of the account",
                settings.user
            ));
        }
        if let Some(label) = settings
            .labels
            .iter()
            .find(|label| label.contains(' ') || label.is_empty())
        {
            return wrong(format!(
                "the label \"{label}\" is empty or has a space, which Jira does not take"
            ));
        }
        if let Some(name) = settings
            .priorities
            .keys()
            .find(|name| Severity::of(name).is_none())
        {
            return wrong(format!(
                "`priorities.{name}`: there is no such severity; there are `info`, `low`, `medium`, `high`, `critical`"
            ));
        }
        secret(&settings.secret)?;
        Ok(Self {
            api: format!("{}/rest/api/3", base_url(&settings.base_url)?),
            authorization: format!("Basic {{{{basic:{}:{}}}}}", settings.user, settings.secret),
            settings,
        })
    }

    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        let mut earlier = report.earlier.as_deref().map(Receipt::read);
        if earlier.is_none() && report.uncertain {
            earlier = self.find(&report.id)?;
        }
        if let Some(receipt) = &earlier
            && !self.update(report, &receipt.key)?
        {
            // Gone, or moved to where it cannot be seen.
            earlier = self.find(&report.id)?;
        }
        let receipt = match earlier {
            Some(receipt) => receipt,
            None => Receipt {
                key: self.create(report)?,
                is_closed: false,
            },
        };
        let is_closed = report.status == Status::Closed;
        if is_closed != receipt.is_closed {
            let transition = if is_closed {
                &self.settings.close_transition
            } else {
                &self.settings.reopen_transition
            };
            if let Some(name) = transition {
                self.transition(&receipt.key, name)?;
            }
        }
        Ok(format!(
            "{}{}",
            receipt.key,
            if is_closed { " closed" } else { "" }
        ))
    }
}

impl Jira {
    fn create(&self, report: &Report) -> Result<String, PluginError> {
        let mut fields = self.fields(report);
        let mut labels = self.settings.labels.clone();
        labels.extend(["yagura".to_owned(), label(&report.id)]);
        fields["project"] = json!({"key": self.settings.project});
        fields["issuetype"] = json!({"name": self.settings.issue_type});
        fields["labels"] = json!(labels);
        let request = http::post(format!("{}/issue", self.api)).json(json!({"fields": fields}));
        let answer = self.ask(request)?.success()?;
        let key = answer
            .json()?
            .get("key")
            .and_then(Json::string)
            .map(String::from);
        key.ok_or_else(|| PluginError::Retry("Jira answered an issue without key".to_owned()))
    }

    /// Says whether the issue was there to be updated.
    fn update(&self, report: &Report, key: &str) -> Result<bool, PluginError> {
        let request = http::put(format!("{}/issue/{}", self.api, http::encode(key)))
            .json(json!({"fields": self.fields(report)}));
        let answer = self.ask(request)?;
        if answer.status == 404 {
            log::info(&format!("issue {key} is not there any more"));
            return Ok(false);
        }
        answer.success().map(|_| true)
    }

    fn find(&self, incident: &str) -> Result<Option<Receipt>, PluginError> {
        let jql = format!(
            "project = \"{}\" AND labels = \"{}\" ORDER BY created ASC",
            self.settings.project,
            label(incident)
        );
        let request = http::get(format!("{}/search/jql", self.api))
            .query("jql", &jql)
            .query("fields", "key")
            .query("maxResults", "1");
        let answer = self.ask(request)?.success()?;
        let issue = answer.json()?.at("issues.0");
        let key = issue.and_then(|issue| issue.get("key")?.string());
        Ok(key.map(|key| Receipt {
            key: key.into_owned(),
            is_closed: false,
        }))
    }

    /// Moves an issue along, where its workflow has such a transition now.
    fn transition(&self, key: &str, name: &str) -> Result<(), PluginError> {
        let transitions = format!("{}/issue/{}/transitions", self.api, http::encode(key));
        let answer = self.ask(http::get(&transitions))?.success()?;
        let is_named = |transition: &Json<'_>| {
            let names = ["name", "to.name"].map(|path| transition.at(path).and_then(Json::string));
            names
                .iter()
                .flatten()
                .any(|found| found.eq_ignore_ascii_case(name))
        };
        let list = answer.json()?.get("transitions");
        let found = list.into_iter().flat_map(Json::elements).find(is_named);
        let Some(id) = found.and_then(|transition| transition.get("id")?.text()) else {
            // It was done already, by an attempt without an answer or by hand, or the workflow has no such transition.
            log::warn(&format!(
                "issue {key} has no transition `{name}` from where it is"
            ));
            return Ok(());
        };
        let request = http::post(transitions).json(json!({"transition": {"id": id}}));
        self.ask(request)?.success().map(|_| ())
    }

    fn fields(&self, report: &Report) -> Value {
        let summary = format!("[{}] {}", report.severity.name(), report.title);
        let mut fields = json!({
            // On one line: Jira refuses others.
            "summary": shorten(&summary.split_whitespace().collect::<Vec<_>>().join(" "), 250),
            "description": document::of(report),
        });
        if let Some(priority) = self.settings.priorities.get(report.severity.name()) {
            fields["priority"] = json!({"name": priority});
        }
        fields
    }

    fn ask(&self, request: Request) -> Result<Response, PluginError> {
        let answer = request
            .header("Authorization", &self.authorization)
            .header("Accept", "application/json")
            .receive()?;
        Ok(answer)
    }
}

/// The label by which an incident's issue is found; labels have no spaces, and nothing here ends JQL's quotes.
fn label(incident: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    format!("yagura-{}", incident.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests;
