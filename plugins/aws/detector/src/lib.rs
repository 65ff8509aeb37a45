//! Detectors for AWS CloudTrail: what a `where` cannot say.
//!
//! A rule's `where` lets the calls through that may matter; a detector reads what was asked in the call — a policy, a
//! list of ports, a list of accounts — and says whether it matters and how much. Each event is evaluated by itself, so no
//! detector keeps state.

mod actor;
mod arn;
mod console_login;
mod credentials;
mod guardduty;
mod network;
mod policy;
mod privileges;
mod role_chaining;
mod role_trust;
mod root_use;
mod s3_public;
mod security_group;
mod shared_copy;
mod trail_weakened;

#[cfg(test)]
mod recorded;

yagura_sdk::detectors! {
    "aws-admin-privileges-granted" => privileges::AdminPrivilegesGranted,
    "aws-console-login-without-mfa" => console_login::ConsoleLoginWithoutMfa,
    "aws-credentials-for-other-user" => credentials::CredentialsForOtherUser,
    "aws-guardduty-weakened" => guardduty::GuardDutyWeakened,
    "aws-role-chaining" => role_chaining::RoleChaining,
    "aws-role-trust-opened" => role_trust::RoleTrustOpened,
    "aws-root-use" => root_use::RootUse,
    "aws-s3-made-public" => s3_public::S3MadePublic,
    "aws-security-group-opened" => security_group::SecurityGroupOpened,
    "aws-snapshot-shared" => shared_copy::SnapshotShared,
    "aws-trail-weakened" => trail_weakened::TrailWeakened,
}
