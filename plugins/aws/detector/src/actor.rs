//! Who made a call, for titles and comparisons.

use yagura_sdk::prelude::*;

use crate::arn;

/// The columns that name the caller.
pub(crate) struct Actor {
    name: Column<Text>,
    arn: Column<Text>,
}

impl Actor {
    pub(crate) fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            name: rule.text("user_name")?,
            arn: rule.text("user_arn")?,
        })
    }

    /// Returns a name for a reader: the user's or role's, with the session's where there is one.
    pub(crate) fn name(&self, row: Row) -> String {
        let session = self.session(row);
        match (row.get(self.name), session) {
            (Some(name), Some(session)) => format!("{name} ({session})"),
            (Some(name), None) => name.to_owned(),
            (None, _) => row
                .get(self.arn)
                .map_or("an unknown identity", arn::name)
                .to_owned(),
        }
    }

    /// Returns the IAM user name, or the name of the role behind a session.
    pub(crate) fn user<'a>(&self, row: Row<'_, 'a>) -> Option<&'a str> {
        row.get(self.name)
    }

    /// Returns the session name of an assumed role, which is often the name of the human who assumed it.
    pub(crate) fn session<'a>(&self, row: Row<'_, 'a>) -> Option<&'a str> {
        let arn = row.get(self.arn)?;
        arn.contains(":assumed-role/").then(|| arn::name(arn))
    }
}
