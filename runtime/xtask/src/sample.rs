//! Sample logs: a working week of AWS CloudTrail in three accounts, with an intrusion hidden in it.
//!
//! The same seed gives the same bytes. Names, keys and addresses are invented: accounts and addresses are those
//! reserved for documentation.

mod ordinary;
mod story;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;

/// 2026-01-12T00:00:00Z, a Monday, in seconds since 1970.
const START: u64 = 1_768_176_000;
const FIRST_DAY: u64 = 12;
const DAYS: u64 = 5;
const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "777788889999"];
const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-northeast-1"];
/// Share of the events by account and region, in percent.
const SHARES: [[u64; 3]; 3] = [[34, 14, 6], [18, 8, 3], [11, 4, 2]];

/// A step of the hidden intrusion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantedStep {
    /// Event time of the step's first event, RFC 3339.
    pub time: String,
    /// The account it happens in.
    pub account: &'static str,
    /// Who acts: the user's name, or the role's.
    pub user: &'static str,
    /// Event name of the step's events.
    pub event_name: &'static str,
    /// How many events the step has.
    pub count: u64,
    /// What it is, for a human.
    pub what: &'static str,
}

/// Lists the steps of the hidden intrusion in the order of time; they do not depend on the seed.
pub fn truth() -> Vec<PlantedStep> {
    story::STORY
        .iter()
        .map(|step| PlantedStep {
            time: rfc3339(START + step.second),
            account: ACCOUNTS[step.account],
            user: step.actor.name(),
            event_name: step.name,
            count: step.count,
            what: step.what,
        })
        .collect()
}

/// Writes `events` events as CloudTrail delivers them, `{"Records":[…]}` in gzip by account, region and day, below
/// `dir`, and returns the files in order.
///
/// # Errors
/// When a file cannot be written, or `events` is less than the intrusion needs.
pub fn write(dir: &Path, events: usize, seed: u64) -> Result<Vec<PathBuf>> {
    let planted: u64 = story::STORY.iter().map(|step| step.count).sum();
    let events = events as u64;
    ensure!(
        events >= planted,
        "{events} events are too few for sample logs: the intrusion in them takes {planted}"
    );
    let mut files = Vec::new();
    let mut left = events - planted;
    let mut shares_left: u64 = SHARES.iter().flatten().sum::<u64>() * DAYS;
    for (account, shares) in SHARES.iter().enumerate() {
        for (region, share) in shares.iter().enumerate() {
            for day in 0..DAYS {
                // What rounding leaves over is passed on, so that the total is exact.
                let count = left * share / shares_left;
                left -= count;
                shares_left -= share;
                let slot = (account * REGIONS.len() + region) as u64 * DAYS + day;
                let place = FileGroup {
                    account,
                    region,
                    day,
                };
                // Mixed first: neighbouring states of this generator are parts of one sequence.
                let mut random = Random(Random(seed ^ (slot << 32)).next());
                let path = dir.join(place.file_name(&mut random));
                write_file(&path, &place, count, &mut random)
                    .with_context(|| format!("cannot write the sample log {}", path.display()))?;
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What shares a file.
struct FileGroup {
    account: usize,
    region: usize,
    day: u64,
}

impl FileGroup {
    fn file_name(&self, random: &mut Random) -> String {
        let (account, region) = (ACCOUNTS[self.account], REGIONS[self.region]);
        let day = FIRST_DAY + self.day;
        let unique: String = (0..16)
            .map(|_| {
                *random.pick(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
            })
            .map(char::from)
            .collect();
        format!(
            "AWSLogs/{account}/CloudTrail/{region}/2026/01/{day}/{account}_CloudTrail_{region}_202601{day}T2355Z_{unique}.json.gz"
        )
    }
}

fn write_file(path: &Path, place: &FileGroup, count: u64, random: &mut Random) -> Result<()> {
    let mut records: Vec<(u64, String)> = Vec::new();
    for _ in 0..count {
        let (time, event) = ordinary::event(place, random);
        records.push((time, event));
    }
    for step in story::STORY {
        if (step.account, step.region, step.second / 86_400)
            == (place.account, place.region, place.day)
        {
            for nth in 0..step.count {
                let time = START + step.second + nth * 5;
                records.push((time, step.record(time, nth, random)));
            }
        }
    }
    records.sort_by_key(|(time, _)| *time);

    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = GzEncoder::new(File::create(path)?, Compression::fast());
    file.write_all(b"{\"Records\":[")?;
    for (i, (_, record)) in records.iter().enumerate() {
        if i > 0 {
            file.write_all(b",")?;
        }
        file.write_all(record.as_bytes())?;
    }
    file.write_all(b"]}")?;
    file.finish()?.flush()?;
    Ok(())
}

/// SplitMix64: small, and the same everywhere. <https://prng.di.unimi.it/splitmix64.c>
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `limit`, which must not be 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).unwrap_or(0)]
    }

    fn weighted<'a, T>(&mut self, from: &'a [T], weight: impl Fn(&T) -> u64) -> &'a T {
        let mut rest = self.below(from.iter().map(&weight).sum::<u64>().max(1));
        for item in from {
            match rest.checked_sub(weight(item)) {
                Some(less) => rest = less,
                None => return item,
            }
        }
        &from[0]
    }

    fn hex(&mut self, digits: usize) -> String {
        let text = format!("{:016x}{:016x}", self.next(), self.next());
        text[..digits].to_owned()
    }

    fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!(
            "{}-{}-4{}-a{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..]
        )
    }
}

fn rfc3339(seconds: u64) -> String {
    let since = seconds - START;
    let (day, second) = (FIRST_DAY + since / 86_400, since % 86_400);
    format!(
        "2026-01-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// Who acts.
#[derive(Debug, Clone, Copy)]
enum Actor {
    /// An IAM user.
    User(&'static str),
    /// A session of a role: the role, the session, and whether a person with MFA stands behind it.
    Role(&'static str, &'static str, bool),
    /// An AWS service.
    Service(&'static str),
    /// The account's root.
    Root,
}

impl Actor {
    fn name(self) -> &'static str {
        match self {
            Self::User(name) | Self::Role(name, _, _) | Self::Service(name) => name,
            Self::Root => "root",
        }
    }

    /// Returns `userIdentity` as JSON. Who signs in has no key or session yet.
    fn identity(self, account: &str, time: u64, is_sign_in: bool) -> String {
        let id = stable_id(self.name());
        match self {
            Self::Root if is_sign_in => format!(
                r#"{{"type":"Root","principalId":"{account}","arn":"arn:aws:iam::{account}:root","accountId":"{account}","accessKeyId":""}}"#
            ),
            Self::User(name) if is_sign_in => format!(
                r#"{{"type":"IAMUser","principalId":"AIDA{id}","arn":"arn:aws:iam::{account}:user/{name}","accountId":"{account}","userName":"{name}"}}"#
            ),
            Self::Service(name) => format!(r#"{{"type":"AWSService","invokedBy":"{name}"}}"#),
            Self::Root => format!(
                r#"{{"type":"Root","principalId":"{account}","arn":"arn:aws:iam::{account}:root","accountId":"{account}","accessKeyId":"ASIA{id}","sessionContext":{{"attributes":{{"creationDate":"{}","mfaAuthenticated":"false"}}}}}}"#,
                rfc3339(time.saturating_sub(60).max(START))
            ),
            Self::User(name) => format!(
                r#"{{"type":"IAMUser","principalId":"AIDA{id}","arn":"arn:aws:iam::{account}:user/{name}","accountId":"{account}","accessKeyId":"AKIA{id}","userName":"{name}"}}"#
            ),
            Self::Role(role, session, mfa) => format!(
                r#"{{"type":"AssumedRole","principalId":"AROA{id}:{session}","arn":"arn:aws:sts::{account}:assumed-role/{role}/{session}","accountId":"{account}","accessKeyId":"ASIA{id}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROA{id}","arn":"arn:aws:iam::{account}:role/{role}","accountId":"{account}","userName":"{role}"}},"webIdFederationData":{{}},"attributes":{{"creationDate":"{}","mfaAuthenticated":"{mfa}"}}}}}}"#,
                rfc3339((time - time % 3_600).max(START))
            ),
        }
    }
}

/// Returns sixteen characters that look like the end of an AWS id and are always the same for a name.
fn stable_id(name: &str) -> String {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = Random(seed);
    (0..16)
        .map(|_| char::from(*random.pick(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")))
        .collect()
}

/// What CloudTrail says about a call, besides the ids.
struct CallRecord<'a> {
    time: u64,
    account: &'a str,
    region: &'a str,
    actor: Actor,
    source: &'a str,
    name: &'a str,
    read_only: bool,
    ip: &'a str,
    agent: &'a str,
    error: Option<(&'a str, String)>,
    /// JSON, or `null`.
    parameters: String,
    /// JSON, or `null`.
    response: String,
    /// JSON, or empty.
    additional: String,
}

impl CallRecord<'_> {
    fn json(&self, random: &mut Random) -> String {
        let is_sign_in = self.source == "signin.amazonaws.com";
        let is_data = matches!(self.name, "GetObject" | "PutObject" | "Invoke");
        let mut text = String::with_capacity(1_500);
        let put = &mut text;
        // Writing into a string does not fail.
        let _ = write!(
            put,
            r#"{{"eventVersion":"1.11","userIdentity":{},"eventTime":"{}","eventSource":"{}","eventName":"{}","awsRegion":"{}","sourceIPAddress":"{}","userAgent":"{}""#,
            self.actor.identity(self.account, self.time, is_sign_in),
            rfc3339(self.time),
            self.source,
            self.name,
            self.region,
            self.ip,
            self.agent,
        );
        if let Some((code, message)) = &self.error {
            if !code.is_empty() {
                let _ = write!(put, r#","errorCode":"{code}""#);
            }
            let _ = write!(put, r#","errorMessage":"{message}""#);
        }
        let _ = write!(
            put,
            r#","requestParameters":{},"responseElements":{}"#,
            self.parameters, self.response
        );
        if !self.additional.is_empty() {
            let _ = write!(put, r#","additionalEventData":{}"#, self.additional);
        }
        if !is_sign_in {
            let _ = write!(put, r#","requestID":"{}""#, random.uuid());
        }
        let _ = write!(
            put,
            r#","eventID":"{}","readOnly":{},"eventType":"{}","managementEvent":{},"recipientAccountId":"{}","eventCategory":"{}""#,
            random.uuid(),
            self.read_only,
            if is_sign_in {
                "AwsConsoleSignIn"
            } else {
                "AwsApiCall"
            },
            !is_data,
            self.account,
            if is_data { "Data" } else { "Management" },
        );
        if !matches!(self.actor, Actor::Service(_)) {
            let host = if is_sign_in {
                "signin.aws.amazon.com"
            } else {
                self.source
            };
            let _ = write!(
                put,
                r#","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{host}"}}"#
            );
        }
        put.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use serde_json::Value;

    use super::*;

    fn records(files: &[PathBuf]) -> Vec<Value> {
        let mut records = Vec::new();
        for file in files {
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(File::open(file).unwrap());
            decoder.read_to_string(&mut text).unwrap();
            let mut envelope: Value = serde_json::from_str(&text).unwrap();
            let Value::Array(events) = envelope["Records"].take() else {
                panic!("{} has no records", file.display());
            };
            let times: Vec<_> = events.iter().map(|e| e["eventTime"].to_string()).collect();
            assert!(times.is_sorted(), "{}", file.display());
            records.extend(events);
        }
        records
    }

    #[test]
    fn the_logs_hold_what_was_asked_for_and_the_intrusion() {
        let directory = tempfile::tempdir().unwrap();
        let files = write(directory.path(), 5_000, 1).unwrap();
        let records = records(&files);
        assert_eq!(records.len(), 5_000);

        let mut ids: Vec<_> = records.iter().map(|e| e["eventID"].to_string()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5_000);
        for record in &records {
            let account = record["recipientAccountId"].as_str().unwrap();
            assert!(ACCOUNTS.contains(&account), "{record}");
            for key in [
                "userIdentity",
                "eventSource",
                "awsRegion",
                "sourceIPAddress",
                "readOnly",
            ] {
                assert!(!record[key].is_null(), "{key}: {record}");
            }
        }
        let truth = truth();
        assert!(truth.is_sorted_by_key(|step| step.time.clone()));
        for step in truth {
            let found = records.iter().any(|e| {
                e["eventTime"] == *step.time
                    && e["eventName"] == step.event_name
                    && e["recipientAccountId"] == step.account
            });
            assert!(found, "{step:?}");
        }
    }

    #[test]
    fn ordinary_days_hold_no_step_of_the_intrusion() {
        let directory = tempfile::tempdir().unwrap();
        let records = records(&write(directory.path(), 20_000, 2).unwrap());
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for record in &records {
            *counts
                .entry(record["eventName"].as_str().unwrap())
                .or_default() += 1;
        }
        for name in [
            "StopLogging",
            "DeleteTrail",
            "UpdateDetector",
            "AttachUserPolicy",
            "CreateAccessKey",
            "ModifySnapshotAttribute",
            "UpdateAssumeRolePolicy",
            "ScheduleKeyDeletion",
        ] {
            assert_eq!(counts[name], 1, "{name}");
        }
        assert!(
            counts["GetSecretValue"] > 40 && counts["AssumeRole"] > 100,
            "{counts:?}"
        );
        assert!(counts.len() > 50, "{counts:?}");
    }

    #[test]
    fn a_seed_has_its_bytes() {
        let bytes = |seed| {
            let directory = tempfile::tempdir().unwrap();
            let files = write(directory.path(), 2_000, seed).unwrap();
            let relative = |file: &PathBuf| file.strip_prefix(directory.path()).unwrap().to_owned();
            let contents = files
                .iter()
                .map(|file| (relative(file), fs::read(file).unwrap()));
            contents.collect::<Vec<_>>()
        };
        assert!(bytes(7) == bytes(7));
        assert!(bytes(7) != bytes(8));
    }

    #[test]
    fn too_few_events_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = write(directory.path(), 3, 1).unwrap_err();
        assert!(error.to_string().contains("too few"), "{error}");
    }
}
