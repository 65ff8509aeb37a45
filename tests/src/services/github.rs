//! GitHub: issues of one repository, and their comments.

use serde_json::{Value, json};

use super::{Reply, Seen, Service};

/// A repository.
#[derive(Debug)]
pub struct GitHub {
    token: String,
    repository: String,
    /// Issues; the number of one is its place, from one.
    pub issues: Vec<Issue>,
}

/// An issue.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Its title.
    pub title: String,
    /// Its body.
    pub body: String,
    /// `open` or `closed`.
    pub state: String,
    /// Names of labels.
    pub labels: Vec<String>,
    /// Bodies of comments.
    pub comments: Vec<String>,
    /// How often it was edited.
    pub edits: usize,
}

impl GitHub {
    /// The repository `OWNER/NAME`, which takes this token.
    pub fn new(repository: &str, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            repository: repository.to_owned(),
            issues: Vec::new(),
        }
    }

    fn shown(&self, index: usize) -> Value {
        let issue = &self.issues[index];
        let labels: Vec<Value> = issue
            .labels
            .iter()
            .map(|name| json!({"name": name}))
            .collect();
        json!({
            "number": index + 1, "title": issue.title, "body": issue.body, "state": issue.state, "labels": labels,
        })
    }

    fn list(&self, request: &Seen) -> Reply {
        let label = request.parameter("labels").unwrap_or_default();
        let state = request.parameter("state").unwrap_or("open");
        let number = |name: &str, default: usize| {
            let given = request.parameter(name).and_then(|text| text.parse().ok());
            given.unwrap_or(default)
        };
        let (size, page) = (number("per_page", 30).min(100), number("page", 1).max(1));
        let shown: Vec<Value> = (0..self.issues.len())
            .rev()
            .filter(|index| {
                let issue = &self.issues[*index];
                (label.is_empty() || issue.labels.iter().any(|found| found == label))
                    && (state == "all" || issue.state == state)
            })
            .skip((page - 1) * size)
            .take(size)
            .map(|index| self.shown(index))
            .collect();
        Reply::json(200, &json!(shown))
    }

    fn create(&mut self, given: &Value) -> Reply {
        let Some(title) = given["title"].as_str().filter(|title| !title.is_empty()) else {
            return Reply::json(422, &json!({"message": "Validation Failed"}));
        };
        let labels = given["labels"].as_array().into_iter().flatten();
        self.issues.push(Issue {
            title: title.to_owned(),
            body: given["body"].as_str().unwrap_or_default().to_owned(),
            state: "open".to_owned(),
            labels: labels
                .filter_map(|label| label.as_str().map(str::to_owned))
                .collect(),
            comments: Vec::new(),
            edits: 0,
        });
        Reply::json(201, &self.shown(self.issues.len() - 1))
    }

    fn edit(&mut self, index: usize, given: &Value) -> Reply {
        let Some(issue) = self.issues.get_mut(index) else {
            return missing();
        };
        let fields = [
            ("title", &mut issue.title),
            ("body", &mut issue.body),
            ("state", &mut issue.state),
        ];
        for (name, field) in fields {
            if let Some(text) = given[name].as_str() {
                text.clone_into(field);
            }
        }
        issue.edits += 1;
        Reply::json(200, &self.shown(index))
    }

    fn comments(&mut self, index: usize, request: &Seen) -> Reply {
        let Some(issue) = self.issues.get_mut(index) else {
            return missing();
        };
        if request.method == "GET" {
            let comments: Vec<Value> = issue
                .comments
                .iter()
                .map(|body| json!({"body": body}))
                .collect();
            return Reply::json(200, &json!(comments));
        }
        let body = request.json()["body"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        issue.comments.push(body.clone());
        Reply::json(201, &json!({"id": issue.comments.len(), "body": body}))
    }
}

impl Service for GitHub {
    fn answer(&mut self, request: &Seen) -> Reply {
        if request.header("authorization") != Some(&format!("Bearer {}", self.token)) {
            return Reply::json(401, &json!({"message": "Bad credentials"}));
        }
        if request.header("user-agent").is_none() {
            return Reply::text(403, "Request forbidden by administrative rules");
        }
        let prefix = format!("/repos/{}/issues", self.repository);
        let Some(rest) = request.path.strip_prefix(&prefix) else {
            return missing();
        };
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        // No issue has the number nought, nor what is no number.
        let index = |text: &str| text.parse::<usize>().unwrap_or_default().wrapping_sub(1);
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", []) => self.list(request),
            ("POST", []) => self.create(&request.json()),
            ("PATCH", [number]) => self.edit(index(number), &request.json()),
            ("GET" | "POST", [number, "comments"]) => self.comments(index(number), request),
            _ => missing(),
        }
    }
}

fn missing() -> Reply {
    Reply::json(404, &json!({"message": "Not Found"}))
}
