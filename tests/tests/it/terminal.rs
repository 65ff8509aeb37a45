//! What people see: tables that fit their terminal, wide letters, colours only where they are wanted.

use std::fs;
use std::process::Command;

use unicode_width::UnicodeWidthStr;
use yagura_tests::command::{binary, yagura};
use yagura_tests::scratch::Scratch;

/// A lake with two tables, rules with long titles, one of them in Japanese, and a service that ran once.
fn place() -> Scratch {
    let place = Scratch::new();
    place.write(
        "pack/pack.toml",
        "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
    );
    let long =
        "{user} failed to log in, and somebody wrote a title that goes on and on and on ".repeat(4);
    let wide = "ログインに失敗しました、とても長い題名です。".repeat(6);
    let marks = "e\u{301}a\u{308}".repeat(60);
    for (id, title) in [("long", long), ("wide", wide), ("marks", marks)] {
        place.write(
            &format!("pack/rules/{id}.toml"),
            &format!(
                "[rule]\nid = \"a-rule-with-a-rather-long-name-{id}\"\ntitle = \"{title}\"\nseverity = \"critical\"\ntags = [\"attack.t1059.001\", \"attack.execution\"]\ntable = \"logins\"\nwhere = \"outcome = 'failure'\"\n[rule.alert]\nkey = [\"user\"]\n"
            ),
        );
    }
    place.write("policy.toml", "");
    place.write(
        "yagura.toml",
        "packs = [\"pack\"]\npolicy = \"policy.toml\"\n[lake]\nurl = \"lake\"\n[serve]\nlateness = \"1m\"\n",
    );
    place.write(
        "raw.ndjson",
        "{\"time\":\"2026-03-01T10:00:00Z\",\"user\":\"日本語の名前\",\"outcome\":\"failure\",\"a_column_with_a_long_name\":\"C:\\\\Windows\\\\System32\\\\a value that is long\"}\n",
    );
    let (lake, raw) = (place.path("lake"), place.path("raw.ndjson"));
    for table in ["logins", "another_table_with_a_long_name"] {
        yagura(&["ingest", "--table", table, "--to", &lake, &raw]).must_work();
    }
    yagura(&["serve", "--once", "--config", &place.path("yagura.toml")]).must_work();
    place
}

/// Runs a command on a terminal of so many columns, and returns all that it wrote there.
fn on_terminal(columns: u16, set: &[(&str, &str)], arguments: &[&str]) -> String {
    let words = arguments.iter().map(|word| format!("'{word}'"));
    let words = words.collect::<Vec<_>>().join(" ");
    // A shell sets `COLUMNS` anew after `stty`.
    let set = set.iter().map(|(name, value)| format!("{name}={value}"));
    let set = set.collect::<Vec<_>>().join(" ");
    let line = format!(
        "stty rows 24 cols {columns} && env -u COLUMNS TERM=xterm-256color {set} '{}' {words}",
        binary().display()
    );
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]);
    for name in ["COLUMNS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let output = command.output().expect("`script`, which every Debian has");
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

fn widest(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
}

#[test]
#[cfg(target_os = "linux")]
fn tables_fit_their_terminal() {
    let place = place();
    let (config, lake, pack) = (
        place.path("yagura.toml"),
        place.path("lake"),
        place.path("pack"),
    );
    let commands: [&[&str]; 9] = [
        &["run", "--config", &config],
        &["status", "--config", &config],
        &["alerts", "--config", &config, "list"],
        &["alerts", "--config", &config, "list", "--alerts"],
        &["alerts", "--config", &config, "dead"],
        &["table", "--lake", &lake],
        &["table", "--lake", &lake, "logins"],
        &["coverage", "--pack", &pack],
        &["inspect", &pack],
    ];
    for arguments in commands {
        for columns in [40, 80, 200] {
            // Without the progress, which is drawn over.
            let text = on_terminal(columns, &[("NO_COLOR", "1")], arguments);
            let table: Vec<&str> = match arguments[0] {
                // What stands around its tables are sentences, which the terminal breaks.
                "run" | "status" | "coverage" | "inspect" => {
                    let of_table = |line: &&str| {
                        [
                            "critical",
                            "TECHNIQUE",
                            "T1059",
                            "a-rule",
                            "logins",
                            "another",
                            "SEVERITY",
                            "TABLE",
                            "TITLE",
                            "RULE",
                        ]
                        .iter()
                        .any(|word| line.trim_start().starts_with(word))
                    };
                    let lines = text.lines().filter(of_table);
                    lines.filter(|line| !line.contains(": ")).collect()
                }
                _ => {
                    let sentence = " are of the newest events; ";
                    text.lines()
                        .filter(|line| !line.contains(sentence))
                        .collect()
                }
            };
            assert!(!table.is_empty(), "{arguments:?}: {text}");
            for line in table {
                assert!(
                    line.width() <= usize::from(columns),
                    "{arguments:?} in {columns}: {line:?}\n{text}"
                );
            }
        }
    }
    // Each title is there, whatever the width, and as far as it is shown.
    let list: &[&str] = &["alerts", "--config", &config, "list"];
    for columns in [40, 200] {
        let text = on_terminal(columns, &[], list);
        assert_eq!(text.matches("critical").count(), 3, "{text}");
        assert!(text.contains("ログイン"), "{text}");
        assert!(text.contains("e\u{301}a\u{308}"), "{text}");
    }
    // `COLUMNS` has the last word, also without a terminal.
    assert!(widest(&on_terminal(200, &[("COLUMNS", "60")], list)) <= 60);
    let ran = Command::new(binary())
        .args(list)
        .env("COLUMNS", "50")
        .output();
    let text = String::from_utf8(ran.unwrap().stdout).unwrap();
    assert!(widest(&text) <= 50, "{text}");
    let into_file = yagura(list).must_work().stdout;
    assert!(into_file.lines().count() <= 5, "{into_file}");
    assert!(widest(&into_file) > 120, "{into_file}");
}

#[test]
#[cfg(target_os = "linux")]
fn escapes_are_written_only_where_they_are_wanted() {
    let place = place();
    let config = place.path("yagura.toml");
    fs::remove_dir_all(place.path("state")).unwrap();
    fs::remove_file(place.path("alerts.ndjson")).unwrap();
    let serve: &[&str] = &["serve", "--once", "--config", &config];
    let log = ("YAGURA_LOG", "debug");
    let text = on_terminal(80, &[log], serve);
    assert!(text.contains("\u{1b}["), "a terminal takes colours: {text}");
    for set in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        for arguments in [serve, &["run", "--config", &config], &["--help"]] {
            // `CI` makes some libraries write escapes to a terminal that takes none.
            for machine in [("CI", ""), ("CI", "true")] {
                let text = on_terminal(80, &[log, set, machine], arguments);
                assert!(!text.contains('\u{1b}'), "{set:?}, {machine:?}: {text:?}");
            }
        }
    }
    for arguments in [serve, &["run", "--config", &config], &["--help"]] {
        let output = Command::new(binary())
            .args(arguments)
            .env("YAGURA_LOG", "debug")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(!text.contains(&0x1b), "{}", String::from_utf8_lossy(&text));
    }
}
