//! Jira Cloud: version 3 of its REST API, as far as issues go.

use serde_json::{Value, json};

use super::{Reply, Seen, Service};

/// A site with one project.
#[derive(Debug)]
pub struct Jira {
    authorization: String,
    project: String,
    /// Issues; the key of one is `PROJECT-PLACE`, from one.
    pub issues: Vec<Issue>,
}

/// An issue.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Its fields.
    pub fields: Value,
    /// `To Do` or `Done`.
    pub status: String,
    /// How often it was edited.
    pub edits: usize,
}

impl Jira {
    /// A site that takes this user, with this token, for this project.
    pub fn new(project: &str, user: &str, token: &str) -> Self {
        Self {
            authorization: format!("Basic {}", base64(format!("{user}:{token}").as_bytes())),
            project: project.to_owned(),
            issues: Vec::new(),
        }
    }

    fn index(&self, key: &str) -> Option<usize> {
        let number = key.strip_prefix(&self.project)?.strip_prefix('-')?;
        let index = number.parse::<usize>().ok()?.checked_sub(1)?;
        (index < self.issues.len()).then_some(index)
    }

    fn create(&mut self, fields: &Value) -> Reply {
        let is_whole = fields["project"]["key"] == self.project
            && fields["issuetype"]["name"].is_string()
            && fields["summary"]
                .as_str()
                .is_some_and(|text| !text.is_empty() && !text.contains('\n'))
            && fields["description"]["type"] == "doc";
        if !is_whole {
            return Reply::json(
                400,
                &json!({"errorMessages": [], "errors": {"project": "a field is wrong"}}),
            );
        }
        self.issues.push(Issue {
            fields: fields.clone(),
            status: "To Do".to_owned(),
            edits: 0,
        });
        let key = format!("{}-{}", self.project, self.issues.len());
        Reply::json(
            201,
            &json!({"id": "10000", "key": key, "self": "https://example.invalid"}),
        )
    }

    /// Knows `labels = "…"`, which is all that is asked.
    fn search(&self, request: &Seen) -> Reply {
        let jql = request.parameter("jql").unwrap_or_default();
        let label = jql
            .split("labels = \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let Some(label) = label else {
            return Reply::json(
                400,
                &json!({"errorMessages": ["the query is not understood"]}),
            );
        };
        let has = |issue: &Issue| {
            let labels = issue.fields["labels"].as_array();
            labels.is_some_and(|labels| labels.iter().any(|found| found == label))
        };
        let found: Vec<Value> = (1..)
            .zip(&self.issues)
            .filter(|(_, issue)| has(issue))
            .map(|(place, _)| json!({"id": place.to_string(), "key": format!("{}-{place}", self.project)}))
            .collect();
        Reply::json(200, &json!({"issues": found, "isLast": true}))
    }

    fn edit(&mut self, index: usize, fields: &Value) -> Reply {
        let issue = &mut self.issues[index];
        for (name, value) in fields.as_object().into_iter().flatten() {
            issue.fields[name] = value.clone();
        }
        issue.edits += 1;
        Reply::text(204, "")
    }

    fn transitions(&mut self, index: usize, request: &Seen) -> Reply {
        let issue = &mut self.issues[index];
        let (id, to) = if issue.status == "Done" {
            ("11", "To Do")
        } else {
            ("31", "Done")
        };
        if request.method == "GET" {
            let list = json!({"transitions": [{"id": id, "name": to, "to": {"name": to}}]});
            return Reply::json(200, &list);
        }
        if request.json()["transition"]["id"] != id {
            return Reply::json(
                400,
                &json!({"errorMessages": ["there is no such transition"]}),
            );
        }
        to.clone_into(&mut issue.status);
        Reply::text(204, "")
    }
}

impl Service for Jira {
    fn answer(&mut self, request: &Seen) -> Reply {
        if request.header("authorization") != Some(&self.authorization) {
            return Reply::text(401, "Client must be authenticated to access this resource.");
        }
        let parts = request.parts();
        let Some(parts) = parts.strip_prefix(&["rest", "api", "3"]) else {
            return Reply::text(404, "");
        };
        match (request.method.as_str(), parts) {
            ("POST", ["issue"]) => self.create(&request.json()["fields"]),
            ("GET", ["search", "jql"]) => self.search(request),
            (method, ["issue", key, rest @ ..]) => match (self.index(key), method, rest) {
                (Some(index), "PUT", []) => self.edit(index, &request.json()["fields"]),
                (Some(index), "GET" | "POST", ["transitions"]) => self.transitions(index, request),
                _ => Reply::json(404, &json!({"errorMessages": ["Issue does not exist"]})),
            },
            _ => Reply::text(404, ""),
        }
    }
}

/// Base64 with padding: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| usize::from(chunk.get(place).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let is_padding = place > chunk.len();
            let digit = char::from(ALPHABET[bits >> (18 - 6 * place) & 63]);
            text.push(if is_padding { '=' } else { digit });
        }
    }
    text
}
