//! Copies of disks and databases shared with others.

use std::borrow::Cow;

use yagura_sdk::prelude::*;

use crate::actor::Actor;
use crate::arn;
use crate::role_trust::arn_list;

/// Finds snapshots and machine images shared with everyone or with an unknown account: a way to carry data out that
/// moves no byte over the network. Taking a share back is left out.
pub(crate) struct SnapshotShared {
    actor: Actor,
    account: Column<Text>,
    request: Column<Text>,
    trusted_accounts: Vec<String>,
}

impl Detector for SnapshotShared {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            actor: Actor::open(rule)?,
            account: rule.text("recipient_account_id")?,
            request: rule.text("request_parameters")?,
            trusted_accounts: arn_list(rule)?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let Some(request) = row.get(self.request) else {
                continue;
            };
            let request = Json::new(request);
            let own = row.get(self.account);
            let strangers: Vec<Cow<str>> = shared_with(request)
                .into_iter()
                .filter(|with| {
                    let known = self.trusted_accounts.iter().map(String::as_str).chain(own);
                    arn::account(with)
                        .is_none_or(|account| !known.into_iter().any(|known| known == account))
                })
                .collect();
            if strangers.is_empty() {
                continue;
            }
            let is_public = strangers.iter().any(|with| with == "all");
            let whom = match is_public {
                true => "everyone".to_owned(),
                false => strangers.join(", "),
            };
            let what = [
                "snapshotId",
                "imageId",
                "dBSnapshotIdentifier",
                "dBClusterSnapshotIdentifier",
            ]
            .iter()
            .find_map(|key| request.get(key)?.text())
            .unwrap_or(Cow::Borrowed("a copy without a name"));
            findings
                .row(row)
                .severity(if is_public {
                    Severity::Critical
                } else {
                    Severity::High
                })
                .title(format!(
                    "{} shared {what} with {whom}",
                    self.actor.name(row)
                ))
                .context("copy", what)
                .context("shared with", whom);
        }
        Ok(())
    }
}

/// Returns whom a request shares with: account numbers, ARNs of organisations, and `all`.
fn shared_with(request: Json) -> Vec<Cow<str>> {
    let mut with = Vec::new();
    for permission in [
        "createVolumePermission.add.items",
        "launchPermission.add.items",
    ] {
        for item in request.at(permission).into_iter().flat_map(Json::elements) {
            with.extend(item.members().filter_map(|(_, value)| value.text()));
        }
    }
    let is_restore = request
        .get("attributeName")
        .and_then(Json::string)
        .as_deref()
        == Some("restore");
    if is_restore {
        let added = request
            .get("valuesToAdd")
            .into_iter()
            .flat_map(Json::one_or_many);
        with.extend(added.filter_map(Json::text));
    }
    with
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::evaluate_columns;

    fn severity(request: &str) -> Option<Severity> {
        let columns = [
            ("recipient_account_id", "111111111111"),
            ("request_parameters", request),
        ];
        let found = evaluate_columns("aws-snapshot-shared", &columns);
        found.first().and_then(|finding| finding.severity)
    }

    #[test]
    fn shares_with_strangers_count_and_taking_back_does_not() {
        let disk = r#"{"snapshotId": "snap-1", "createVolumePermission": {"add": {"items": [{"group": "all"}]}}}"#;
        assert_eq!(severity(disk), Some(Severity::Critical));
        assert_eq!(severity(&disk.replace("add", "remove")), None);
        let image = r#"{"imageId": "ami-1", "launchPermission": {"add": {"items": [{"userId": "222222222222"}]}}}"#;
        assert_eq!(severity(image), Some(Severity::High));
        assert_eq!(
            severity(&image.replace("222222222222", "111111111111")),
            None
        );
        let database =
            r#"{"dBSnapshotIdentifier": "db", "attributeName": "restore", "valuesToAdd": ["all"]}"#;
        assert_eq!(severity(database), Some(Severity::Critical));
        assert_eq!(
            severity(&database.replace("valuesToAdd", "valuesToRemove")),
            None
        );
    }
}
