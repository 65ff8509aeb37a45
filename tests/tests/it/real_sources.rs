//! First-party sources over the logs of many makers: each record is a row or is rejected with a reason, and OCSF allows the rows.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use yagura_tests::command::yagura;
use yagura_tests::real_data;
use yagura_tests::scratch::Scratch;

/// Each source with files of real logs. Those of `panther-events-saas-cloud` hold the event under `event`.
const SOURCES: [(&str, &[&str]); 22] = [
    (
        "cloudtrail",
        &[
            "cloudtrail/invictus-stratus.ndjson.gz",
            "panther:AWS_CloudTrail",
        ],
    ),
    ("gcp_audit", &["panther:GCP_AuditLog"]),
    ("azure_activity", &["panther:Azure_MonitorActivity"]),
    ("guardduty", &["panther:AWS_GuardDuty"]),
    ("security_hub", &["panther:AWS_SecurityFindingFormat"]),
    ("vpc_flow", &["panther:AWS_VPCFlow"]),
    ("aws_waf", &["panther:AWS_WAFWebACL"]),
    ("kubernetes_audit", &["panther:Amazon_EKS_Audit"]),
    ("route53_resolver", &["panther:AWS_VPCDns"]),
    ("okta", &["panther:Okta_SystemLog"]),
    ("google_workspace", &["panther:GSuite_ActivityEvent"]),
    ("github_audit", &["panther:GitHub_Audit"]),
    ("slack_audit", &["panther:Slack_AuditLogs"]),
    (
        "m365_audit",
        &[
            "panther:Microsoft365_Audit_AzureActiveDirectory",
            "panther:Microsoft365_Audit_SharePoint",
        ],
    ),
    (
        "onepassword",
        &[
            "panther:OnePassword_SignInAttempt",
            "panther:OnePassword_ItemUsage",
        ],
    ),
    ("crowdstrike", &["panther:Crowdstrike_FDREvent"]),
    (
        "defender_alerts",
        &["panther:MicrosoftGraph_SecurityAlertV2"],
    ),
    ("osquery", &["panther:Osquery_Differential"]),
    (
        "duo",
        &["panther:Duo_Authentication", "panther:Duo_Administrator"],
    ),
    ("databricks", &["panther:Databricks_Audit"]),
    ("zeek", &["folder:zeek-apt29"]),
    ("windows", &["folder:windows-evtx-mitre"]),
];

#[test]
#[ignore = "needs real logs (../shared/data or YAGURA_TEST_DATA); `cargo xtask test-real` runs it"]
fn real_sources_lose_no_record() {
    let place = Scratch::new();
    println!(
        "source, records, rows, rejected, no class, no time, values that do not fit, rows that lack what OCSF requires, observables"
    );
    for (source, inputs) in SOURCES {
        let mut lines = 0;
        let mut files = Vec::new();
        for (number, input) in inputs.iter().enumerate() {
            let text = text_of(input);
            lines += text.lines().filter(|line| !line.trim().is_empty()).count();
            let name = format!("{source}-{number}.ndjson");
            place.write(&name, &text);
            files.push(place.path(&name));
        }
        let mut rows = 0;
        let mut without_class = 0;
        let mut without_time = 0;
        let mut observables = 0;
        let mut problems = 0;
        let mut stderr = String::new();
        for file in &files {
            let ran = yagura(&[
                "source", "explain", "--source", source, "--events", "10000000", "--format",
                "json", file,
            ]);
            for line in ran.stdout.lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                rows += 1;
                without_class += usize::from(event["class"] == "");
                without_time += usize::from(event["event_time"].is_null());
                problems += usize::from(event["problems"] != serde_json::json!([]));
                let columns = event["columns"].as_array().unwrap();
                let own = columns
                    .iter()
                    .find(|column| column["name"] == "observables");
                observables += own.map_or(0, |own| own["value"].as_array().map_or(0, Vec::len));
            }
            stderr += &ran.stderr;
        }
        let rejected = [" is not an event; source", " are not events; source"];
        let rejected: usize = rejected
            .iter()
            .flat_map(|words| counts(&stderr, words))
            .sum();
        let unfit: usize = counts(&stderr, "not fit `").into_iter().sum();
        println!(
            "{source}, {lines}, {rows}, {rejected}, {without_class}, {without_time}, {unfit}, {problems}, {observables}"
        );
        assert_eq!(rows + rejected, lines, "{source}: {stderr}");
        assert!(observables > 0, "{source}: no observable in {rows} rows");
    }
}

/// Returns the events of an input, one a line.
fn text_of(input: &str) -> String {
    let data = real_data::folder();
    if let Some(name) = input.strip_prefix("panther:") {
        let file = data
            .join("panther-events-saas-cloud")
            .join(format!("{name}.ndjson.gz"));
        let lines = read(&file);
        let events = lines.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            format!("{}\n", line["event"])
        });
        return events.collect();
    }
    if let Some(folder) = input.strip_prefix("folder:") {
        let entries = fs::read_dir(data.join(folder)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.to_string_lossy().ends_with(".ndjson.gz"));
        files.sort();
        assert!(!files.is_empty(), "no logs in {folder}");
        return files.iter().map(|file| read(file) + "\n").collect();
    }
    read(&data.join(input))
}

fn read(file: &std::path::Path) -> String {
    let mut text = String::new();
    let bytes = fs::read(file).unwrap();
    MultiGzDecoder::new(bytes.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// Returns the number in front of these words in each line that has them.
fn counts(text: &str, words: &str) -> Vec<usize> {
    let lines = text.lines().filter(|line| line.contains(words));
    let before = lines.filter_map(|line| line.split(words).next());
    before
        .filter_map(|before| {
            let mut numbers = before.split_whitespace().rev();
            numbers.find_map(|word| word.replace(',', "").parse().ok())
        })
        .collect()
}
