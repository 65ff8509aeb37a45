//! Sigma rules through the real binary: run, check, explain, coverage.

use serde_json::Value;
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;

const EVENTS: &str = r#"{"@timestamp":"2026-02-03T04:05:06Z","Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"Computer":"pc1","Image":"C:\\Windows\\System32\\whoami.exe","CommandLine":"whoami /priv","User":"CORP\\ann"}
{"@timestamp":"2026-02-03T04:06:06Z","Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"Computer":"pc2","Image":"C:\\Windows\\System32\\cmd.exe","CommandLine":"cmd /c whoami","User":"CORP\\bob"}
{"@timestamp":"2026-02-03T04:07:06Z","Channel":"Security","EventID":4688,"Computer":"pc3","NewProcessName":"C:\\Temp\\WHOAMI.EXE","CommandLine":"whoami /priv","SubjectUserName":"eve"}
{"@timestamp":"2026-02-03T04:08:06Z","Channel":"Security","EventID":4624,"Computer":"pc3","TargetUserName":"eve"}
"#;

const WHOAMI: &str = "title: Whoami with {privileges}\nid: 11111111-1111-4111-8111-111111111111\nlevel: high\ntags:\n  - attack.discovery\n  - attack.t1033\nlogsource:\n  category: process_creation\n  product: windows\ndetection:\n  selection:\n    Image|endswith: '\\whoami.exe'\n    CommandLine|contains: /priv\n  condition: selection\n";

struct Place {
    files: Scratch,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            files: Scratch::new(),
        };
        place.write("events.ndjson", EVENTS);
        place.write("sigma/whoami.yml", WHOAMI);
        let (lake, events) = (place.path("lake"), place.path("events.ndjson"));
        yagura(&["ingest", "--table", "windows", "--to", &lake, &events]).must_work();
        place
    }

    fn write(&self, name: &str, text: &str) {
        self.files.write(name, text);
    }

    fn path(&self, name: &str) -> String {
        self.files.path(name)
    }

    fn with(&self, arguments: &[&str], more: &[&str]) -> Ran {
        let (lake, sigma) = (self.path("lake"), self.path("sigma"));
        let mut all = arguments.to_vec();
        all.extend(["--lake", &lake, "--sigma", &sigma]);
        all.extend(more);
        yagura(&all)
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_rule_whose_patterns_cost_too_much_is_named_and_the_others_run() {
    let place = Place::new();
    let patterns: Vec<String> = (0..300)
        .map(|number| format!("'{number}\\pL{{100}}'"))
        .collect();
    place.write(
        "sigma/costly.yml",
        &format!(
            "title: costly\nid: 5\nlogsource: {{product: windows, category: process_creation}}\ndetection:\n  sel:\n    CommandLine|re: [{}]\n  condition: sel\n",
            patterns.join(", ")
        ),
    );
    let started = std::time::Instant::now();
    let ran = place.with(&["run"], &["--format", "json"]).must_work();
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert_eq!(lines(&ran.stdout).len(), 2);
    let told = ran.stderr.replace("\\\\", "\\");
    for wanted in [
        "costly.yml",
        "1,000,000 is the maximum for one rule",
        "\\pL{100}",
    ] {
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn run_takes_sigma_rules_as_they_are_and_lists_those_that_cannot_run() {
    let place = Place::new();
    place.write("sigma/okta.yml", "title: okta\nid: 2\nlogsource: {product: okta, service: okta}\ndetection:\n  sel: {eventType: a}\n  condition: sel\n");
    place.write("sigma/else.yml", "title: else\nid: 3\nlogsource: {product: windwos}\ndetection:\n  sel: {a: b}\n  condition: sel\n");
    place.write("sigma/wrong.yml", "title: wrong\nlogsource: {product: windows}\ndetection:\n  sel:\n    Image|frob: a\n  condition: sel\n");
    place.write("sigma/correlation.yml", "title: many\nid: 4\ncorrelation:\n  type: event_count\n  rules: [nobody]\n  group-by: [Computer]\n  timespan: 5m\n  condition: {gte: 3}\n");
    // Events of Sysmon for Windows are none of Sysmon for Linux, though they look alike.
    place.write(
        "sigma/linux.yml",
        &WHOAMI
            .replace("product: windows", "product: linux")
            .replace("8111-111111111111", "8111-111111111113"),
    );
    let ran = place.with(&["run"], &["--format", "json"]).must_work();
    let alerts = lines(&ran.stdout);
    let keys: Vec<&str> = alerts
        .iter()
        .map(|alert| alert["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["pc1", "pc3"],
        "Sysmon's event and the Security log's"
    );
    assert_eq!(alerts[0]["title"], "Whoami with |privileges|");
    assert_eq!(alerts[0]["severity"], "high");
    assert_eq!(alerts[0]["tags"][1], "attack.t1033");
    assert!(
        alerts[0]["context"].to_string().contains("whoami /priv"),
        "{}",
        alerts[0]
    );
    for want in [
        "no table holds the log source product=okta service=okta",
        "no field map knows the log source product=windwos; did you mean `windows`?",
        "wrong.yml:5",
        "it refers to `nobody`, and no rule that was read has this id or name",
    ] {
        assert!(ran.stderr.contains(want), "no `{want}` in {}", ran.stderr);
    }
}

#[test]
fn old_rules_that_count_events_alert_on_enough_of_them() {
    let place = Place::new();
    let count = |least: u32| {
        format!(
            "title: many\nid: many\nlogsource: {{product: windows}}\ndetection:\n  sel: {{Channel: Security}}\n  timeframe: 5m\n  condition: sel | count() by Computer >= {least}\n"
        )
    };
    place.write("sigma/whoami.yml", &count(2));
    let ran = place.with(&["run"], &["--format", "json"]).must_work();
    let alerts = lines(&ran.stdout);
    assert_eq!(alerts.len(), 1, "{}", ran.stdout);
    assert_eq!(
        (alerts[0]["rule"].as_str(), alerts[0]["key"].as_str()),
        (Some("many"), Some("pc3"))
    );
    place.write("sigma/whoami.yml", &count(3));
    let ran = place.with(&["run"], &["--format", "json"]).must_work();
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
}

#[test]
fn a_pack_holds_sigma_rules_beside_its_own() {
    let place = Place::new();
    place.write(
        "pack/pack.toml",
        "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n",
    );
    place.write("pack/rules/whoami.yml", WHOAMI);
    place.write("pack/rules/own.toml", "[rule]\nid = \"logon\"\ntitle = \"Logon of {TargetUserName}\"\ntable = \"windows\"\nwhere = \"EventID = 4624\"\n");
    let (lake, pack) = (place.path("lake"), place.path("pack"));
    let ran = yagura(&["run", "--lake", &lake, "--pack", &pack, "--format", "json"]).must_work();
    let rules: Vec<Value> = lines(&ran.stdout)
        .into_iter()
        .map(|alert| alert["rule"].clone())
        .collect();
    assert_eq!(rules.len(), 3, "{}", ran.stdout);
    assert!(rules.contains(&"logon".into()));
}

#[test]
fn check_finds_what_is_wrong_and_says_where() {
    let place = Place::new();
    place.write(
        "sigma/again.yml",
        &WHOAMI.replace("8111-111111111111", "8111-111111111112"),
    );
    place.write(
        "sigma/odd.yml",
        "title: odd\nlogsource: {category: process_creation, product: windows}\ndetection:\n  sel:\n    Imgae: a\n    CommandLine|re: '[a-z]+'\n  unused: {Image: b}\n  condition: sel\n",
    );
    let ran = place.with(&["check"], &[]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    for want in [
        "asks the same of the same events as `11111111-1111-4111-8111-11111111111",
        "names `Imgae`, which table `windows` lacks; did you mean `Image`?",
        "is tried on every value [expensive",
        "does not use the detection `unused`",
        "has no `id`",
        "has no tag of ATT&CK",
        "3 rules: 0 errors,",
    ] {
        assert!(ran.stdout.contains(want), "no `{want}` in {}", ran.stdout);
    }
    assert_eq!(place.with(&["check"], &["--strict"]).code, Some(1));
    place.write("sigma/wrong.yml", "title: wrong\nid: 9\nlogsource: {product: windows}\ndetection:\n  sel:\n    Image|re: 'a('\n  condition: sel\n");
    let ran = place.with(&["check"], &["--format", "json"]);
    assert_eq!(ran.code, Some(2));
    let error = lines(&ran.stdout)
        .into_iter()
        .find(|line| line["level"] == "error")
        .unwrap();
    assert_eq!(
        (error["line"].as_u64(), error["key"].as_str()),
        (Some(6), Some("detection.sel.Image|re")),
        "{error}"
    );
}

#[test]
fn check_looks_packs_over_too() {
    let place = Place::new();
    place.write(
        "pack/pack.toml",
        "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n",
    );
    let rule = |id: &str, condition: &str| {
        format!(
            "[rule]\nid = \"{id}\"\ntitle = \"t\"\ntable = \"windows\"\nwhere = {condition:?}\n"
        )
    };
    place.write(
        "pack/rules/a.toml",
        &rule("a", "Computer = 'x' AND Computer = 'y'"),
    );
    place.write(
        "pack/rules/b.toml",
        &rule("b", "EventID = 4624 OR EventID = 4625"),
    );
    place.write("pack/rules/c.toml", &rule("c", "EventID IN (4625, 4624)"));
    place.write("pack/rules/d.toml", &rule("d", "EvntID = 1"));
    let (lake, pack) = (place.path("lake"), place.path("pack"));
    let ran = yagura(&["check", "--lake", &lake, "--pack", &pack]);
    assert_eq!(ran.code, Some(2));
    for want in [
        "[never-matches, a]",
        "the same events as `b`",
        "[duplicate-rule, c]",
        "d.toml:5: error: `rule.where`",
        "did you mean `EventID`",
    ] {
        assert!(ran.stdout.contains(want), "no `{want}` in {}", ran.stdout);
    }
}

#[test]
fn explain_shows_verdicts_and_values_of_an_event_and_of_the_nearest() {
    let place = Place::new();
    let (events, sigma) = (place.path("events.ndjson"), place.path("sigma"));
    let ran = yagura(&[
        "explain", "--sigma", &sigma, "--event", &events, "--format", "json",
    ])
    .must_work();
    let matched: Vec<bool> = lines(&ran.stdout)
        .iter()
        .map(|line| line["matched"].as_bool().unwrap())
        .collect();
    assert_eq!(matched, [true, false, true, false]);
    let ran = yagura(&["explain", "--sigma", &sigma, "--event", &events]).must_work();
    assert!(
        ran.stdout
            .contains("✗ CommandLine contains \"/priv\"   saw \"cmd /c whoami\""),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("(no value)"), "{}", ran.stdout);
    // Nothing matches: the nearest event is shown.
    place.write(
        "sigma/whoami.yml",
        &WHOAMI.replace("/priv", "/groups").replace(
            "category: process_creation\n  product: windows",
            "product: windows\n  service: sysmon",
        ),
    );
    let ran = place
        .with(&["explain", "11111111-1111-4111-8111-111111111111"], &[])
        .must_work();
    assert!(
        ran.stdout.contains("does not match row 0 of"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("2 of 3 outermost parts are true"),
        "{}",
        ran.stdout
    );
    let ran = place.with(&["explain", "11111111-1111-4111-8111-11111111111"], &[]);
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr
            .contains("did you mean `11111111-1111-4111-8111-111111111111`?"),
        "{}",
        ran.stderr
    );
}

#[test]
fn coverage_is_counted_from_tags() {
    let place = Place::new();
    place.write("sigma/okta.yml", "title: okta\nid: 2\ntags: [attack.t1078.004, attack.initial-access]\nlogsource: {product: okta, service: okta}\ndetection:\n  sel: {eventType: a}\n  condition: sel\n");
    let sigma = place.path("sigma");
    let ran = yagura(&["coverage", "--sigma", &sigma]).must_work();
    assert!(
        ran.stdout.contains("T1033") && ran.stdout.contains("T1078.004"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("2 rules look for 2 techniques"),
        "{}",
        ran.stdout
    );
    // With tables, only what can be seen counts.
    let ran = place.with(&["coverage"], &["--format", "json"]).must_work();
    let coverage = &lines(&ran.stdout)[0];
    assert_eq!(coverage["rules"], 1);
    assert_eq!(coverage["rules_that_cannot_run"], 1);
    assert!(coverage["techniques"].get("T1078.004").is_none());
    let ran = yagura(&["coverage", "--sigma", &sigma, "--format", "navigator"]).must_work();
    let layer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(layer["domain"], "enterprise-attack");
    assert_eq!(layer["techniques"][1]["techniqueID"], "T1078.004");
}

const CORRELATION: &str = "title: Whoami again\nid: again\nlevel: critical\ntags: [attack.t1110]\ncorrelation:\n  type: event_count\n  rules: [11111111-1111-4111-8111-111111111111]\n  group-by: [Computer]\n  timespan: 5m\n  condition: {gte: 3}\n";

#[test]
fn a_correlations_parts_give_no_alerts_unless_it_generates_them() {
    let place = Place::new();
    place.write("sigma/again.yml", CORRELATION);
    let ran = place.with(&["run"], &["--format", "json"]).must_work();
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    place.write("sigma/again.yml", &format!("generate: true\n{CORRELATION}"));
    let ran = place.with(&["run"], &["--format", "json"]).must_work();
    assert_eq!(lines(&ran.stdout).len(), 2, "{}", ran.stdout);
}

#[test]
fn check_coverage_and_explain_know_correlations() {
    let place = Place::new();
    place.write("sigma/again.yml", CORRELATION);
    place.write(
        "sigma/field.yml",
        &CORRELATION
            .replace("id: again", "id: field")
            .replace("[Computer]", "[Usr]"),
    );
    place.write("sigma/many.yml", "title: many\nid: many\nlevel: low\ntags: [attack.t1078]\nlogsource: {product: windows}\ndetection:\n  sel: {Channel: Security}\n  timeframe: 5m\n  condition: sel | count() by Computer > 2\n");
    let sigma = place.path("sigma");
    // By themselves they are right: fields are those of tables.
    let ran = yagura(&["check", "--sigma", &sigma]).must_work();
    assert!(
        ran.stdout.contains("4 rules: 0 errors, 0 warnings"),
        "{}",
        ran.stdout
    );
    let ran = place.with(&["check"], &[]).must_work();
    for want in [
        "warning: cannot run: it wants `Usr` of the rule `11111111-1111-4111-8111-111111111111`",
        "whose table `windows` lacks it; did you mean `User`",
        "[correlation-not-running, field]",
    ] {
        assert!(ran.stdout.contains(want), "no `{want}` in {}", ran.stdout);
    }
    place.write(
        "sigma/missing.yml",
        &CORRELATION
            .replace("id: again", "id: missing")
            .replace("8111-111111111111", "8111-111111111119"),
    );
    for ran in [
        yagura(&["check", "--sigma", &sigma]),
        place.with(&["check"], &[]),
    ] {
        assert_eq!(ran.code, Some(2));
        let want = "error: it refers to `11111111-1111-4111-8111-111111111119`, and no rule that was read has this id or name; did you mean `11111111-1111-4111-8111-111111111111`?";
        assert_eq!(ran.stdout.matches(want).count(), 1, "{}", ran.stdout);
        assert!(
            !ran.stdout.contains("cannot run: it refers"),
            "{}",
            ran.stdout
        );
    }

    let ran = yagura(&["coverage", "--sigma", &sigma, "--format", "json"]).must_work();
    let coverage = &lines(&ran.stdout)[0];
    assert_eq!(coverage["rules"], 5, "{coverage}");
    assert_eq!(coverage["techniques"]["T1110"].as_array().unwrap().len(), 3);
    let ran = place.with(&["coverage"], &["--format", "json"]).must_work();
    let coverage = &lines(&ran.stdout)[0];
    assert_eq!(coverage["rules"], 3, "{coverage}");
    assert_eq!(coverage["rules_that_cannot_run"], 2, "{coverage}");
    assert_eq!(coverage["techniques"]["T1078"][0], "many");
    assert_eq!(coverage["techniques"]["T1110"][0], "again Whoami again");

    let ran = place.with(&["explain", "again"], &[]).must_work();
    for want in [
        "is a correlation (count), which joins the findings of:",
        "11111111-1111-4111-8111-111111111111   Whoami with {privileges}",
    ] {
        assert!(ran.stdout.contains(want), "no `{want}` in {}", ran.stdout);
    }
    let ran = yagura(&["explain", "many", "--sigma", &sigma, "--format", "json"]).must_work();
    assert_eq!(
        lines(&ran.stdout)[0]["correlation"]["rules"][0],
        "many-events"
    );
    let ran = place.with(&["explain", "many-events"], &[]).must_work();
    assert!(ran.stdout.contains("matches row"), "{}", ran.stdout);
}

#[test]
fn check_and_coverage_look_at_correlations_of_packs() {
    let place = Place::new();
    place.write(
        "pack/pack.toml",
        "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n",
    );
    place.write("pack/rules/whoami.yml", WHOAMI);
    place.write("pack/rules/logon.toml", "[rule]\nid = \"logon\"\ntitle = \"t\"\ntags = [\"attack.t1078\"]\ntable = \"windows\"\nwhere = \"EventID = 4624\"\n");
    let correlation = |id: &str, rules: &str, by: &str, more: &str| {
        let text = format!(
            "[rule]\nid = \"{id}\"\ntitle = \"t\"\ntags = [\"attack.t1078\"]\n[rule.correlation]\ntype = \"any-order\"\nwithin = \"1h\"\nrules = {rules}\nby = {by}\n{more}"
        );
        place.write(&format!("pack/rules/{id}.toml"), &text);
    };
    let sigma = "11111111-1111-4111-8111-111111111111";
    correlation(
        "right",
        &format!("[\"logon\", \"{sigma}\"]"),
        "[\"user\"]",
        &format!("aliases = {{ user = {{ logon = \"TargetUserName\", {sigma} = \"User\" }} }}\n"),
    );
    let (lake, pack) = (place.path("lake"), place.path("pack"));
    let check = |more: &[&str]| {
        let mut arguments = vec!["check", "--pack", &pack];
        arguments.extend(more);
        yagura(&arguments)
    };
    let ran = check(&["--lake", &lake]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    assert_eq!(check(&[]).code, Some(0));
    correlation("rules", "[\"logn\"]", "[]", "");
    correlation("fields", "[\"logon\", \"right\"]", "[\"Computr\"]", "");
    correlation("circle", "[\"logon\", \"circle\"]", "[]", "");
    let ran = check(&["--lake", &lake]);
    assert_eq!(ran.code, Some(2));
    for want in [
        "rules.toml:8: error: `rule.correlation.rules[1]` names `logn`, and there is no such rule; did you mean `logon`",
        "fields.toml:9: error: `rule.correlation.by[1]` names `Computr`: table `windows` of the rule `logon` has no `Computr`; another name is given in `correlation.aliases`; did you mean `Computer`",
        "`rule.correlation.by[1]` names `Computr`: the correlation `right` has no `Computr`, only what is in its `by`",
        "circle.toml:8: error: `rule.correlation.rules` lead back to themselves: `circle` → `circle`",
    ] {
        assert!(ran.stdout.contains(want), "no `{want}` in {}", ran.stdout);
    }
    let ran = check(&[]);
    assert!(
        ran.stdout.contains("names `logn`") && !ran.stdout.contains("table `windows`"),
        "{}",
        ran.stdout
    );
    let coverage = [
        "coverage", "--pack", &pack, "--lake", &lake, "--format", "json",
    ];
    let ran = yagura(&coverage).must_work();
    let coverage = &lines(&ran.stdout)[0];
    assert_eq!(
        coverage["rules"], 4,
        "logon, whoami, right and fields: {coverage}"
    );
    assert_eq!(coverage["rules_that_cannot_run"], 2, "{coverage}");
    let ran = yagura(&["explain", "right", "--pack", &pack]).must_work();
    assert!(
        ran.stdout.contains("is a correlation (any-order)"),
        "{}",
        ran.stdout
    );
}
