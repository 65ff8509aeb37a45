use std::path::Path;

use super::*;
use crate::sigma::load::load_text;

/// Reads documents as one file; rules `a`, `b` and `c` are there already, by name and by id.
fn read(documents: &str) -> Correlations {
    let rules = ["a", "b", "c"].map(|name| {
        format!(
            "title: rule {name}\nid: id-{name}\nname: {name}\nlogsource: {{product: test}}\ndetection:\n  sel: {{S: {name}}}\n  condition: sel\n"
        )
    });
    let text = format!("{}\n---\n{documents}", rules.join("---\n"));
    let load = load_text(Path::new("rules.yml"), text);
    assert!(load.problems.is_empty(), "{:?}", load.problems);
    correlations(&load)
}

/// Reads one correlation, of which these are the lines below `correlation:`.
fn asked(lines: &str) -> Result<Correlation, CorrelationProblem> {
    let lines: Vec<String> = lines.lines().map(|line| format!("  {line}")).collect();
    let text = format!("title: it\nid: it\ncorrelation:\n{}\n", lines.join("\n"));
    let read = read(&text);
    assert_eq!(read.joined.len(), 1);
    read.joined[0].correlation.clone()
}

/// Returns a key of a correlation as a rule writes it.
fn key(correlation: &Correlation, name: &str) -> serde_json::Value {
    serde_json::to_value(correlation).unwrap()[name].clone()
}

/// Returns a text of a correlation, if it has one.
fn written(correlation: &Correlation, name: &str) -> Option<String> {
    key(correlation, name).as_str().map(str::to_owned)
}

fn expression(rules: &str, condition: &str) -> Result<Option<String>, CorrelationProblem> {
    let text = format!("type: temporal\nrules: {rules}\ntimespan: 5m\ncondition: {condition}");
    asked(&text).map(|correlation| written(&correlation, "expression"))
}

#[test]
fn every_type_has_its_kind() {
    let of = |kind: &str, condition: &str| {
        asked(&format!(
            "type: {kind}\nrules: [a, id-b]\ngroup-by: [User, host.name]\ntimespan: 5m\ncondition: {condition}"
        ))
        .unwrap()
    };
    let count = of("event_count", "{gt: 2, lte: 9}");
    assert_eq!(count.kind.word(), "count");
    assert_eq!(count.rules, ["id-a", "id-b"]);
    assert_eq!(count.by, ["User", "host.name"]);
    assert_eq!(written(&count, "within").as_deref(), Some("5m"));
    let condition = serde_json::json!({ "gt": 2.0, "lte": 9.0 });
    assert_eq!(key(&count, "condition"), condition);

    let distinct = of("value_count", "{gte: 3, field: Name}");
    assert_eq!(distinct.kind.word(), "distinct");
    assert_eq!(written(&distinct, "field").as_deref(), Some("Name"));
    let distinct = of("value_count", "{neq: 3, field: [Name, Domain]}");
    assert_eq!(written(&distinct, "field"), None);
    assert_eq!(key(&distinct, "fields").as_array().unwrap().len(), 2);

    let sum = of("value_sum", "{lt: -5, field: Bytes}");
    assert_eq!(sum.kind.word(), "sum");
    assert_eq!(key(&sum, "condition")["lt"], -5.0);
    assert_eq!(of("value_avg", "{eq: 5, field: Bytes}").kind.word(), "avg");
    for (kind, condition, percentile) in [
        (
            "value_percentile",
            "{gte: 5, field: Bytes, percentile: 95}",
            95.0,
        ),
        ("value_percentile", "{gte: 5, field: Bytes}", 50.0),
        ("value_median", "{gte: 5, field: Bytes}", 50.0),
    ] {
        let read = of(kind, condition);
        assert_eq!(read.kind.word(), "percentile");
        assert_eq!(key(&read, "percentile"), percentile, "{kind}");
    }
    let temporal = asked("type: temporal\nrules: [a, a, id-a, b]\ntimespan: 1h").unwrap();
    assert_eq!(temporal.kind.word(), "any-order");
    assert_eq!(temporal.rules, ["id-a", "id-b"], "each once");
    let ordered = asked("type: temporal_ordered\nrules: [a, a, b]\ntimespan: 1h").unwrap();
    assert_eq!(ordered.kind.word(), "sequence");
    assert_eq!(
        ordered.rules,
        ["id-a", "id-a", "id-b"],
        "twice is two steps"
    );
}

#[test]
fn times_and_windows_are_brought_into_our_form() {
    for (sigma, ours) in [
        ("90s", "90s"),
        ("5m", "5m"),
        ("2h", "2h"),
        ("3d", "3d"),
        ("2w", "14d"),
        ("2M", "60d"),
        ("1y", "365d"),
    ] {
        let text = format!("type: event_count\nrules: a\ntimespan: {sigma}\ncondition: {{gte: 2}}");
        let asked = asked(&text).unwrap();
        assert_eq!(written(&asked, "within").as_deref(), Some(ours));
    }
    let window = |more: &str| {
        asked(&format!(
            "type: event_count\nrules: a\ntimespan: 1h\ncondition: {{gte: 2}}\n{more}"
        ))
    };
    let tumbling = window("window: tumbling").unwrap();
    assert_eq!(key(&tumbling, "window"), "tumbling");
    let session = window("window: session\ngap: 1w").unwrap();
    assert_eq!(key(&session, "window"), "session");
    assert_eq!(key(&session, "gap"), "7d");
}

#[test]
fn conditions_of_temporal_say_which_rules_or_how_many() {
    let all = "[a, b, c]";
    for (condition, ours) in [
        ("{gte: 1}", Some("id-a or id-b or id-c")),
        ("{gte: 3}", None),
        ("{eq: 3}", None),
        ("{gt: 0}", Some("id-a or id-b or id-c")),
        (
            "{gte: 2}",
            Some("(id-a and id-b) or (id-a and id-c) or (id-b and id-c)"),
        ),
        (
            "{eq: 1}",
            Some(
                "(id-a and not id-b and not id-c) or (not id-a and id-b and not id-c) or (not id-a and not id-b and id-c)",
            ),
        ),
        ("a and not (b or id-c)", Some("id-a and not (id-b or id-c)")),
        ("1 of them", Some("id-a or id-b or id-c")),
        ("all of them", Some("id-a and id-b and id-c")),
        ("a and 1 of *", Some("id-a and (id-a or id-b or id-c)")),
        (
            "2 of them",
            Some("(id-a and id-b) or (id-a and id-c) or (id-b and id-c)"),
        ),
    ] {
        assert_eq!(
            expression(all, condition),
            Ok(ours.map(str::to_owned)),
            "{condition}"
        );
    }
    // Without `rules` the condition names them.
    let read = asked("type: temporal\ntimespan: 5m\ncondition: c or b").unwrap();
    assert_eq!(read.rules, ["id-c", "id-b"]);
    assert_eq!(
        written(&read, "expression").as_deref(),
        Some("id-c or id-b")
    );
    let read = asked("type: temporal_ordered\ntimespan: 5m\ncondition: c and b").unwrap();
    assert_eq!(read.rules, ["id-c", "id-b"]);
    assert_eq!(written(&read, "expression"), None);
}

#[test]
fn what_a_correlation_cannot_say_is_told() {
    let base = "rules: [a, b]\ntimespan: 5m\n";
    for (lines, reason) in [
        (
            "type: temporal\ncondition: {gte: 4}",
            "a number of different rules that its 2 cannot have",
        ),
        (
            "type: temporal\ncondition: a and c",
            "`c` in its condition, which is not among its `rules`",
        ),
        (
            "type: temporal\ncondition: a and d",
            "refers to `d`, and no rule that was read",
        ),
        (
            "type: temporal\ncondition: 1 of x*",
            "`1 of x*` in its condition, and none of its `rules`",
        ),
        ("type: temporal\ncondition: 3 of them", "wants 3 of 2 rules"),
        (
            "type: temporal_ordered\ncondition: a or b",
            "use `temporal`",
        ),
        (
            "type: temporal_ordered\ncondition: {lt: 2}",
            "wants a number of its 2 rules in order",
        ),
        (
            "type: event_count\ncondition: a and b",
            "which only `temporal` and `temporal_ordered` read",
        ),
        (
            "type: value_count\ncondition: {gte: 2}",
            "`correlation.field` is missing",
        ),
        (
            "type: value_sum\ncondition: {gte: 2, field: [x, y]}",
            "measures one field, and `condition.field` names 2",
        ),
        (
            "type: value_percentile\ncondition: {gte: 2, field: x, percentile: 101}",
            "`correlation.percentile` is not from 0 to 100",
        ),
        (
            "type: temporal\nwindow: tumbling",
            "`correlation.window` is given, and `any-order` does not use it",
        ),
        (
            "type: event_count\ncondition: {gte: 2}\ngroup-by: ['']",
            "`correlation.by`",
        ),
        (
            "type: temporal\ngroup-by: [x]\naliases:\n  x:\n    c: y",
            "an alias `x` for `c`, which is not among its `rules`",
        ),
    ] {
        let error = asked(&format!("{base}{lines}")).unwrap_err().to_string();
        assert!(error.contains(reason), "{lines}: {error}");
    }
    let error = asked("type: temporal_ordered\nrules: a\ntimespan: 5m")
        .unwrap_err()
        .to_string();
    assert!(error.contains("steps are at least two"), "{error}");
    let error = asked("type: event_count\nrules: a\ntimespan: 0s\ncondition: {gte: 1}")
        .unwrap_err()
        .to_string();
    assert!(error.contains("`0s` is not a duration"), "{error}");
    let error = asked("type: event_count\nrules: [id-aa]\ntimespan: 5m\ncondition: {gte: 1}")
        .unwrap_err()
        .to_string();
    assert!(error.contains("did you mean `id-a`"), "{error}");
}

#[test]
fn counts_of_many_rules_are_not_written_out() {
    let of = |number: usize| {
        let rules: Vec<String> = (0..number).map(|number| format!("r{number}")).collect();
        let documents = rules.iter().map(|name| format!("title: {name}\nid: {name}\nlogsource: {{product: x}}\ndetection: {{sel: {{a: {name}}}, condition: sel}}\n---\n"));
        let documents: String = documents.collect();
        let read = read(&format!(
            "{documents}title: it\ncorrelation:\n  type: temporal\n  rules: [{}]\n  timespan: 1h\n  condition: {{gte: 4}}\n",
            rules.join(", ")
        ));
        read.joined[0]
            .correlation
            .clone()
            .map(|it| written(&it, "expression"))
    };
    assert_eq!(of(9), Err(CorrelationProblem::TooMany { rules: 9 }));
    let text = of(8).unwrap().unwrap();
    assert_eq!(text.matches(" or ").count() + 1, 70);
}

#[test]
fn correlations_join_correlations_in_order_and_not_themselves() {
    let document = |id: &str, rules: &str| {
        format!(
            "title: {id}\nid: {id}\nname: {id}\ncorrelation:\n  type: temporal\n  rules: {rules}\n  timespan: 1h\n"
        )
    };
    let read = read(
        &[
            document("top", "[middle, a]"),
            document("middle", "[low, b]"),
            document("low", "[c]"),
            document("self", "[self]"),
            document("x", "[y]"),
            document("y", "[x]"),
            document("above", "[x, top]"),
        ]
        .join("---\n"),
    );
    let ids: Vec<&str> = read
        .joined
        .iter()
        .map(|joined| joined.id.as_str())
        .collect();
    assert_eq!(ids, ["low", "middle", "top", "self", "x", "y", "above"]);
    let middle = &read.joined[1];
    assert_eq!(middle.members[0].target, Target::Correlation(0));
    assert_eq!(middle.members[1].target, Target::Rule(1));
    assert!(middle.is_part && !read.joined[6].is_part);
    let reason = |index: usize| {
        read.joined[index]
            .correlation
            .clone()
            .unwrap_err()
            .to_string()
    };
    assert_eq!(reason(3), "refers to itself: `self` → `self`");
    assert_eq!(reason(4), "refers to itself: `x` → `y` → `x`");
    assert_eq!(
        reason(6),
        "refers to rules that refer to themselves: `x` → `y` → `x`"
    );
    assert_eq!(read.parts, BTreeSet::from([0, 1, 2]));
}

#[test]
fn generate_leaves_the_alerts_of_what_is_joined() {
    let document = |id: &str, rules: &str, generate: bool| {
        format!(
            "title: {id}\nname: {id}\ngenerate: {generate}\ncorrelation:\n  type: temporal\n  rules: {rules}\n  timespan: 1h\n"
        )
    };
    let read = read(
        &[
            document("quiet", "[a, b]", false),
            document("loud", "[b, quiet]", true),
        ]
        .join("---\n"),
    );
    assert_eq!(read.parts, BTreeSet::from([0]));
    assert!(!read.joined[0].is_part);
}

#[test]
fn names_are_those_of_the_same_file_first() {
    let rule = |id: &str, name: &str| {
        format!(
            "title: {id}\nid: {id}\nname: {name}\nlogsource: {{product: test}}\ndetection:\n  sel: {{S: x}}\n  condition: sel\n"
        )
    };
    let count = |rule: &str| {
        format!(
            "title: of {rule}\ncorrelation:\n  type: event_count\n  rules: [{rule}]\n  timespan: 1h\n  condition: {{gte: 2}}\n"
        )
    };
    let files = [
        format!("{}---\n{}", rule("r1", "login"), count("login")),
        format!("{}---\n{}", rule("r2", "login"), count("login")),
        count("login"),
        format!(
            "{}---\n{}",
            rule("r1", "x"),
            count("x").replace("title", "id: r2\ntitle")
        ),
    ];
    let mut load = Load::default();
    for (index, text) in files.into_iter().enumerate() {
        load.append(load_text(Path::new(&format!("{index}.yml")), text));
    }
    let doubled: Vec<String> = load.problems.iter().map(ToString::to_string).collect();
    assert_eq!(doubled.len(), 2, "{doubled:?}");
    assert!(
        doubled[1].contains("3.yml:9: `id` `r2` is also the id of the rule in 1.yml"),
        "{doubled:?}"
    );
    let read = correlations(&load);
    let entry = |index: usize| Ok(read.joined[index].correlation.clone()?.rules[0].clone());
    assert_eq!(entry(0), Ok("r1".to_owned()));
    assert_eq!(entry(1), Ok("r2".to_owned()));
    let error = entry(2).unwrap_err();
    let error = CorrelationProblem::to_string(&error);
    assert!(error.contains("the name of 2 rules: use the id"), "{error}");
}

#[test]
fn field_names_read_as_they_are() {
    for (name, ours) in [
        ("user.name", "user.name"),
        ("User Name", "User Name"),
        ("a..b", "\"a..b\""),
        ("say \"x\"", "\"say \"\"x\"\"\""),
        ("\"x\"", "\"\"\"x\"\"\""),
    ] {
        assert_eq!(field_name(name), ours);
        let path: yagura_core::FieldPath = ours.parse().unwrap();
        assert_eq!(path.to_string(), ours);
    }
    let read = asked("type: value_count\nrules: a\ngroup-by: [a..b, a..b]\ntimespan: 1h\ncondition: {gte: 2, field: c..d}").unwrap();
    assert_eq!(read.by, ["\"a..b\""]);
    assert_eq!(read.kind.fields(), ["\"c..d\""]);
}

#[test]
fn aliases_are_each_rules_own_names() {
    let read = read(
        "title: it\ncorrelation:\n  type: temporal\n  rules: [a, id-b, c]\n  group-by: [who]\n  timespan: 1h\n  aliases:\n    who:\n      id-a: User\n      b: TargetUser\n    unused: {a: x}\n",
    );
    let fields: Vec<&str> = read.joined[0]
        .members
        .iter()
        .map(|member| member.fields["who"].as_str())
        .collect();
    assert_eq!(fields, ["User", "TargetUser", "who"]);
}

#[test]
fn old_counts_are_correlations_of_their_events() {
    let rule = |timeframe: &str, aggregate: &str| {
        let text = format!(
            "title: many\nid: MANY\nname: many\nlevel: high\ntags: [attack.t1110]\nlogsource: {{product: test}}\ndetection:\n  sel: {{S: a}}\n{timeframe}  condition: sel | {aggregate}\n"
        );
        load_text(Path::new("many.yml"), text)
    };
    let of = |aggregate: &str| {
        let load = rule("  timeframe: 1w\n", aggregate);
        assert_eq!(load.rules[0].events_id(), "many-events");
        let read = correlations(&load);
        assert_eq!(read.parts, BTreeSet::from([0]));
        let joined = read.joined[0].clone();
        assert_eq!((joined.id.as_str(), joined.counts), ("many", Some(0)));
        assert_eq!(joined.severity, Severity::High);
        assert_eq!(joined.tags, ["attack.t1110"]);
        joined.correlation.unwrap()
    };
    let count = of("count() by T > 5");
    assert_eq!(
        (count.kind.word(), &*count.rules),
        ("count", &["many-events".to_owned()][..])
    );
    assert_eq!(count.by, ["T"]);
    assert_eq!(written(&count, "within").as_deref(), Some("7d"));
    assert_eq!(key(&count, "condition")["gt"], 5.0);
    let distinct = of("count(dns.query) by a, b <= 5 # few");
    assert_eq!(distinct.kind.word(), "distinct");
    assert_eq!(written(&distinct, "field").as_deref(), Some("dns.query"));
    assert_eq!(distinct.by, ["a", "b"]);
    assert_eq!(key(&distinct, "condition")["lte"], 5.0);
    for (operator, number) in [("<", 1), (">=", 2), ("=", 3), ("==", 4)] {
        let count = of(&format!("count() {operator} {number}"));
        let condition: yagura_core::correlation::Condition =
            serde_json::from_value(key(&count, "condition")).unwrap();
        assert!(condition.holds(match number {
            1 => 0.0,
            other => f64::from(other),
        }));
    }
    for aggregate in [
        "near b",
        "count() by a b > 5",
        "count() > x",
        "sum(a) > 5",
        "count > 5",
    ] {
        let load = rule("  timeframe: 1h\n", aggregate);
        assert!(load.rules.is_empty(), "{aggregate}");
        assert!(
            load.problems[0].message.contains("aggregates with"),
            "{aggregate}"
        );
    }
    let untimed = correlations(&rule("", "count() > 5"));
    let error = untimed.joined[0]
        .correlation
        .clone()
        .unwrap_err()
        .to_string();
    assert!(error.contains("no `timeframe`"), "{error}");
    let untimed = correlations(&rule("  timeframe: soon\n", "count() > 5"));
    let error = untimed.joined[0]
        .correlation
        .clone()
        .unwrap_err()
        .to_string();
    assert!(error.contains("`soon`, which is not a time"), "{error}");
}

/// The examples of the specification, as they are written there but for names of their own.
#[test]
fn an_inner_correlation_is_grouped_as_the_outer_one_wants() {
    let correlation = |name: &str, kind: &str, rules: &str, by: &str, more: &str| {
        format!(
            "title: {name}\nid: {name}\nname: {name}\ncorrelation:\n  type: {kind}\n  rules: {rules}\n  group-by: {by}\n  timespan: 1h\n{more}"
        )
    };
    let many = "  condition: {gte: 100}\n";
    let of = |documents: &[String]| {
        let read = read(&documents.join("---\n"));
        let all: Vec<(String, Vec<String>, Vec<String>, bool)> = read
            .joined
            .iter()
            .map(|joined| {
                let asked = joined.correlation.clone().unwrap();
                (joined.id.clone(), asked.rules, asked.by, joined.is_part)
            })
            .collect();
        (all, read)
    };
    let inner = correlation("many", "event_count", "[a]", "[ComputerName]", many);
    let outer = correlation("outer", "temporal_ordered", "[many, b]", "[User]", "");
    let (all, joined) = of(&[outer.clone(), inner.clone()]);
    let part = all[1].0.clone();
    assert!(part.starts_with("many-regrouped-"), "{part}");
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        all,
        [
            (
                "many".to_owned(),
                names(&["id-a"]),
                names(&["ComputerName"]),
                true
            ),
            (part.clone(), names(&["id-a"]), names(&["User"]), true),
            (
                "outer".to_owned(),
                names(&[&part, "id-b"]),
                names(&["User"]),
                false
            ),
        ]
    );
    assert_eq!(joined.joined[2].members[0].target, Target::Correlation(1));
    assert_eq!(joined.joined[1].members[0].fields["User"], "User");
    // What has the field already stays one.
    let (all, _) = of(&[
        outer.clone(),
        inner.replace("[ComputerName]", "[User, ComputerName]"),
    ]);
    assert_eq!(all.len(), 2);
    let (all, _) = of(&[outer.replace("[User]", "[]"), inner.clone()]);
    assert_eq!(all.len(), 2);
    // Aliases lead to the inner one's own name, and through several.
    let aliased =
        outer.replace("[User]", "[who]") + "  aliases: {who: {many: TargetUser, b: User}}\n";
    let (all, joined) = of(&[aliased, inner.clone()]);
    assert_eq!(all[1].2, ["TargetUser"]);
    assert_eq!(joined.joined[2].members[0].fields["who"], "TargetUser");
    let middle = correlation("middle", "event_count", "[many]", "[Domain]", many);
    let top = correlation("top", "temporal", "[middle, c]", "[User]", "");
    let (all, _) = of(&[top, middle, inner]);
    let by: Vec<&str> = all.iter().map(|of| of.2[0].as_str()).collect();
    assert_eq!(all.len(), 6, "{all:?}");
    assert_eq!(by.iter().filter(|by| **by == "User").count(), 3, "{all:?}");
    let top = all.iter().find(|of| of.0 == "top").unwrap();
    assert!(top.1[0].starts_with("middle-regrouped-"));
    // Those that lead to themselves end, and are errors.
    let circle = [
        correlation("x", "temporal", "[y]", "[A]", ""),
        correlation("y", "temporal", "[x]", "[B]", ""),
    ];
    let circle = read(&circle.join("---\n"));
    let mut joined = circle.joined.iter();
    assert!(
        joined.all(|joined| joined.correlation.is_err()),
        "{circle:?}"
    );
}
