//! Diagnostics as SARIF 2.1.0, which code-scanning tools read.
//!
//! Only the parts that the schema requires, and those that such tools show: rules with their help, results with level, message
//! and region. See <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use std::collections::BTreeSet;
use std::io::{Result, Write};
use std::path::{Component, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use yagura_core::diagnostic::{Code, Diagnostic, Key, Span};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What a segment of a path in a URI keeps as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifLog<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<SarifResult<'a>>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    information_uri: &'static str,
    rules: Vec<SarifRule>,
}

/// A code; what SARIF calls a rule.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifRule {
    id: &'static str,
    short_description: Text<'static>,
    full_description: Text<'static>,
    help: Help,
    help_uri: String,
}

#[derive(Serialize)]
struct Help {
    text: String,
    markdown: String,
}

#[derive(Serialize)]
struct Text<'a> {
    text: std::borrow::Cow<'a, str>,
}

/// A diagnostic; what SARIF calls a result.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult<'a> {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<SarifLocation<'a>>,
    properties: Properties<'a>,
}

#[derive(Serialize)]
struct Properties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a Key>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifLocation<'a> {
    physical_location: PhysicalLocation<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation<'a> {
    artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region<'a>>,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region<'a> {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    snippet: Option<Text<'a>>,
}

/// Writes diagnostics as one SARIF log with one run.
pub(crate) fn write(out: &mut impl Write, found: &[Diagnostic]) -> Result<()> {
    let codes: BTreeSet<Code> = found.iter().map(|diagnostic| diagnostic.code).collect();
    let codes: Vec<Code> = codes.into_iter().collect();
    let log = SarifLog {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "yagura",
                    version: env!("CARGO_PKG_VERSION"),
                    information_uri: env!("CARGO_PKG_REPOSITORY"),
                    rules: codes.iter().map(|code| rule(*code)).collect(),
                },
            },
            column_kind: "unicodeCodePoints",
            results: found.iter().map(|one| result(one, &codes)).collect(),
        }],
    };
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn rule(code: Code) -> SarifRule {
    let repository = env!("CARGO_PKG_REPOSITORY");
    let (explanation, fix) = (code.explanation(), code.fix());
    SarifRule {
        id: code.name(),
        short_description: Text {
            text: code.title().into(),
        },
        full_description: Text {
            text: explanation.into(),
        },
        help: Help {
            text: format!("{explanation}\n\nExample:\n{fix}"),
            markdown: format!("{explanation}\n\n```text\n{fix}\n```"),
        },
        help_uri: format!("{repository}/blob/main/docs/{}", code.anchor()),
    }
}

fn result<'a>(diagnostic: &'a Diagnostic, codes: &[Code]) -> SarifResult<'a> {
    let mut message = diagnostic.text();
    if let Some(help) = &diagnostic.help {
        message = format!("{message}\n{help}");
    }
    let locations = diagnostic.file.as_ref().map(|file| SarifLocation {
        physical_location: PhysicalLocation {
            artifact_location: ArtifactLocation { uri: uri(file) },
            region: diagnostic.span.as_ref().map(region),
        },
    });
    SarifResult {
        rule_id: diagnostic.code.name(),
        rule_index: codes.partition_point(|code| *code < diagnostic.code),
        // SARIF has the same three.
        level: diagnostic.level.name(),
        message: Text {
            text: message.into(),
        },
        locations: locations.into_iter().collect(),
        properties: Properties {
            rule: diagnostic.rule.as_deref(),
            key: diagnostic.key.as_ref(),
        },
    }
}

fn region(span: &Span) -> Region<'_> {
    let snippet = Some(&span.source_line).filter(|line| !line.is_empty());
    Region {
        start_line: span.start.line,
        start_column: span.start.column,
        end_line: span.end.line,
        end_column: span.end.column,
        snippet: snippet.map(|line| Text {
            text: line.as_str().into(),
        }),
    }
}

/// Returns the URI of a file: relative where its path is, so that a tool finds it in a checkout of the repository.
fn uri(file: &Path) -> String {
    let text = file.to_string_lossy();
    if text.contains("://") {
        return text.into_owned();
    }
    let mut uri = String::new();
    for component in file.components() {
        let segment = match component {
            Component::RootDir => {
                uri.push_str("file:///");
                continue;
            }
            Component::CurDir => continue,
            Component::Prefix(prefix) => prefix.as_os_str().to_string_lossy(),
            Component::ParentDir => "..".into(),
            Component::Normal(name) => name.to_string_lossy(),
        };
        if !uri.is_empty() && !uri.ends_with('/') {
            uri.push('/');
        }
        uri.extend(utf8_percent_encode(&segment, SEGMENT));
    }
    uri
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn log(found: &[Diagnostic]) -> Value {
        let mut out = Vec::new();
        write(&mut out, found).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    /// The parts of the schema of SARIF 2.1.0 that it requires, and the types of what is written.
    fn assert_required(log: &Value) {
        assert_eq!(log["version"], "2.1.0");
        for run in log["runs"].as_array().unwrap() {
            let driver = &run["tool"]["driver"];
            assert!(driver["name"].is_string());
            let rules = driver["rules"].as_array().unwrap();
            for rule in rules {
                assert!(
                    rule["id"].is_string()
                        && rule["helpUri"].as_str().unwrap().starts_with("https://")
                );
                assert!(rule["shortDescription"]["text"].is_string());
                assert!(rule["help"]["text"].is_string());
            }
            for result in run["results"].as_array().unwrap() {
                assert!(result["message"]["text"].is_string());
                let level = result["level"].as_str().unwrap();
                assert!(["none", "note", "warning", "error"].contains(&level));
                let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
                assert_eq!(rules[index]["id"], result["ruleId"]);
                for location in result["locations"].as_array().into_iter().flatten() {
                    let place = &location["physicalLocation"];
                    assert!(place["artifactLocation"]["uri"].is_string());
                    let region = &place["region"];
                    if !region.is_null() {
                        for key in ["startLine", "startColumn", "endLine", "endColumn"] {
                            assert!(region[key].as_u64().unwrap() >= 1, "{key}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_log_has_what_the_schema_requires() {
        let text = "[rule]\nwehre = 1\n";
        let found = [
            Diagnostic::error(Code::UnknownKey, "is not a known key")
                .at(Key::written("rule.wehre"))
                .in_file(Path::new("./rules/a b.toml"))
                .with_span(Span::of(text, 7..12)),
            Diagnostic::note(Code::MissingAttackTag, "has no tag of ATT&CK").of_rule("a"),
            Diagnostic::warning(Code::UnknownKey, "again").in_file(Path::new("/etc/y.toml")),
        ];
        let log = log(&found);
        assert_required(&log);
        let results = &log["runs"][0]["results"];
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "rules/a%20b.toml");
        let region = serde_json::json!({"startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 6, "snippet": {"text": "wehre = 1"}});
        assert_eq!(place["region"], region);
        assert_eq!(
            results[0]["message"]["text"],
            "`rule.wehre` is not a known key"
        );
        assert_eq!(results[1]["properties"]["rule"], "a");
        assert!(results[1]["locations"].is_null());
        let absolute = &results[2]["locations"][0]["physicalLocation"]["artifactLocation"];
        assert_eq!(absolute["uri"], "file:///etc/y.toml");
        let rules = log["runs"][0]["tool"]["driver"]["rules"]
            .as_array()
            .unwrap();
        assert_eq!(rules.len(), 2);
    }

    #[test]
    fn a_log_without_results_is_one_too() {
        let log = log(&[]);
        assert_required(&log);
        assert_eq!(log["runs"][0]["results"], serde_json::json!([]));
    }
}
