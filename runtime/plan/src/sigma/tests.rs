use datafusion::arrow::datatypes::{DataType, Field};
use yagura_core::Rule;
use yagura_core::correlation::Correlation;
use yagura_core::rule::ReportMode;

use super::*;

const MAPS: &str = r#"
name = "both"
tables = [["event_id", "EventID"]]
[fields]
User = ["user", "UserName"]
[[source]]
product = "test"
[[source]]
product = "own"
fields = { User = "Subject" }
[[source]]
product = "web"
when = { kind = "web" }
"#;

/// Reads rules `a` (product `test`), `b` (product `own`) and these documents, over two tables.
fn lowered(documents: &str) -> SigmaRules {
    over(documents, &[WINDOWS])
}

const WINDOWS: (&str, &[&str]) = (
    "windows",
    &["EventID", "UserName", "Subject", "Host", "S", "T"],
);
const LINUX: (&str, &[&str]) = ("linux", &["event_id", "user", "Host", "S"]);

fn over(documents: &str, tables: &[(&str, &[&str])]) -> SigmaRules {
    let rule = |name: &str, product: &str| {
        format!(
            "title: rule {name}\nid: ID-{name}\nname: {name}\nlogsource: {{product: {product}}}\ndetection:\n  sel: {{S: {name}}}\n  condition: sel\n"
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("map.toml");
    std::fs::write(&file, MAPS).unwrap();
    let maps = vec![FieldMap::read(&file).unwrap()];
    let rules = [
        rule("a", "test"),
        rule("b", "own"),
        rule("web", "web"),
        rule("lost", "lost"),
    ];
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, format!("{}---\n{documents}", rules.join("---\n"))).unwrap();
    let load = yagura_rules::sigma::load_dir(&file).unwrap();
    assert!(load.problems.is_empty(), "{:?}", load.problems);
    let schemas: Vec<(String, Schema)> = tables
        .iter()
        .map(|(name, columns)| {
            let fields: Vec<Field> = columns
                .iter()
                .map(|column| Field::new(*column, DataType::Utf8, true))
                .collect();
            ((*name).to_owned(), Schema::new(fields))
        })
        .collect();
    lower_over(&SigmaInput { load, maps }, &schemas)
}

fn document(id: &str, lines: &str) -> String {
    let lines: Vec<String> = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "title: It is {{{id}}}\nid: {id}\nlevel: critical\ntags: [attack.t1110]\nreferences: [https://example.org]\ndescription: why\ncorrelation:\n  timespan: 2w\n{}",
        lines.concat()
    )
}

fn rule<'a>(lowered: &'a SigmaRules, id: &str) -> &'a Rule {
    let found = lowered.rules.iter().find(|source| source.rule.id == id);
    &found
        .unwrap_or_else(|| panic!("{:?}", lowered.not_run))
        .rule
}

fn correlation<'a>(lowered: &'a SigmaRules, id: &str) -> &'a Correlation {
    rule(lowered, id).correlation.as_ref().unwrap()
}

fn reason(lowered: &SigmaRules, id: &str) -> String {
    let found = lowered.not_run.iter().find(|not_run| not_run.rule == id);
    found.unwrap_or_else(|| panic!("{id} runs")).reason.clone()
}

fn path(correlation: &Correlation, name: &str, rule: &str) -> String {
    correlation.path_of(name, rule).unwrap().to_string()
}

#[test]
fn a_correlation_is_a_rule_with_sigmas_words() {
    let lowered = lowered(&document(
        "Many",
        "type: value_count\nrules: [a]\ngroup-by: [Host]\ncondition: {gte: 3, field: User}",
    ));
    let many = rule(&lowered, "many");
    assert_eq!(many.title, "It is |Many|");
    assert_eq!(many.severity, yagura_core::Severity::Critical);
    assert_eq!((many.tags.len(), many.references.len()), (1, 1));
    assert_eq!(many.description, "why");
    assert_eq!(
        (many.table.as_str(), many.alert.window.to_string().as_str()),
        ("", "14d")
    );
    assert_eq!(many.alert.report, ReportMode::Provisional);
    assert!(many.alert.key.is_empty(), "which is what it is grouped by");
    assert_eq!(many.problem(), None);
    let correlation = correlation(&lowered, "many");
    assert_eq!(correlation.kind.word(), "distinct");
    assert_eq!(correlation.rules, ["id-a"]);
    assert_eq!(path(correlation, "User", "id-a"), "UserName");
    assert_eq!(path(correlation, "Host", "id-a"), "Host");
    assert!(!correlation.aliases.contains_key("Host"), "the same name");
    assert_eq!(
        lowered.rules.last().unwrap().rule.id,
        "many",
        "after what it joins"
    );
    assert_eq!(rule(&lowered, "id-a").alert.report, ReportMode::None);
    assert_eq!(rule(&lowered, "id-b").alert.report, ReportMode::Provisional);
}

#[test]
fn a_log_sources_own_names_and_aliases_come_first() {
    let lowered = lowered(&document(
        "it",
        "type: temporal\nrules: [a, b]\ngroup-by: [User, where]\naliases:\n  where:\n    a: Host\n    b: T",
    ));
    let it = correlation(&lowered, "it");
    assert_eq!(path(it, "User", "id-a"), "UserName");
    assert_eq!(path(it, "User", "id-b"), "Subject");
    assert_eq!(path(it, "where", "id-a"), "Host");
    assert_eq!(path(it, "where", "id-b"), "T");
}

#[test]
fn a_rule_over_several_tables_has_a_path_in_each() {
    let lowered = over(
        &document(
            "it",
            "type: event_count\nrules: [a]\ngroup-by: [User]\ncondition: {gte: 2}",
        ),
        &[WINDOWS, LINUX],
    );
    let it = correlation(&lowered, "it");
    assert_eq!(it.rules, ["id-a"]);
    assert_eq!(path(it, "User", "id-a.windows"), "UserName");
    assert_eq!(path(it, "User", "id-a.linux"), "user");
    let ids = lowered.rules.iter().map(|source| &*source.rule);
    let members = yagura_core::references::members("id-a", ids);
    assert_eq!(members.len(), 2);
    for member in members {
        assert_eq!(lowered.rules[member].rule.alert.report, ReportMode::None);
    }
}

#[test]
fn correlations_pass_their_group_on() {
    let documents = [
        document(
            "top",
            "type: temporal_ordered\nrules: [low, b]\ngroup-by: [who]\naliases:\n  who:\n    low: User\n    b: User",
        ),
        document(
            "low",
            "type: event_count\nrules: [a]\ngroup-by: [User, Host]\ncondition: {gte: 2}",
        ),
        document(
            "wants",
            "type: value_count\nrules: [low]\ngroup-by: [Host]\ncondition: {gte: 2, field: Hots}",
        ),
        document("above", "type: temporal\nrules: [wants]"),
    ];
    let lowered = lowered(&documents.join("---\n"));
    let top = correlation(&lowered, "top");
    assert_eq!(top.rules, ["low", "id-b"]);
    assert_eq!(path(top, "who", "low"), "User");
    assert_eq!(path(top, "who", "id-b"), "Subject");
    assert_eq!(rule(&lowered, "low").alert.report, ReportMode::None);
    let ids: Vec<&str> = lowered
        .rules
        .iter()
        .map(|source| source.rule.id.as_str())
        .collect();
    assert_eq!(ids, ["id-a", "id-b", "low", "top"]);
    let wants = reason(&lowered, "wants");
    assert!(
        wants.contains("wants `Hots` of the correlation `low`"),
        "{wants}"
    );
    assert!(wants.contains("did you mean `Host`?"), "{wants}");
    let above = reason(&lowered, "above");
    assert_eq!(above, "it refers to `wants`, which does not run");
}

#[test]
fn what_cannot_be_joined_does_not_run_and_says_why() {
    let documents = [
        document(
            "field",
            "type: event_count\nrules: [a]\ngroup-by: [Usr]\ncondition: {gte: 2}",
        ),
        document("missing", "type: temporal\nrules: [a, nobody]"),
        document(
            "lost",
            "type: temporal\nrules: [a, id-lost]"
                .replace("id-lost", "ID-lost")
                .as_str(),
        ),
        document("circle", "type: temporal\nrules: [circle]"),
        document("wrong", "type: temporal_ordered\nrules: [a]"),
    ];
    let lowered = over(&documents.join("---\n"), &[WINDOWS]);
    for (id, want) in [
        ("field", "wants `Usr` of the rule `id-a` ("),
        (
            "field",
            "rules.yml), whose table `windows` lacks it; did you mean `UserName`",
        ),
        (
            "missing",
            "it refers to `nobody`, and no rule that was read has this id or name",
        ),
        ("lost", "it refers to `id-lost`, which does not run"),
        ("circle", "it refers to itself: `circle` → `circle`"),
        ("wrong", "it is wrong: `correlation.rules` names one rule"),
    ] {
        let reason = reason(&lowered, id);
        assert!(reason.contains(want), "{id}: {reason}");
    }
    assert_eq!(
        rule(&lowered, "id-a").alert.report,
        ReportMode::None,
        "a part stays one where the whole does not run"
    );
}

#[test]
fn a_table_that_lacks_a_field_does_not_stop_a_correlation() {
    let one = document(
        "it",
        "type: event_count\nrules: [a]\ngroup-by: [T]\ncondition: {gte: 2}",
    );
    let lowered = over(&one, &[WINDOWS, LINUX]);
    assert_eq!(path(correlation(&lowered, "it"), "T", "id-a.windows"), "T");
    let optional = &rule(&lowered, "id-a.linux").optional;
    assert_eq!(optional, &["T".parse().unwrap()]);
    assert!(rule(&lowered, "id-a.windows").optional.is_empty());
    let notes: Vec<&NotRun> = lowered
        .notes
        .iter()
        .filter(|note| note.rule == "it")
        .collect();
    assert_eq!(notes.len(), 1);
    let told = &notes[0].reason;
    assert!(told.contains("table `linux` lacks it"), "{told}");
    // If no table has it, nothing is left to join.
    let lowered = over(&one.replace("[T]", "[Nothing]"), &[WINDOWS, LINUX]);
    assert!(reason(&lowered, "it").contains("lacks it"));
}

#[test]
fn generate_leaves_a_part_its_alerts() {
    let it = document("it", "type: temporal\nrules: [a, b]");
    let lowered = lowered(&format!("generate: true\n{it}"));
    assert_eq!(rule(&lowered, "id-a").alert.report, ReportMode::Provisional);
}

#[test]
fn old_counts_are_two_rules_and_a_reader_sees_one() {
    let count = |product: &str, field: &str| {
        format!(
            "title: many\nid: {product}\nname: many-{product}\nlevel: high\nlogsource: {{product: {product}}}\ndetection:\n  sel: {{S: a}}\n  timeframe: 5m\n  condition: sel | count({field}) by User > 2\n"
        )
    };
    let load = |documents: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (index, (product, field)) in documents.iter().enumerate() {
            let file = dir.path().join(format!("{index}.yml"));
            std::fs::write(file, count(product, field)).unwrap();
        }
        let whole = "title: whole\nid: whole\ncorrelation:\n  type: temporal\n  rules: [many-test]\n  group-by: [User]\n  timespan: 1h\n";
        std::fs::write(dir.path().join("whole.yml"), whole).unwrap();
        std::fs::write(dir.path().join("map.toml"), MAPS).unwrap();
        SigmaInput {
            maps: vec![FieldMap::read(&dir.path().join("map.toml")).unwrap()],
            load: yagura_rules::sigma::load_dir(dir.path()).unwrap(),
        }
    };
    let (name, columns) = WINDOWS;
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| Field::new(*column, DataType::Utf8, true))
        .collect();
    let schemas = [(name.to_owned(), Schema::new(fields))];
    let input = load(&[("test", "Host"), ("own", "nothing"), ("lost", "Host")]);
    let lowered = lower_over(&input, &schemas);
    let events = rule(&lowered, "test-events");
    assert_eq!(
        (events.table.as_str(), events.alert.report),
        ("windows", ReportMode::None)
    );
    let many = correlation(&lowered, "test");
    assert_eq!(
        (many.kind.word(), &*many.rules),
        ("distinct", &["test-events".to_owned()][..])
    );
    assert_eq!(many.kind.length().unwrap().to_string(), "5m");
    assert_eq!(path(many, "User", "test-events"), "UserName");
    assert_eq!(path(correlation(&lowered, "whole"), "User", "test"), "User");
    assert_eq!(
        rule(&lowered, "test").alert.report,
        ReportMode::None,
        "a part of `whole`"
    );
    assert!(lowered.parts.contains("test-events") && lowered.parts.contains("own-events"));
    assert!(reason(&lowered, "own").contains("wants `nothing` of the rule `own-events`"));
    let lost: Vec<&NotRun> = lowered
        .not_run
        .iter()
        .filter(|not_run| not_run.rule == "lost")
        .collect();
    assert_eq!(lost.len(), 1, "told once: {lost:?}");
    // By themselves, without tables.
    let alone = sigma_correlations(&input.load);
    let ids: Vec<&str> = alone
        .rules
        .iter()
        .map(|source| source.rule.id.as_str())
        .collect();
    assert_eq!(ids, ["test", "own", "lost", "whole"]);
    assert!(alone.not_run.is_empty());
}

#[test]
fn patterns_that_cost_too_much_are_refused_by_rule_and_the_others_run() {
    let regexes: Vec<String> = (0..300)
        .map(|number| format!("'{number}\\pL{{100}}'"))
        .collect();
    let costly = format!(
        "title: costly\nid: costly\nlogsource: {{product: test}}\ndetection:\n  sel:\n    S|re: [{}]\n  condition: sel\n",
        regexes.join(", ")
    );
    assert!(costly.len() < 7_000);
    let started = std::time::Instant::now();
    let lowered = lowered(&costly);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    let refused: Vec<&NotRun> = lowered
        .not_run
        .iter()
        .filter(|not_run| not_run.rule == "costly")
        .collect();
    let [refused] = refused.as_slice() else {
        panic!("{:?}", lowered.not_run);
    };
    for wanted in [
        "rules.yml",
        "1,000,000 is the maximum for one rule",
        "\\pL{100}` costs",
    ] {
        assert!(refused.reason.contains(wanted), "{}", refused.reason);
    }
    assert!(lowered.rules.iter().any(|source| source.rule.id == "id-a"));
}

#[test]
fn of_the_patterns_of_a_table_those_that_cost_most_are_refused() {
    let rule = |id: &str, pattern: &str| {
        format!(
            "title: {id}\nid: {id}\nlogsource: {{product: test}}\ndetection:\n  sel:\n    S|re: '{pattern}'\n  condition: sel\n"
        )
    };
    // Costly ones come first, and are those that do not run.
    let mut documents: Vec<String> = (0..60)
        .map(|number| rule(&format!("costly-{number}"), &format!("{number}\\w{{120}}")))
        .collect();
    documents.extend(
        (0..60).map(|number| rule(&format!("cheap-{number}"), &format!("{number}[a-z]+\\.exe"))),
    );
    let lowered = lowered(&documents.join("---\n"));
    let runs = |prefix: &str| {
        let rules = lowered.rules.iter();
        rules
            .filter(|source| source.rule.id.starts_with(prefix))
            .count()
    };
    let reasons: Vec<&str> = lowered
        .not_run
        .iter()
        .filter(|not_run| not_run.rule.starts_with("costly-"))
        .map(|not_run| not_run.reason.as_str())
        .collect();
    assert_eq!(runs("cheap-"), 60);
    assert!(
        runs("costly-") >= 10 && !reasons.is_empty(),
        "{}",
        runs("costly-")
    );
    assert_eq!(runs("costly-") + reasons.len(), 60);
    let costs = lowered
        .rules
        .iter()
        .filter_map(|source| source.predicate.as_deref());
    let costs = costs.map(|predicate| pattern_cost::of_predicate(predicate, u64::MAX).total);
    assert!(costs.sum::<u64>() <= pattern_cost::TABLE);
    for reason in reasons {
        for wanted in ["table `windows`", "10,000,000 units", "\\w{120}`"] {
            assert!(reason.contains(wanted), "{reason}");
        }
    }
}
