//! Correlations as rule authors use them: the packs of `examples/stories`, and what is told when one is wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use yagura_core::Pack;
use yagura_core::correlation::CorrelationKind;
use yagura_core::pack::parse_rule;
use yagura_core::rule::ReportMode;
use yagura_tests::command::{Ran, yagura};

fn stories() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/stories");
    let entries = fs::read_dir(dir).unwrap();
    let mut packs: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("pack.toml").is_file())
        .collect();
    packs.sort();
    packs
}

fn test(pack: &Path) -> Ran {
    yagura(&["test", pack.to_str().unwrap()])
}

#[test]
fn every_story_finds_its_intrusion_and_not_its_near_misses() {
    let stories = stories();
    assert_eq!(stories.len(), 8, "{stories:?}");
    for story in stories {
        let ran = test(&story).must_work();
        // A rule without a positive or without a negative case is a warning.
        assert_eq!(ran.stderr, "", "{}", story.display());
        assert!(!ran.stdout.contains(" 0 passed"), "{}", ran.stdout);
    }
}

#[test]
fn every_kind_of_correlation_is_shown() {
    let mut missing = CorrelationKind::WORDS.to_vec();
    for story in stories() {
        for source in Pack::read(&story).unwrap().rules {
            if let Some(correlation) = &source.rule.correlation
                && source.rule.alert.report != ReportMode::None
            {
                missing.retain(|word| *word != correlation.kind.word());
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_kind_has_a_page_and_every_example_there_is_a_rule() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/authors/correlation");
    let mut kinds = BTreeSet::new();
    for entry in fs::read_dir(pages).unwrap() {
        let page = entry.unwrap().path();
        let mut shown = BTreeSet::new();
        let guide = fs::read_to_string(&page).unwrap();
        for block in guide.split("```toml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            let head = "[rule]\nid = \"an-example\"\ntitle = \"t\"\n";
            let text = match text.starts_with("[rule.correlation]") {
                true => format!("{head}{text}"),
                false => text.to_owned(),
            };
            if !text.contains("[rule]\n") {
                continue;
            }
            let source = parse_rule(Path::new("example.toml"), &text);
            let rule = source
                .unwrap_or_else(|error| panic!("{}: {text}\n{error}", page.display()))
                .rule;
            shown.extend(rule.correlation.map(|correlation| correlation.kind.word()));
        }
        // The page of a kind is named after it.
        let name = page.file_stem().unwrap().to_str().unwrap();
        if let Some(kind) = shown.into_iter().find(|kind| *kind == name) {
            kinds.insert(kind);
        }
    }
    let all: BTreeSet<&str> = CorrelationKind::WORDS.iter().copied().collect();
    assert_eq!(kinds, all);
}

/// A story in a directory of its own, to be spoilt.
struct Copy {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Copy {
    fn of(story: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(story);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/stories");
        copy(&from.join(story), &path);
        Self { _dir: dir, path }
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let file = self.path.join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    }

    fn fails(&self, code: i32, says: &str) {
        let ran = test(&self.path);
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(says), "{says}: {}", ran.stdout);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_log_of_a_table_that_no_rule_reads_is_no_negative_case() {
    let story = Copy::of("blacklist-to-unix");
    let case = story.path.join("tests/blacklist-to-unix/negative-too-slow");
    fs::rename(case.join("unix_auth.ndjson"), case.join("unixauth.ndjson")).unwrap();
    story.fails(2, "has events of table `unixauth`, and the rule reads");
    story.fails(2, "did you mean `unix_auth`?");
}

#[test]
fn a_part_of_other_rules_can_be_tested_too() {
    let story = Copy::of("failed-logins");
    let folder = story.path.join("tests/login-failed");
    let recorded = story.path.join("tests/many-failed-logins/positive.ndjson");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(&recorded, folder.join("negative.ndjson")).unwrap();
    story.fails(1, "expected no alert, found:");
    fs::rename(
        folder.join("negative.ndjson"),
        folder.join("positive.ndjson"),
    )
    .unwrap();
    yagura(&["test", "--update", story.path.to_str().unwrap()]).must_work();
    test(&story.path).must_work();
}

#[test]
fn rules_that_are_not_there_are_told_with_near_ones() {
    let story = Copy::of("failed-logins");
    let file = "rules/many-failed-logins.toml";
    story.replace(file, "[\"login-failed\"]", "[\"login-faild\"]");
    story.fails(
        2,
        "names `login-faild`, and there is no such rule; did you mean `login-failed`?",
    );
    story.replace(file, "[\"login-faild\"]", "[\"many-failed-logins\"]");
    story.fails(2, "its `rules` lead back to themselves");
    let run = yagura(&[
        "run",
        "--pack",
        story.path.to_str().unwrap(),
        "--lake",
        &lake(&story),
    ]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("`correlation.rules` lead back to themselves: `many-failed-logins` → `many-failed-logins`"),
        "{}",
        run.stderr
    );
}

/// Makes a lake of a story's only log.
fn lake(story: &Copy) -> String {
    let lake = story.path.join("lake").to_str().unwrap().to_owned();
    let log = story.path.join("tests/many-failed-logins/positive.ndjson");
    let log = log.to_str().unwrap();
    yagura(&["ingest", "--table", "sshd", "--to", &lake, log]).must_work();
    lake
}

#[test]
fn rules_lie_in_folders_too() {
    let story = Copy::of("failed-logins");
    let rules = story.path.join("rules");
    fs::create_dir_all(rules.join("logins/failed")).unwrap();
    fs::rename(
        rules.join("login-failed.toml"),
        rules.join("logins/failed/login-failed.toml"),
    )
    .unwrap();
    test(&story.path).must_work();
    let read = Pack::read(&story.path).unwrap();
    let ids: Vec<&str> = read.rules.iter().map(|of| of.rule.id.as_str()).collect();
    assert_eq!(ids, ["login-failed", "many-failed-logins"]);
    copy(&rules.join("logins"), &rules.join("more"));
    let twice = Pack::read(&story.path).unwrap_err().to_string();
    assert!(
        twice.contains(
            "rules/more/failed/login-failed.toml:2: `rule.id` `login-failed` is also the id in"
        ) && twice.ends_with("rules/logins/failed/login-failed.toml"),
        "{twice}"
    );
}

#[test]
fn a_file_of_places_is_looked_at_before_it_is_needed() {
    let story = Copy::of("tokyo-new-york");
    let pack = story.path.to_str().unwrap();
    let check = |code: i32, says: &str| {
        let ran = yagura(&["check", "--pack", pack]);
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(says), "no `{says}` in {}", ran.stdout);
        ran.stdout
    };
    assert!(!check(0, "0 errors").contains("geoip"));
    let file = "rules/impossible-travel.toml";
    story.replace(file, "lookups/places.mmdb", "lookups/nowhere.mmdb");
    check(
        2,
        "error: `rule.correlation.geoip` cannot read the geolocation database ",
    );
    fs::write(story.path.join("lookups/nowhere.mmdb"), "no database").unwrap();
    check(
        2,
        "error: `rule.correlation.geoip` cannot read the geolocation database ",
    );
    let text = fs::read_to_string(story.path.join(file)).unwrap();
    let without = text.lines().filter(|line| !line.starts_with("geoip"));
    let without: Vec<&str> = without.collect();
    fs::write(story.path.join(file), without.join("\n")).unwrap();
    check(
        0,
        "note: has neither `geoip` nor `latitude` and `longitude`",
    );
    let config = story.path.join("yagura.toml");
    let check = |geoip: &str| {
        let text = format!("packs = [\".\"]\ngeoip = \"lookups/{geoip}.mmdb\"\n");
        fs::write(&config, text).unwrap();
        yagura(&["check", "--config", config.to_str().unwrap()])
    };
    let ran = check("places").must_work();
    assert!(!ran.stdout.contains("geoip"), "{}", ran.stdout);
    let ran = check("nowhere");
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("takes that of the configuration: cannot read the geolocation database"),
        "{}",
        ran.stdout
    );
}

#[test]
fn correlations_that_a_missing_table_keeps_from_running_are_told() {
    let story = Copy::of("scan-then-exploit");
    let recorded = story
        .path
        .join("tests/scan-then-exploit/positive/suricata.ndjson");
    let lake = story.path.join("lake");
    let [lake, pack, log] = [&lake, &story.path, &recorded].map(|path| path.to_str().unwrap());
    yagura(&["ingest", "--table", "suricata", "--to", lake, log]).must_work();
    let ran = yagura(&["check", "--pack", pack, "--lake", lake]).must_work();
    for says in [
        "cannot run: there is no table `zeek_conn` [unknown-table, connection-refused]",
        "cannot run: it joins rules that do not run: `connection-refused` [correlation-not-running, port-scan]",
        "cannot run: it joins rules that do not run: `port-scan` [correlation-not-running, scan-then-exploit]",
    ] {
        assert!(ran.stdout.contains(says), "no `{says}` in {}", ran.stdout);
    }
    // Without tables nothing is known to be missing.
    let ran = yagura(&["check", "--pack", pack]).must_work();
    assert!(!ran.stdout.contains("cannot run"), "{}", ran.stdout);
}

#[test]
fn what_is_wrong_is_said_by_itself_and_in_order() {
    let story = Copy::of("failed-logins");
    let lake = lake(&story);
    let pack = story.path.to_str().unwrap();
    let file = "rules/many-failed-logins.toml";
    story.replace(file, "[\"source_ip\"]", "[\"sourceip\"]");
    story.replace(file, "{source_ip}", "{sourceip}");
    let ran = yagura(&["run", "--pack", pack, "--lake", &lake]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(
            "has no such column; say under `correlation.aliases.sourceip` what that rule calls it; did you mean `source_ip`"
        ),
        "{}",
        ran.stderr
    );
    story.replace(file, "type = \"count\"", "type = \"cuont\"");
    let ran = test(&story.path);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
}

#[test]
fn a_case_of_which_nothing_came_says_what_the_joined_rules_found() {
    let story = Copy::of("failed-logins");
    let file = "rules/many-failed-logins.toml";
    story.replace(file, "gte = 10", "gte = 100");
    story.fails(1, "findings of the rules that it joins: `login-failed` 16");
    let recorded = "tests/many-failed-logins/positive.ndjson";
    story.replace(recorded, "\"source_ip\"", "\"from_ip\"");
    story.fails(1, "`login-failed` 16; 16 of them lack a value of `by`");
}

#[test]
fn what_cannot_be_measured_or_located_is_counted() {
    let story = Copy::of("tokyo-new-york");
    let recorded = "tests/impossible-travel/positive.ndjson";
    // No place is known of this address.
    story.replace(recorded, "198.51.100.9", "198.18.0.9");
    story.fails(
        1,
        "`office-login` 10; 1 of them have no usable value of `field`",
    );
    let lake = story.path.join("lake");
    let [lake, pack] = [&lake, &story.path].map(|path| path.to_str().unwrap());
    let recorded = story.path.join(recorded);
    let log = recorded.to_str().unwrap();
    yagura(&["ingest", "--table", "signins", "--to", lake, log]).must_work();
    let ran = yagura(&["run", "--lake", lake, "--pack", pack]).must_work();
    assert!(
        ran.stderr.contains(
            "`impossible-travel` passed over 1 finding without a value in its `field` that it can use"
        ),
        "{}",
        ran.stderr
    );
}
