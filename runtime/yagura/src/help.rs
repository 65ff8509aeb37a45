//! `yagura --help`: the commands in groups.
//!
//! Clap lists subcommands in one block without headings. So the template of the help holds the list, made from what each
//! command says about itself.

use clap::Command;
use clap::builder::styling::{AnsiColor, Style};
use clap::builder::{StyledStr, Styles};

/// The groups in the order in which they are printed, each with its commands.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Rules",
        &[
            "run", "check", "test", "dev", "explain", "coverage", "bench",
        ],
    ),
    ("Data", &["search", "ingest", "source", "table"]),
    (
        "Service",
        &[
            "serve",
            "listen",
            "status",
            "quarantine",
            "backup",
            "restore",
        ],
    ),
    (
        "Packs",
        &[
            "new", "build", "doctor", "inspect", "grants", "keygen", "sign", "verify", "pack",
            "save", "load", "push", "pull",
        ],
    ),
    ("Alerts", &["alerts"]),
];

/// Returns the command with its help in groups.
pub(crate) fn grouped(command: Command) -> Command {
    let template = template(&command);
    command.styles(styles()).help_template(template)
}

/// Clap's own styles, named here because the headings of the groups need one of them.
fn styles() -> Styles {
    let literal = AnsiColor::BrightCyan.on_default().bold();
    Styles::styled().header(header()).literal(literal)
}

fn header() -> Style {
    Style::new().bold().underline()
}

fn template(command: &Command) -> StyledStr {
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    let names = command.get_subcommands().map(|of| of.get_name().len());
    let width = names.max().unwrap_or_default();
    let header = header();
    for (group, names) in GROUPS {
        text.push_str(&format!("\n{header}{group}:{header:#}\n"));
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            text.push_str(&format!("  {name:width$}  {about}\n"));
        }
    }
    text.push_str(&format!(
        "\n{header}Options:{header:#}\n{{options}}{{after-help}}"
    ));
    text.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn each_command_is_in_one_group_with_a_line_that_fits() {
        let command = crate::Arguments::command();
        let listed: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let known: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), known);
        assert_eq!(listed.len(), known.len(), "a command is listed twice");
        let help = grouped(command).render_help().to_string();
        for (group, names) in GROUPS {
            assert!(help.contains(&format!("\n{group}:\n")), "{help}");
            for name in names {
                let line = help.lines().find(|line| {
                    line.strip_prefix("  ")
                        .and_then(|line| line.split_whitespace().next())
                        == Some(name)
                });
                let line = line.unwrap_or_else(|| panic!("no line for {name}: {help}"));
                let about = line.trim_start().trim_start_matches(name).trim();
                assert!(about.len() > 10, "{line}");
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
        let service = help.find("\nService:").unwrap();
        assert!(help[..service].contains("\n  ingest "), "{help}");
    }
}
