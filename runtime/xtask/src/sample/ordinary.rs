//! The ordinary work of a company: people in office hours, machines around the clock.

use std::sync::LazyLock;

use super::{ACCOUNTS, Actor, CallRecord, FileGroup, REGIONS, Random, START};

/// Share of the events by hour of the day (UTC), people's and machines'.
const PEOPLE_HOURS: [u64; 24] = [
    1, 1, 1, 1, 1, 2, 4, 10, 24, 30, 30, 26, 18, 26, 30, 28, 24, 16, 8, 5, 4, 3, 2, 1,
];
const MACHINE_HOURS: [u64; 24] = [
    20, 18, 26, 18, 17, 17, 18, 20, 23, 25, 26, 25, 24, 25, 26, 25, 24, 22, 21, 20, 20, 19, 19, 20,
];

/// Who works, how much, from where, with what, and at what.
struct Worker {
    actor: Actor,
    weight: u64,
    ips: &'static [&'static str],
    agents: &'static [&'static str],
    calls: &'static str,
    is_person: bool,
}

/// A kind of call, and how it is filled in: see `calls.tsv`.
struct CallKind {
    group: &'static str,
    weight: u64,
    source: &'static str,
    name: &'static str,
    reads: bool,
    parameters: &'static str,
}

static CALLS: LazyLock<Vec<CallKind>> = LazyLock::new(|| {
    let lines = include_str!("calls.tsv").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(call)
        .collect()
});

fn call(line: &'static str) -> Option<CallKind> {
    let mut cells = line.split('\t');
    Some(CallKind {
        group: cells.next()?,
        weight: cells.next()?.parse().ok()?,
        source: cells.next()?,
        name: cells.next()?,
        reads: cells.next()? == "r",
        parameters: cells.next()?,
    })
}

const CONSOLE: &str = "AWS Internal";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";
const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Safari/605.1.15";
const CLI: &str = "aws-cli/2.32.7 md/awscrt#0.29.1 ua/2.1 os/macos#24.6.0 lang/python#3.13.9";
const BOTO: &str =
    "Boto3/1.42.4 md/Botocore#1.42.4 ua/2.1 os/linux#6.12.58 lang/python#3.13.1 Botocore/1.42.4";
const TERRAFORM: &str = "APN/1.0 HashiCorp/1.0 Terraform/1.14.2 (+https://www.terraform.io) terraform-provider-aws/6.25.0 aws-sdk-go-v2/1.40.0";
const GO: &str = "aws-sdk-go-v2/1.40.0 ua/2.1 os/linux lang/go#1.25.4 md/GOOS#linux md/GOARCH#arm64 api/s3#1.92.0";

const OFFICE: &[&str] = &[
    "198.51.100.10",
    "198.51.100.11",
    "198.51.100.12",
    "192.0.2.77",
    "192.0.2.140",
];
const INSIDE: &[&str] = &[
    "10.20.4.17",
    "10.20.4.91",
    "10.20.7.5",
    "10.30.1.44",
    "10.30.2.8",
];

const fn person(
    name: &'static str,
    role: &'static str,
    weight: u64,
    calls: &'static str,
) -> Worker {
    Worker {
        actor: Actor::Role(role, name, true),
        weight,
        ips: OFFICE,
        agents: &[CONSOLE, CLI, CHROME],
        calls,
        is_person: true,
    }
}

const fn machine(
    actor: Actor,
    weight: u64,
    ips: &'static [&'static str],
    agents: &'static [&'static str],
    calls: &'static str,
) -> Worker {
    Worker {
        actor,
        weight,
        ips,
        agents,
        calls,
        is_person: false,
    }
}

const WORKERS: [Worker; 15] = [
    person(
        "aiko.tanaka@example.com",
        "AWSReservedSSO_Engineer_4f1c",
        9,
        "building",
    ),
    person(
        "ben.okafor@example.com",
        "AWSReservedSSO_Engineer_4f1c",
        8,
        "building",
    ),
    person(
        "chloe.martin@example.com",
        "AWSReservedSSO_Engineer_4f1c",
        7,
        "viewing",
    ),
    person(
        "dmitri.ivanov@example.com",
        "AWSReservedSSO_ReadOnly_91bb",
        6,
        "viewing",
    ),
    person(
        "elena.rossi@example.com",
        "AWSReservedSSO_Security_77d0",
        6,
        "viewing",
    ),
    person(
        "farid.haddad@example.com",
        "AWSReservedSSO_Billing_a2e9",
        3,
        "viewing",
    ),
    person(
        "grace.kim@example.com",
        "AWSReservedSSO_Admin_0c3d",
        3,
        "viewing",
    ),
    person(
        "hugo.silva@example.com",
        "AWSReservedSSO_Admin_0c3d",
        3,
        "building",
    ),
    machine(
        Actor::Role("orders-service", "i-0a1b2c3d4e5f60718", false),
        26,
        INSIDE,
        &[BOTO, GO],
        "serving",
    ),
    machine(
        Actor::Role("reporting", "reporting-nightly", false),
        14,
        INSIDE,
        &[BOTO],
        "serving",
    ),
    machine(
        Actor::Role("eks-node", "i-0f9e8d7c6b5a43210", false),
        20,
        INSIDE,
        &[GO],
        "serving",
    ),
    machine(
        Actor::Service("ec2.amazonaws.com"),
        5,
        &["ec2.amazonaws.com"],
        &["ec2.amazonaws.com"],
        "assuming",
    ),
    machine(
        Actor::Service("lambda.amazonaws.com"),
        7,
        &["lambda.amazonaws.com"],
        &["lambda.amazonaws.com"],
        "assuming",
    ),
    machine(
        Actor::User("ci-deploy"),
        5,
        &["203.0.113.9", "203.0.113.10"],
        &[TERRAFORM, BOTO],
        "shipping",
    ),
    machine(
        Actor::Role("deploy", "ci", false),
        8,
        &["203.0.113.9", "203.0.113.10"],
        &[TERRAFORM],
        "building",
    ),
];

/// Returns an ordinary event of the place, with its time.
pub(super) fn event(place: &FileGroup, random: &mut Random) -> (u64, String) {
    let worker = random.weighted(&WORKERS, |worker| worker.weight);
    let hours = if worker.is_person {
        &PEOPLE_HOURS
    } else {
        &MACHINE_HOURS
    };
    let hours: Vec<(u64, u64)> = (0..).zip(hours.iter().copied()).collect();
    let hour = random.weighted(&hours, |(_, weight)| *weight).0;
    let time = START + place.day * 86_400 + hour * 3_600 + random.below(3_600);
    let account = ACCOUNTS[place.account];
    let mut region = REGIONS[place.region];
    if worker.is_person && place.region == 0 && random.one_in(400) {
        return (time, sign_in(worker, account, time, random));
    }
    let call = random.weighted(&CALLS, |call| {
        if call.group == worker.calls {
            call.weight
        } else {
            0
        }
    });
    let CallKind { source, name, .. } = call;
    if matches!(*source, "iam.amazonaws.com" | "health.amazonaws.com") {
        // Global services write where they live, whatever file this becomes part of.
        region = "us-east-1";
    }
    let error = fault(worker, source, name, account, random);
    let failed = error.is_some();
    let assumed = *name == "AssumeRole" && !failed;
    let record = CallRecord {
        time,
        account,
        region,
        actor: worker.actor,
        source,
        name,
        read_only: call.reads,
        ip: random.pick::<&str>(worker.ips),
        agent: random.pick::<&str>(worker.agents),
        error,
        parameters: fill(call.parameters, account, random),
        response: if assumed {
            format!(
                r#"{{"credentials":{{"accessKeyId":"ASIA{}","sessionToken":"***","expiration":"Jan {}, 2026, 11:00:00 PM"}}}}"#,
                random.hex(16).to_uppercase(),
                super::FIRST_DAY + place.day
            )
        } else {
            "null".to_owned()
        },
        additional: String::new(),
    };
    (time, record.json(random))
}

/// Returns a person's sign-in through the company's identity provider; a wrong password now and then.
fn sign_in(worker: &Worker, account: &str, time: u64, random: &mut Random) -> String {
    let failed = random.one_in(12);
    let agent = random.pick(&[CHROME, SAFARI]);
    CallRecord {
        time,
        account,
        region: "us-east-1",
        actor: worker.actor,
        source: "signin.amazonaws.com",
        name: "ConsoleLogin",
        read_only: false,
        ip: random.pick::<&str>(OFFICE),
        agent,
        error: None,
        parameters: "null".to_owned(),
        response: format!(r#"{{"ConsoleLogin":"{}"}}"#, if failed { "Failure" } else { "Success" }),
        additional: format!(
            r#"{{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"No","SamlProviderArn":"arn:aws:iam::{account}:saml-provider/AWSSSO_DO_NOT_DELETE"}}"#
        ),
    }
    .json(random)
}

/// Returns an error now and then: what people may not do, what is not there, what is asked too often.
fn fault(
    worker: &Worker,
    source: &str,
    name: &str,
    account: &str,
    random: &mut Random,
) -> Option<(&'static str, String)> {
    match random.below(1_000) {
        0..12 => {
            let service = source.split('.').next().unwrap_or_default();
            let message = format!(
                "User: arn:aws:sts::{account}:assumed-role/{} is not authorized to perform: {service}:{name} because no identity-based policy allows the action",
                worker.actor.name()
            );
            Some(("AccessDenied", message))
        }
        12..16 => Some(("ThrottlingException", "Rate exceeded".to_owned())),
        16..20 => Some((
            "ResourceNotFoundException",
            "The resource that was asked for does not exist".to_owned(),
        )),
        _ => None,
    }
}

fn fill(template: &str, account: &str, random: &mut Random) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let value = match rest.as_bytes().get(open + 1..open + 3) {
            Some(b"i}") => format!("i-0{}", random.hex(16)),
            Some(b"k}") => format!("2026/01/{}/{}.json", random.below(28) + 1, random.hex(12)),
            Some(b"x}") => random.hex(8),
            Some(b"n}") => random.below(1_000).to_string(),
            Some(b"a}") => account.to_owned(),
            _ => {
                text.push('{');
                rest = &rest[open + 1..];
                continue;
            }
        };
        text.push_str(&value);
        rest = &rest[open + 3..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_call_and_every_worker_has_some() {
        let lines = include_str!("calls.tsv").lines();
        assert_eq!(
            CALLS.len(),
            lines.filter(|line| !line.starts_with('#')).count()
        );
        for worker in &WORKERS {
            assert!(
                CALLS.iter().any(|call| call.group == worker.calls),
                "{}",
                worker.calls
            );
        }
    }
}
