//! Amazon resource names: `arn:partition:service:region:account:resource`.

/// Returns the last part of the resource: the name of a user, a role or a session.
pub(crate) fn name(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or(arn)
}

/// Returns the account that an ARN or a bare account number names.
pub(crate) fn account(principal: &str) -> Option<&str> {
    let account = if principal.starts_with("arn:") {
        principal.split(':').nth(4)?
    } else {
        principal
    };
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    is_account.then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_name_accounts_in_two_forms() {
        assert_eq!(account("123456789012"), Some("123456789012"));
        assert_eq!(
            account("arn:aws:iam::123456789012:root"),
            Some("123456789012")
        );
        assert_eq!(
            account("arn:aws-cn:sts::123456789012:assumed-role/a/b"),
            Some("123456789012")
        );
        for other in [
            "*",
            "AIDAEXAMPLE",
            "arn:aws:s3:::bucket",
            "arn:aws",
            "12345678901",
        ] {
            assert_eq!(account(other), None, "{other}");
        }
        assert_eq!(name("arn:aws:iam::123456789012:role/path/deploy"), "deploy");
        assert_eq!(name("arn:aws:iam::123456789012:root"), "root");
    }
}
