//! The report that a notifier sends: an incident as the store has it now.

use sqlx::{AnyConnection, AssertSqlSafe};
use yagura_core::report::{Assessment, Attribute, ReportAlert};
use yagura_core::{AlertState, Report};

use crate::policy::CompiledPolicy;
use crate::render::{self, Story, StoryAlert, StoryKind};
use crate::store::columns::RowColumns;
use crate::store::rows::{
    AlertRow, AssessmentRow, DeliveryRow, FactsRow, IncidentKind, IncidentRow, Word,
};
use crate::store::{AlertStore, AlertStoreError, alerts, incidents, rounds};

/// Facts that a report lists. The store has the rest.
const FACTS: usize = 100;

/// Keys and rules that the report of a flood or a summary counts, at most.
const COUNTED: i64 = 100_000;

/// Returns the report of an incident's newest revision for a delivery.
///
/// The revision is read first: a change made meanwhile is reported now, and once more with its own revision.
pub(super) async fn build(
    store: &AlertStore,
    policy: &CompiledPolicy,
    row: &DeliveryRow,
) -> Result<Report, AlertStoreError> {
    let mut connection = store.read().await?;
    let connection = &mut *connection;
    let incident = incidents::get(&mut *connection, &row.incident).await?;
    let is_summary = incident.kind == IncidentKind::Summary;
    let of = if is_summary {
        "incident IN (SELECT incident FROM deliveries WHERE summary = $1)"
    } else {
        "incident = $1"
    };
    let listed = first_alerts(&mut *connection, &incident.id, of).await?;
    let facts = rounds::facts_of_incident(&mut *connection, &incident.id).await?;
    let assessments = rounds::assessments_of_incident(&mut *connection, &incident.id).await?;
    let attributes = attributes(&facts, policy);
    let assessments = each_once(assessments);
    let alert_count = if is_summary {
        count(&mut *connection, &incident.id, of).await?
    } else {
        incident.alerts
    };
    let keys;
    let pairs;
    let newest;
    let kind = match incident.kind {
        IncidentKind::Normal => StoryKind::Alerts,
        IncidentKind::Flood => {
            keys = counts(&mut *connection, &incident.id, of)
                .await?
                .into_iter()
                .map(|((_, key), count)| (key, count))
                .collect::<Vec<_>>();
            newest = newest_keys(&mut *connection, &incident.id).await?;
            StoryKind::Flood {
                rule: incident.rule.as_deref().unwrap_or_default(),
                counts: &keys,
                newest: &newest,
            }
        }
        IncidentKind::Summary => {
            pairs = counts(&mut *connection, &incident.id, of).await?;
            StoryKind::Summary {
                incidents: incident.alerts,
                counts: &pairs,
            }
        }
    };
    let story_alerts: Vec<StoryAlert<'_>> = listed
        .iter()
        .map(|row| StoryAlert {
            state: row.state,
            reason: row.reason.as_deref(),
            alert: &row.alert,
        })
        .collect();
    let story = Story {
        kind,
        status: incident.status,
        severity: incident.severity,
        alerts: &story_alerts,
        alert_count,
        attributes: &attributes,
        assessments: &assessments,
    };
    let text = with_closing(render::text(&story), &incident);
    Ok(Report {
        title: render::title(&story),
        text,
        id: incident.id,
        revision: u32::try_from(incident.revision).unwrap_or(u32::MAX),
        status: incident.status,
        severity: incident.severity,
        time: store.clock().now(),
        alerts: listed
            .into_iter()
            .map(|row| ReportAlert {
                state: row.state,
                alert: row.alert,
            })
            .collect(),
        alert_count,
        attributes,
        assessments,
        earlier: row.receipt.clone(),
        uncertain: row.is_uncertain,
    })
}

/// Keys that the report of a flood names as the newest.
const NEWEST: i64 = 5;

/// Returns the keys of a flood that came last.
async fn newest_keys(
    connection: &mut AnyConnection,
    id: &str,
) -> Result<Vec<String>, AlertStoreError> {
    let rows = sqlx::query(
        "SELECT subject, MIN(seq) AS first FROM alerts WHERE incident = $1
         GROUP BY subject ORDER BY MIN(seq) DESC LIMIT $2",
    )
    .bind(id.to_owned())
    .bind(NEWEST)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.text("subject")).collect()
}

/// Says who works on an incident, and who closed it and why.
fn with_closing(mut text: String, incident: &IncidentRow) -> String {
    let mut line = |line: String| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&line);
        text.push('\n');
    };
    if incident.kind == IncidentKind::Flood {
        line(format!(
            "All of them: yagura alerts show {} --alerts {}",
            incident.id, incident.alerts
        ));
    }
    match (
        &incident.closed_by,
        &incident.closed_reason,
        &incident.assignee,
    ) {
        (Some(who), reason, _) => {
            let reason = reason.as_deref().unwrap_or_default();
            line(format!("Closed by {who}: {reason}"));
        }
        (None, _, Some(who)) => line(format!("Taken up by {who}")),
        _ => {}
    }
    text
}

async fn first_alerts(
    connection: &mut AnyConnection,
    id: &str,
    of: &str,
) -> Result<Vec<AlertRow>, AlertStoreError> {
    let columns = alerts::COLUMNS;
    // What holds comes first: the list is short.
    let text = format!(
        "SELECT {columns} FROM alerts WHERE {of}
         ORDER BY CASE WHEN state = $2 THEN 1 ELSE 0 END, seq LIMIT $3"
    );
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(id.to_owned())
        .bind(AlertState::Withdrawn.word())
        .bind(i64::try_from(Report::LISTED).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter().map(alerts::from_row).collect()
}

async fn count(connection: &mut AnyConnection, id: &str, of: &str) -> Result<u64, AlertStoreError> {
    let text = format!("SELECT COUNT(*) AS n FROM alerts WHERE {of}");
    let row = sqlx::query(AssertSqlSafe(text))
        .bind(id.to_owned())
        .fetch_one(connection)
        .await?;
    row.count("n")
}

/// Returns how many alerts there are by rule and key, the most first.
async fn counts(
    connection: &mut AnyConnection,
    id: &str,
    of: &str,
) -> Result<Vec<((String, String), u64)>, AlertStoreError> {
    let text = format!(
        "SELECT rule, subject, COUNT(*) AS n FROM alerts WHERE {of}
         GROUP BY rule, subject ORDER BY COUNT(*) DESC, rule, subject LIMIT $2"
    );
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(id.to_owned())
        .bind(COUNTED)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok(((row.text("rule")?, row.text("subject")?), row.count("n")?)))
        .collect()
}

/// Returns what enrichers found, each fact once, in the order of the policy; what they could not find out is a fact too.
fn attributes(facts: &[FactsRow], policy: &CompiledPolicy) -> Vec<Attribute> {
    let names =
        crate::triage::group::enricher_names(policy.enrich.iter().map(|one| one.plugin.as_str()));
    let place = |facts: &FactsRow| {
        let place = names.iter().position(|name| *name == facts.enricher);
        place.unwrap_or(names.len())
    };
    let mut facts: Vec<&FactsRow> = facts.iter().collect();
    facts.sort_by_key(|facts| place(facts));
    let mut all: Vec<Attribute> = Vec::new();
    let mut add = |attribute: Attribute| {
        if all.len() < FACTS && !all.contains(&attribute) {
            all.push(attribute);
        }
    };
    for one in facts {
        for attribute in &one.found.attributes {
            add(attribute.clone());
        }
        for observable in &one.found.observables {
            add(Attribute {
                name: format!("related {}", observable.kind),
                value: observable.value.clone(),
                source: one.enricher.clone(),
            });
        }
        if let Some(error) = &one.error {
            add(Attribute {
                name: "failed".to_owned(),
                value: error.clone(),
                source: one.enricher.clone(),
            });
        }
    }
    all
}

/// Returns what reviewers think, each assessment once.
fn each_once(assessments: Vec<AssessmentRow>) -> Vec<(String, Assessment)> {
    let mut all: Vec<(String, Assessment)> = Vec::new();
    for row in assessments {
        let one = (row.reviewer, row.assessment);
        if all.len() < Report::LISTED && !all.contains(&one) {
            all.push(one);
        }
    }
    all
}
