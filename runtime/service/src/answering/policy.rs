//! The policy of a service.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use yagura_alerts::Clock;
use yagura_alerts::policy::{CompiledPolicy, Policy, PolicyFile};
use yagura_core::diagnostic::Level;
use yagura_core::{Diagnostics, Fault, OrFault};

/// Reads a policy, and writes its warnings to `err`.
///
/// # Errors
/// The errors of the policy, a line for each.
pub fn read_policy(
    file: &Path,
    rules: Option<&BTreeSet<String>>,
    err: &mut impl Write,
) -> Result<(PolicyFile, CompiledPolicy)> {
    let policy = Policy::read(file).or_fault()?;
    let problems = policy.lint(rules, Clock::system().now());
    let (errors, warnings): (Vec<_>, Vec<_>) = problems
        .into_iter()
        .partition(|problem| problem.level == Level::Error);
    for warning in warnings {
        writeln!(err, "warning: {warning}")?;
    }
    if !errors.is_empty() {
        return Err(Fault::of(Diagnostics(errors)).into());
    }
    let compiled = policy.compile().or_fault()?;
    Ok((policy, compiled))
}
