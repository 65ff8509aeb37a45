use std::fs;
use std::path::Path;

use super::*;

fn problems(text: String) -> Vec<String> {
    let load = load_text(Path::new("rule.yml"), text);
    assert!(
        load.problems.is_empty()
            == (load.rules.len() + load.filters.len() + load.correlations.len() > 0)
    );
    load.problems.iter().map(ToString::to_string).collect()
}

fn rule(value: &str, condition: &str) -> String {
    format!(
        "title: Deep\nlogsource:\n  product: x\ndetection:\n  sel:\n    a: {value}\n  condition: {condition}\n"
    )
}

#[test]
fn deep_files_are_refused_in_no_time() {
    let most = |open: &str, close: &str| {
        rule(
            &format!("{}{}", open.repeat(200_000), close.repeat(200_000)),
            "sel",
        )
    };
    for text in [most("[", "]"), most("{a: ", "}"), most("[", "")] {
        assert_eq!(
            problems(text),
            ["rule.yml:6: nests brackets deeper than 1000 levels"]
        );
    }
    let brackets = format!("'{}'", "[".repeat(900));
    assert!(problems(rule(&brackets, "sel")).is_empty());
}

#[test]
fn deep_conditions_are_refused_and_exhaust_no_stack() {
    let deep = format!("{}sel", "not ".repeat(10_000));
    let hidden = format!("\"{}sel\"", "n\\u006ft ".repeat(7_000));
    let want = |line: usize| {
        [format!(
            "rule.yml:{line}: the condition of `Deep` is nested deeper than 200 levels"
        )]
    };
    assert_eq!(problems(rule("b", &deep)), want(7));
    assert_eq!(problems(rule("b", &hidden)), want(7));
    assert_eq!(
        problems(format!(
            "title: Deep\nlogsource:\n  product: x\nfilter:\n  rules: any\n  sel:\n    a: b\n  condition: {deep}\n"
        )),
        want(8)
    );
    assert_eq!(
        problems(format!(
            "title: Deep\ncorrelation:\n  type: temporal\n  rules: [sel]\n  group-by: [a]\n  timespan: 1m\n  condition: {deep}\n"
        )),
        want(7)
    );
    let wide = vec!["sel"; 9_000].join(" or ");
    assert!(problems(rule("b", &wide)).is_empty());
    assert!(problems(rule("b", &format!("{}sel", "not ".repeat(150)))).is_empty());
}

const PLAIN: &str = "title: Plain\nid: plain\nlevel: high\nlogsource:\n  product: x\ndetection:\n  sel:\n    a: b\n  condition: sel\n";

/// What was read of a text: titles of rules, problems, notes.
fn read(text: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let load = load_text(Path::new("r.yml"), text.to_owned());
    (
        load.rules
            .iter()
            .map(|source| source.rule.title.clone())
            .collect(),
        load.problems.iter().map(ToString::to_string).collect(),
        load.notes.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn a_rule_is_read_however_its_file_is_laid_out() {
    let long = format!("# a rule\n\n---\n{PLAIN}...\n");
    for text in [
        PLAIN.to_owned(),
        format!("\u{feff}{PLAIN}"),
        PLAIN.replace('\n', "\r\n"),
        format!("\u{feff}{}", PLAIN.replace('\n', "\r\n")),
        format!("---\n{PLAIN}"),
        format!("--- # first\n{PLAIN}---\n# nothing else\n"),
        format!("%YAML 1.2\n---\n{PLAIN}"),
        long.clone(),
        PLAIN.trim_end().to_owned(),
        PLAIN.replace("level: high", "level: HIGH"),
        PLAIN.replace("level: high", "level: 'high '"),
    ] {
        let (rules, problems, notes) = read(&text);
        assert_eq!(rules, ["Plain"], "{text:?}: {problems:?}");
        assert!(
            problems.is_empty() && notes.is_empty(),
            "{text:?}: {problems:?} {notes:?}"
        );
    }
    let load = load_text(Path::new("r.yml"), long);
    assert_eq!(load.rules[0].line, 4);
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(PLAIN.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let dir = std::env::temp_dir().join(format!("yagura-rules-utf16-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("a.yml"), utf16).unwrap();
    fs::write(dir.join("b.yml"), b"title: x\nid: \xff\n").unwrap();
    let load = load_dir(&dir).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(load.rules.len(), 1);
    let problem = load.problems[0].to_string();
    assert!(
        problem.ends_with("b.yml: cannot be read: line 2 is not UTF-8: save the file as UTF-8"),
        "{problem}"
    );
}

#[test]
fn one_bad_document_stops_no_other_and_is_named_with_its_line() {
    let second = PLAIN
        .replace("Plain", "Second")
        .replace("id: plain", "id: second");
    for (bad, want) in [
        (
            "title: Bad\nlogsource: {product: x}\n",
            "r.yml:11: Missing required field 'detection'",
        ),
        ("title: Bad\n\tid: x\n", "r.yml:12: a tab indents this line"),
        ("title: [Bad\n", "r.yml:"),
        ("- a list\n", "r.yml:11: Document is not a YAML mapping"),
        (
            "title: Bad\nlogsource: {product: x}\ndetection:\n  sel: {a: b}\n  condition: sel and\n",
            "r.yml:15: `detection.condition`",
        ),
        (
            "title: Bad\nlogsource: {product: x}\ndetection:\n  sel: {a|contians: b}\n  condition: sel\n",
            "r.yml:14: Unknown modifier 'contians'",
        ),
        ("title: Bad\ntitle: Again\n", "r.yml:"),
    ] {
        let (rules, problems, _) = read(&format!("{PLAIN}---\n{bad}---\n{second}"));
        assert_eq!(rules, ["Plain", "Second"], "{bad:?}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(want), "{bad:?}: {problems:?}");
    }
    let (_, problems, _) = read("# nothing\n");
    assert!(problems[0].contains("holds no Sigma rule"), "{problems:?}");
}

#[test]
fn what_is_wrong_beside_the_detection_is_noted_and_the_rule_runs() {
    for (from, to, want) in [
        (
            "level: high",
            "level: severe",
            "r.yml:3: `level` is `severe`, and must be informational, low, medium, high or critical; the rule runs as medium",
        ),
        ("level: high", "level: hgih", "did you mean `high`?"),
        (
            "level: high",
            "level: 3",
            "r.yml:3: `level` is `3`, and must be",
        ),
        (
            "level: high",
            "level: [high]",
            "r.yml:3: `level` is not text; the rule runs without it",
        ),
        (
            "level: high",
            "status: done",
            "r.yml:3: `status` is `done`, and must be stable, test",
        ),
        (
            "level: high",
            "date: tomorrow",
            "r.yml:3: `date` is `tomorrow`, and must be a date as 2026-03-01",
        ),
        (
            "level: high",
            "modified: 2026-13-01",
            "r.yml:3: `modified` is `2026-13-01`",
        ),
        (
            "level: high",
            "levle: high",
            "r.yml:3: `levle` is not a key of a rule; did you mean `level`?",
        ),
        (
            "level: high",
            "related: x",
            "r.yml:3: `related` cannot be read",
        ),
        (
            "level: high",
            "sigma-version: old",
            "r.yml:3: `sigma-version` cannot be read",
        ),
    ] {
        let (rules, problems, notes) = read(&PLAIN.replace(from, to));
        assert_eq!(rules, ["Plain"], "{to}: {problems:?}");
        assert!(problems.is_empty(), "{to}: {problems:?}");
        assert_eq!(notes.len(), 1, "{to}: {notes:?}");
        assert!(notes[0].contains(want), "{to}: {notes:?}");
    }
    // Keys of one's own are Sigma's way to extend rules.
    for to in [
        "owner: soc",
        "date: 2026-03-01",
        "date: 2026/03/01",
        "id: 4711",
        "x_level: 3",
    ] {
        let (rules, problems, notes) = read(&PLAIN.replace("id: plain", to));
        assert_eq!(rules, ["Plain"]);
        assert!(
            problems.is_empty() && notes.is_empty(),
            "{to}: {problems:?} {notes:?}"
        );
    }
    let load = load_text(Path::new("r.yml"), PLAIN.replace("id: plain", "id: 4711"));
    assert_eq!(load.rules[0].id(), "4711");
    let (rules, ..) = read(&PLAIN.replace("title: Plain", "name: by-name"));
    assert_eq!(rules, ["by-name"]);
}

#[test]
fn rules_without_id_are_known_by_what_they_say() {
    let rule = |title: &str, rest: &str| {
        PLAIN
            .replace("Plain", title)
            .replace("id: plain\n", "")
            .replace("a: b", rest)
    };
    let id = |text: String| load_text(Path::new("r.yml"), text).rules[0].id();
    let first = id(rule("Same title", "a: b"));
    assert!(first.starts_with("same-title-"), "{first}");
    // Layout, comments, order and all that is not the rule's meaning are not in it, nor is its file.
    for same in [
        rule("Same title", "a: b").replace("level: high", "level: low\ntags: [x]"),
        rule("Same title", "a:   'b'  # why"),
        rule("Same title", "a: b").replace('\n', "\r\n"),
        format!("# c\n---\n{}", rule("Same title", "a: b")),
        "detection:\n condition:  sel\n sel: {a: b}\nlogsource: {product: x}\ntitle: Same title\n"
            .to_owned(),
    ] {
        assert_eq!(id(same.clone()), first, "{same}");
    }
    let mut ids = vec![first];
    for other in [
        rule("Same title", "a: c"),
        rule("Same title", "a|contains: b"),
        rule("Same title", "a: [b, c]"),
        rule("Same title", "a: 5"),
        rule("Same title", "a: '5'"),
        rule("Same title", "a: 18446744073709551615"),
        rule("Same title", "a: 18446744073709551614"),
        rule("Same title", "a: b").replace("condition: sel", "condition: not sel"),
        rule("Same title", "a: b").replace("product: x", "product: y"),
        rule("Same  title!", "a: b"),
        rule("権限昇格の試み", "a: b"),
        rule("横展開の試み", "a: b"),
    ] {
        ids.push(id(other));
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "{ids:?}");
}

#[test]
fn two_rules_are_never_one() {
    let rule = |title: &str, id: &str, value: &str| {
        let id = if id.is_empty() {
            String::new()
        } else {
            format!("id: {id}\n")
        };
        PLAIN
            .replace("Plain", title)
            .replace("id: plain\n", &id)
            .replace("a: b", &format!("a: {value}"))
    };
    let dir = std::env::temp_dir().join(format!("yagura-rules-two-{}", std::process::id()));
    let read = |files: &[(&str, String)]| {
        fs::create_dir_all(&dir).unwrap();
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
        let load = load_dir(&dir).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let problems: Vec<String> = load.problems.iter().map(ToString::to_string).collect();
        (load.rules.len(), problems)
    };
    let (rules, problems) = read(&[
        ("a.yml", rule("Same", "", "1")),
        ("b.yaml", rule("Same", "", "2")),
    ]);
    assert_eq!((rules, problems.len()), (2, 0), "{problems:?}");
    let (rules, problems) = read(&[
        ("a.yml", rule("Same", "", "1")),
        ("b.YML", rule("Same", "", "1")),
    ]);
    assert_eq!((rules, problems.len()), (1, 1));
    assert!(
        problems[0].contains("b.YML:1: the rule is the same as the one in "),
        "{problems:?}"
    );
    for (one, other) in [("x", "x"), ("ABC", "abc"), ("a b", "a-b")] {
        let (rules, problems) = read(&[
            ("a.yml", rule("One", one, "1")),
            ("b.yml", rule("Two", other, "2")),
        ]);
        assert_eq!((rules, problems.len()), (1, 1), "{one} {other}");
        assert!(
            problems[0].contains("b.yml:2: `id`")
                && problems[0].contains("is also the id of the rule in"),
            "{problems:?}"
        );
    }
    for (one, other) in [("x", "x.lab"), ("x.lab", "x")] {
        let (rules, problems) = read(&[
            ("a.yml", rule("One", one, "1")),
            ("b.yml", rule("Two", other, "2")),
        ]);
        assert_eq!((rules, problems.len()), (1, 1), "{one} {other}");
        assert!(problems[0].contains("is too near the id"), "{problems:?}");
    }
    let many = format!("{}---\n{}", rule("One", "x", "1"), rule("Two", "x", "2"));
    let (rules, problems) = read(&[("a.yml", many)]);
    assert_eq!(rules, 1);
    assert!(
        problems[0].contains("a.yml:12: `id`") && problems[0].contains("a.yml:1: give one"),
        "{problems:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_several_paths_lead_to_is_read_once() {
    use std::os::unix::fs::symlink;
    let dir = std::env::temp_dir().join(format!("yagura-rules-links-{}", std::process::id()));
    fs::create_dir_all(dir.join("deep/er")).unwrap();
    fs::write(dir.join("deep/er/a.YAML"), PLAIN).unwrap();
    fs::write(dir.join("deep/note.txt"), "no rule").unwrap();
    symlink(&dir, dir.join("deep/er/up")).unwrap();
    symlink(dir.join("deep"), dir.join("other")).unwrap();
    symlink(dir.join("deep/er/a.YAML"), dir.join("link.yml")).unwrap();
    symlink(dir.join("nowhere"), dir.join("broken.yml")).unwrap();
    let mut load = load_dir(&dir).unwrap();
    load.append(load_dir(&dir.join("deep")).unwrap());
    load.append(load_dir(&dir.join("link.yml")).unwrap());
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(load.rules.len(), 1);
    let problems: Vec<String> = load.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("broken.yml: cannot be read"),
        "{problems:?}"
    );
}
