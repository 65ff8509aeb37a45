//! S3 buckets made public.

use yagura_sdk::prelude::*;

use crate::actor::Actor;
use crate::policy::{self, NARROWING_KEYS, Principal, Statement};

/// Finds calls that open a bucket to everyone: by policy, by access control list, or by taking the block off.
pub(crate) struct S3MadePublic {
    actor: Actor,
    event_name: Column<Text>,
    bucket: Column<Text>,
    request: Column<Text>,
    policy: Column<Text>,
}

/// The groups that mean everyone, and everyone with any AWS account.
const PUBLIC_GROUPS: [&str; 2] = [
    "/groups/global/AllUsers",
    "/groups/global/AuthenticatedUsers",
];

impl Detector for S3MadePublic {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            actor: Actor::open(rule)?,
            event_name: rule.text("event_name")?,
            bucket: rule.text("request_parameters.bucketName")?,
            request: rule.text("request_parameters")?,
            policy: rule.text("request_parameters.bucketPolicy")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let Some((severity, how)) = self.evaluate(row) else {
                continue;
            };
            let bucket = row.get(self.bucket);
            findings
                .row(row)
                .severity(severity)
                .title(format!(
                    "{} opened {} to everyone: {how}",
                    self.actor.name(row),
                    bucket.map_or("every bucket of the account".to_owned(), |name| format!(
                        "bucket {name}"
                    )),
                ))
                .context("bucket", bucket)
                .context("how", how);
        }
        Ok(())
    }
}

impl S3MadePublic {
    fn evaluate(&self, row: Row) -> Option<(Severity, String)> {
        let request = Json::new(row.get(self.request).unwrap_or_default());
        match row.get(self.event_name)? {
            "PutBucketPolicy" => public_policy(row.get(self.policy)?),
            "DeleteBucketPublicAccessBlock" | "DeleteAccountPublicAccessBlock" => Some((
                Severity::Medium,
                "the public access block was deleted".to_owned(),
            )),
            "PutBucketPublicAccessBlock" | "PutAccountPublicAccessBlock" => {
                let settings = request.get("PublicAccessBlockConfiguration")?;
                let off: Vec<String> = settings
                    .members()
                    .filter(|(_, value)| value.bool() == Some(false))
                    .map(|(name, _)| name.into_owned())
                    .collect();
                (!off.is_empty()).then(|| {
                    (
                        Severity::Medium,
                        format!("the access block is without {}", off.join(", ")),
                    )
                })
            }
            _ => public_acl(request),
        }
    }
}

fn public_policy(document: &str) -> Option<(Severity, String)> {
    let is_public = |statement: &Statement| {
        statement.principals().contains(&Principal::Everyone)
            && !statement.is_narrowed_by(&NARROWING_KEYS)
    };
    let actions: Vec<String> = policy::allowing(document)
        .filter(is_public)
        .flat_map(|statement| {
            let rest = statement
                .has_not_action()
                .then(|| "nearly everything".to_owned());
            statement.actions().map(String::from).chain(rest)
        })
        .collect();
    if actions.is_empty() {
        return None;
    }
    let only_reads = actions.iter().all(|action| {
        let action = action.trim_start_matches("s3:");
        action.starts_with("Get") || action.starts_with("List")
    });
    let severity = if only_reads {
        Severity::High
    } else {
        Severity::Critical
    };
    Some((
        severity,
        format!("its policy allows {}", actions.join(", ")),
    ))
}

fn public_acl(request: Json) -> Option<(Severity, String)> {
    let grants = request.at("AccessControlPolicy.AccessControlList.Grant");
    for grant in grants.into_iter().flat_map(Json::one_or_many) {
        let Some(uri) = grant.at("Grantee.URI").and_then(Json::string) else {
            continue;
        };
        if PUBLIC_GROUPS.iter().any(|group| uri.ends_with(group)) {
            let permission = grant
                .get("Permission")
                .and_then(Json::text)
                .unwrap_or_default();
            return Some((
                acl_severity(&permission),
                format!("its access list grants {permission}"),
            ));
        }
    }
    // Headers of the request: a canned list, or grants one by one.
    for (header, value) in request.members() {
        let header = header.to_ascii_lowercase();
        let mut values = value.one_or_many().filter_map(Json::string);
        if header == "x-amz-acl" {
            if let Some(canned) = values
                .find(|canned| canned.starts_with("public-") || canned == "authenticated-read")
            {
                return Some((
                    acl_severity(&canned),
                    format!("its access list is `{canned}`"),
                ));
            }
        } else if let Some(permission) = header.strip_prefix("x-amz-grant-") {
            let to_public = |value: &str| PUBLIC_GROUPS.iter().any(|group| value.contains(group));
            if values.any(|value| to_public(&value)) {
                return Some((
                    acl_severity(permission),
                    format!("its access list grants {permission}"),
                ));
            }
        }
    }
    None
}

fn acl_severity(permission: &str) -> Severity {
    let permission = permission.to_ascii_lowercase();
    if permission.contains("write") || permission.contains("full") {
        Severity::Critical
    } else {
        Severity::High
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::evaluate_columns;

    fn severity(columns: &[(&str, &str)]) -> Option<Severity> {
        let found = evaluate_columns("aws-s3-made-public", columns);
        found.first().and_then(|finding| finding.severity)
    }

    #[test]
    fn policies_are_public_without_a_narrowing_condition() {
        let put = |policy: &str| {
            severity(&[
                ("event_name", "PutBucketPolicy"),
                ("request_parameters.bucketPolicy", policy),
            ])
        };
        let read = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}}"#;
        assert_eq!(put(read), Some(Severity::High));
        assert_eq!(
            put(&read.replace("s3:GetObject", "s3:*")),
            Some(Severity::Critical)
        );
        assert_eq!(put(&read.replace("Allow", "Deny")), None);
        assert_eq!(
            put(&read.replace(r#""*""#, r#"{"AWS": "123456789012"}"#)),
            None
        );
        let condition = r#""Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, "Action""#;
        assert_eq!(put(&read.replace(r#""Action""#, condition)), None);
    }

    #[test]
    fn lists_and_blocks_are_read_in_every_form() {
        let call = |name: &str, request: &str| {
            severity(&[("event_name", name), ("request_parameters", request)])
        };
        let grant = r#"{"AccessControlPolicy": {"AccessControlList": {"Grant": [
            {"Grantee": {"ID": "abc"}, "Permission": "FULL_CONTROL"},
            {"Grantee": {"URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}]}}}"#;
        assert_eq!(call("PutBucketAcl", grant), Some(Severity::High));
        assert_eq!(
            call("PutBucketAcl", &grant.replace("AllUsers", "LogDelivery")),
            None
        );
        assert_eq!(call("PutBucketAcl", r#"{"x-amz-acl": "private"}"#), None);
        assert_eq!(
            call("CreateBucket", r#"{"x-amz-acl": ["public-read-write"]}"#),
            Some(Severity::Critical)
        );
        let header =
            r#"{"x-amz-grant-read": "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\""}"#;
        assert_eq!(call("PutBucketAcl", header), Some(Severity::High));
        let block = r#"{"PublicAccessBlockConfiguration": {"BlockPublicAcls": true, "RestrictPublicBuckets": true}}"#;
        assert_eq!(call("PutBucketPublicAccessBlock", block), None);
        assert_eq!(
            call(
                "PutBucketPublicAccessBlock",
                &block.replacen("true", "false", 1)
            ),
            Some(Severity::Medium)
        );
    }
}
