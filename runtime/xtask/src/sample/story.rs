//! The intrusion: a password without a second factor becomes an administrator, blinds the guards, takes what is secret.

use super::{ACCOUNTS, Actor, CallRecord, REGIONS, Random};

/// A step: some events of one name.
pub(super) struct StoryStep {
    /// Seconds after the first Monday's midnight.
    pub(super) second: u64,
    pub(super) account: usize,
    pub(super) region: usize,
    pub(super) actor: Actor,
    pub(super) source: &'static str,
    pub(super) name: &'static str,
    pub(super) count: u64,
    pub(super) what: &'static str,
    ip: &'static str,
    read_only: bool,
    /// Error code of the events, or empty.
    error: &'static str,
    /// JSON; `{n}` stands for the number of the event, `{a}` for the account.
    parameters: &'static str,
    response: &'static str,
    additional: &'static str,
}

const HOME: &str = "203.0.113.66";
const RELAY: &str = "198.51.100.231";
const STOLEN: Actor = Actor::User("maria.silva");
const SPARE: Actor = Actor::User("backup-operator");
const BREAK_GLASS: Actor = Actor::Role("OrganizationAccess", "maintenance", false);

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const TOOL: &str =
    "aws-cli/2.31.0 md/awscrt#0.28.0 ua/2.1 os/linux#6.16.8+kali-amd64 lang/python#3.13.7";

const fn at(day: u64, hour: u64, minute: u64) -> u64 {
    day * 86_400 + hour * 3_600 + minute * 60
}

const BASE: StoryStep = StoryStep {
    second: 0,
    account: 0,
    region: 0,
    actor: STOLEN,
    source: "",
    name: "",
    count: 1,
    what: "",
    ip: HOME,
    read_only: false,
    error: "",
    parameters: "null",
    response: "null",
    additional: "",
};

/// The steps, in the order of time.
pub(super) const STORY: &[StoryStep] = &[
    StoryStep {
        second: at(2, 1, 12),
        source: "signin.amazonaws.com",
        name: "ConsoleLogin",
        count: 4,
        what: "passwords tried against a user of the console",
        error: "Failed authentication",
        response: r#"{"ConsoleLogin":"Failure"}"#,
        additional: r#"{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"No"}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 14),
        source: "signin.amazonaws.com",
        name: "ConsoleLogin",
        what: "console login without MFA",
        response: r#"{"ConsoleLogin":"Success"}"#,
        additional: r#"{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"No"}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 19),
        source: "iam.amazonaws.com",
        name: "GetAccountAuthorizationDetails",
        what: "all users, roles and policies read at once",
        read_only: true,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 26),
        source: "iam.amazonaws.com",
        name: "CreateAccessKey",
        what: "access key made for another user",
        parameters: r#"{"userName":"backup-operator"}"#,
        response: r#"{"accessKey":{"userName":"backup-operator","accessKeyId":"AKIAEXAMPLEBACKUPOPR","status":"Active","createDate":"Jan 14, 2026, 1:26:00 AM"}}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 29),
        source: "iam.amazonaws.com",
        name: "AttachUserPolicy",
        what: "administrator policy attached to a user",
        parameters: r#"{"userName":"backup-operator","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 41),
        actor: SPARE,
        source: "sts.amazonaws.com",
        name: "AssumeRole",
        what: "role assumed with the new access key",
        ip: RELAY,
        read_only: true,
        parameters: r#"{"roleArn":"arn:aws:iam::{a}:role/OrganizationAccess","roleSessionName":"maintenance"}"#,
        response: r#"{"credentials":{"accessKeyId":"ASIAEXAMPLEORGACCESS","sessionToken":"***","expiration":"Jan 14, 2026, 2:41:00 AM"},"assumedRoleUser":{"assumedRoleId":"AROAEXAMPLEORGACCESS:maintenance","arn":"arn:aws:sts::{a}:assumed-role/OrganizationAccess/maintenance"}}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 43),
        actor: BREAK_GLASS,
        source: "sts.amazonaws.com",
        name: "AssumeRole",
        what: "role chained from an assumed role into another account",
        ip: RELAY,
        read_only: true,
        parameters: r#"{"roleArn":"arn:aws:iam::444455556666:role/OrganizationAccess","roleSessionName":"maintenance"}"#,
        response: r#"{"credentials":{"accessKeyId":"ASIAEXAMPLECHAINED00","sessionToken":"***","expiration":"Jan 14, 2026, 2:43:00 AM"},"assumedRoleUser":{"assumedRoleId":"AROAEXAMPLECHAINED00:maintenance","arn":"arn:aws:sts::444455556666:assumed-role/OrganizationAccess/maintenance"}}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 52),
        actor: BREAK_GLASS,
        source: "guardduty.amazonaws.com",
        name: "UpdateDetector",
        what: "GuardDuty disabled",
        ip: RELAY,
        parameters: r#"{"detectorId":"12abc34d567e8fa901bc2d34e56789f0","enable":false}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 55),
        actor: BREAK_GLASS,
        source: "cloudtrail.amazonaws.com",
        name: "StopLogging",
        what: "trail stopped",
        ip: RELAY,
        parameters: r#"{"name":"arn:aws:cloudtrail:us-east-1:{a}:trail/organization"}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 1, 57),
        account: 1,
        actor: BREAK_GLASS,
        source: "cloudtrail.amazonaws.com",
        name: "DeleteTrail",
        what: "trail deleted in the second account",
        ip: RELAY,
        parameters: r#"{"name":"arn:aws:cloudtrail:us-east-1:{a}:trail/local"}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 2, 6),
        region: 1,
        actor: BREAK_GLASS,
        source: "ec2.amazonaws.com",
        name: "AuthorizeSecurityGroupIngress",
        what: "SSH opened to the whole world",
        ip: RELAY,
        parameters: r#"{"groupId":"sg-0a1b2c3d","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"groups":{},"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]},"ipv6Ranges":{"items":[{"cidrIpv6":"::/0"}]},"prefixListIds":{}}]}}"#,
        response: r#"{"_return":true}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 2, 17),
        actor: BREAK_GLASS,
        source: "secretsmanager.amazonaws.com",
        name: "GetSecretValue",
        count: 40,
        what: "forty secrets read within minutes",
        ip: RELAY,
        read_only: true,
        parameters: r#"{"secretId":"prod/service-{n}/credentials"}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 2, 31),
        actor: BREAK_GLASS,
        source: "s3.amazonaws.com",
        name: "PutBucketPolicy",
        what: "bucket made public",
        ip: RELAY,
        parameters: r#"{"bucketName":"example-customer-exports","Host":"example-customer-exports.s3.amazonaws.com","policy":"","bucketPolicy":{"Version":"2012-10-17","Statement":[{"Sid":"x","Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::example-customer-exports","arn:aws:s3:::example-customer-exports/*"]}]}}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 2, 44),
        region: 1,
        actor: BREAK_GLASS,
        source: "ec2.amazonaws.com",
        name: "ModifySnapshotAttribute",
        what: "disk snapshot shared with a foreign account",
        ip: RELAY,
        parameters: r#"{"snapshotId":"snap-0a1b2c3d4e5f67890","createVolumePermission":{"add":{"items":[{"userId":"999900001111"}]}},"attributeType":"CREATE_VOLUME_PERMISSION"}"#,
        response: r#"{"_return":true}"#,
        ..BASE
    },
    StoryStep {
        second: at(2, 3, 5),
        actor: BREAK_GLASS,
        source: "iam.amazonaws.com",
        name: "UpdateAssumeRolePolicy",
        what: "role's trust opened to a foreign account",
        ip: RELAY,
        parameters: r#"{"roleName":"orders-service","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::999900001111:root\"},\"Action\":\"sts:AssumeRole\"}]}"}"#,
        ..BASE
    },
    StoryStep {
        second: at(3, 22, 48),
        account: 2,
        actor: Actor::Root,
        source: "signin.amazonaws.com",
        name: "ConsoleLogin",
        what: "root signs in to the third account without MFA",
        ip: RELAY,
        response: r#"{"ConsoleLogin":"Success"}"#,
        additional: r#"{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"No"}"#,
        ..BASE
    },
    StoryStep {
        second: at(3, 22, 53),
        account: 2,
        actor: Actor::Root,
        source: "kms.amazonaws.com",
        name: "ScheduleKeyDeletion",
        what: "root schedules a key's deletion",
        ip: RELAY,
        parameters: r#"{"keyId":"arn:aws:kms:us-east-1:{a}:key/1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d","pendingWindowInDays":7}"#,
        response: r#"{"keyId":"arn:aws:kms:us-east-1:{a}:key/1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d","keyState":"PendingDeletion","pendingWindowInDays":7,"deletionDate":"Jan 22, 2026, 12:00:00 AM"}"#,
        ..BASE
    },
];

impl StoryStep {
    /// Returns the step's event number `nth` as CloudTrail writes it.
    pub(super) fn record(&self, time: u64, nth: u64, random: &mut Random) -> String {
        let account = ACCOUNTS[self.account];
        let fill = |template: &str| {
            template
                .replace("{n}", &nth.to_string())
                .replace("{a}", account)
        };
        let is_sign_in = self.source == "signin.amazonaws.com";
        let error = (!self.error.is_empty()).then(|| match is_sign_in {
            // Sign-in writes no code beside its message.
            true => ("", self.error.to_owned()),
            false => (self.error, "denied".to_owned()),
        });
        CallRecord {
            time,
            account,
            region: REGIONS[self.region],
            actor: self.actor,
            source: self.source,
            name: self.name,
            read_only: self.read_only,
            ip: self.ip,
            agent: if is_sign_in { BROWSER } else { TOOL },
            error,
            parameters: fill(self.parameters),
            response: fill(self.response),
            additional: fill(self.additional),
        }
        .json(random)
    }
}
