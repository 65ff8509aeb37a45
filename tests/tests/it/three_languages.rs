//! The same three detectors in Rust, Go and Python: the same alerts, byte by byte, whatever the size of batches.
//!
//! The packs are `examples/three-languages/*`; `cargo xtask test` builds them.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use yagura_tests::command::yagura;

const LANGUAGES: [&str; 3] = ["rust", "go", "python"];
const EVENTS: u64 = 100_000;

fn pack(language: &str) -> PathBuf {
    let packs = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/three-languages");
    PathBuf::from(packs).join(language)
}

/// Picks from a list by a number that runs through the events.
fn pick<T: Clone>(list: &[T], number: u64) -> T {
    let index = number % list.len() as u64;
    list[usize::try_from(index).unwrap_or_default()].clone()
}

/// Returns the next of a sequence without order (splitmix64, Steele et al., 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Permissions of a security group as CloudTrail writes them, and some that it never would.
fn permissions(random: u64) -> Value {
    let odd = [
        json!(null),
        json!("text"),
        json!([1, 2]),
        json!({"items": {"fromPort": 22}}),
        json!({"items": [null, 7, "x"]}),
        json!({"items": [{"fromPort": "22", "toPort": 22, "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]}}]}),
        json!({"items": [{"fromPort": 22.5, "toPort": 22, "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]}}]}),
        json!({"items": [{"ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]}}]}),
    ];
    if random.is_multiple_of(7) {
        return pick(&odd, random / 7);
    }
    let count = random % 3 + 1;
    let items: Vec<Value> = (0..count)
        .map(|index| {
            let random = random >> (index * 8);
            let from = pick(&[22_i64, 80, 443, 1000, 3389, -1, 0], random);
            let to = if random & 64 == 0 { from } else { from + 3000 };
            let v4 = pick(&["0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24"], random >> 3);
            let v6 = pick(&["::/0", "2001:db8::/32"], random >> 5);
            json!({
                "fromPort": from, "toPort": to, "ipProtocol": "tcp",
                "ipRanges": {"items": [{"cidrIp": v4, "description": "a \"quoted\" \u{6ad3}"}]},
                "ipv6Ranges": {"items": [{"cidrIpv6": v6}]},
            })
        })
        .collect();
    json!({ "items": items })
}

fn event(number: u64, random: u64) -> Value {
    let minutes = number % (60 * 24);
    let mut event = json!({
        "eventTime": format!("2026-03-{:02}T{:02}:{:02}:{:02}Z", number % 5 + 1, minutes / 60, minutes % 60, random % 60),
        "recipientAccountId": format!("{:012}", random % 40),
        "sourceIPAddress": format!("198.51.100.{}", random % 200),
        "userIdentity": {"type": pick(&["Root", "IAMUser", "AssumedRole"], random >> 8)},
    });
    if random & 1024 != 0 {
        event["userIdentity"]["userName"] =
            pick(&["alice", "Zo\u{eb}", "\u{6ad3}", "o'neil"], random >> 12).into();
    }
    match number % 10 {
        0..=3 => {
            event["eventName"] = "ConsoleLogin".into();
            event["responseElements"] =
                json!({"ConsoleLogin": pick(&["Success", "Failure"], random >> 16)});
            if random & 2048 != 0 {
                let mfa = pick(&["Yes", "No", ""], random >> 20);
                event["additionalEventData"] = json!({"MFAUsed": mfa, "LoginTo": "x"});
            }
        }
        4..=6 => {
            event["eventName"] = "AuthorizeSecurityGroupIngress".into();
            event["requestParameters"] = json!({"ipPermissions": permissions(random >> 16)});
            if random & 2048 != 0 {
                event["requestParameters"]["groupId"] = format!("sg-{}", random % 90).into();
            }
        }
        7 | 8 => {
            event["eventName"] = "CreateRole".into();
            event["readOnly"] = pick(&[json!(true), json!(false)], random >> 13);
            let name = match random >> 16 & 7 {
                0 => Value::Null,
                1 => "short1".into(),
                2 => format!("\u{6ad3}\u{e9}{:x}", random).into(),
                3 => format!("deploy-{}", random % 1000).into(),
                _ => format!("{:x}", random).into(),
            };
            event["requestParameters"] = json!({"roleName": name});
        }
        _ => event["eventName"] = "DescribeInstances".into(),
    }
    event
}

#[test]
fn the_rules_are_the_same() {
    for language in LANGUAGES {
        let rules = |language: &str| {
            let mut files: Vec<(String, String)> = fs::read_dir(pack(language).join("rules"))
                .unwrap()
                .map(|entry| {
                    let entry = entry.unwrap();
                    let name = entry.file_name().into_string().unwrap();
                    (name, fs::read_to_string(entry.path()).unwrap())
                })
                .collect();
            files.sort();
            files
        };
        assert_eq!(rules(language).len(), 3);
        assert_eq!(rules(language), rules("rust"), "{language}");
    }
}

#[test]
fn a_hundred_thousand_events_give_the_same_alerts_in_every_language_and_batch_size() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("events.ndjson");
    let mut text = String::new();
    let mut state = 7;
    for number in 0..EVENTS {
        writeln!(text, "{}", event(number, next(&mut state))).unwrap();
    }
    fs::write(&logs, text).unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let logs = logs.to_str().unwrap();
    yagura(&["ingest", "--table", "aws_cloudtrail", "--to", lake, logs]).must_work();

    let mut first: Option<String> = None;
    for language in LANGUAGES {
        let pack = pack(language);
        for batch_rows in ["1", "100", "8192"] {
            let run = yagura(&[
                "run",
                "--lake",
                lake,
                "--pack",
                pack.to_str().unwrap(),
                "--batch-rows",
                batch_rows,
                "--format",
                "json",
            ])
            .must_work();
            let expected = first.get_or_insert_with(|| run.stdout.clone());
            assert!(
                run.stdout == *expected,
                "{language} at {batch_rows} rows a batch differs: {}",
                difference(expected, &run.stdout)
            );
        }
    }
    // All three rules had something to say, of every kind.
    let alerts = first.unwrap();
    for part in [
        "Root login without a second factor by \u{6ad3}",
        "\"rule\":\"sample-open-ingress\"",
        "\"rule\":\"sample-random-role\"",
        "\"severity\":\"critical\"",
        "\"severity\":\"medium\"",
        "22-3022, ",
    ] {
        assert!(alerts.contains(part), "no alert says {part}");
    }
    assert!(alerts.lines().count() > 1000, "{}", alerts.lines().count());
}

fn difference(expected: &str, found: &str) -> String {
    let mut lines = expected.lines().zip(found.lines());
    match lines.find(|(expected, found)| expected != found) {
        Some((expected, found)) => format!("expected\n{expected}\nfound\n{found}"),
        None => format!(
            "{} alerts and {}",
            expected.lines().count(),
            found.lines().count()
        ),
    }
}
