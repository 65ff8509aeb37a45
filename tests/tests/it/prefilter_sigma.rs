//! Sigma in the prefilter against `rsigma-eval`: random rules over random events, and a golden case for each construct.
//!
//! Where the two differ on purpose, the differences are these, and the random rules and events keep clear of them:
//!
//! * `*` and `?` also match line ends here; there they do not.
//! * A field that is JSON `null` is absent here, in every test; there `neq` is true of `null` and false of absence.
//! * `base64offset` leaves out letters that also depend on what follows, as pySigma does; there the last one is kept.
//! * `wide` without `base64` compares with UTF-16 read as bytes; there it changes nothing.
//! * `expand` takes values from a field map, and a rule without them does not run; there `%name%` is another field.
//! * Keywords are searched in the text of every column, in a JSON column as it is written; there in each string inside.
//!   `|all` of keywords wants each of them somewhere; there each value has to be one of them as a whole.
//! * `startswith` and `endswith` of a value with wildcards hold the other end open, as Sigma says; there the wrong one.
//! * `windash` leaves wildcards be; there a value with one is compared as it is written. Dashes stand for each other and for a
//!   `/` that begins an option, in both directions; there only `-` stands for the others.
//! * Case is folded as Unicode's simple folding has it, so that `ς`, `σ` and `Σ` are one; there in lower case.
//! * Numbers compare exactly at any size, and `inf` and `nan` are text; there they are doubles, equal within a rounding error.
//! * `cidr` reads mapped addresses, zones and brackets; there only plain addresses.
//! * `0 of x*` wants none of them; there it is always true.
//! * Time parts are read of moments with spaces and offsets of all forms; there of some.
//! * `fieldref` of a list asks each member; there the list as a whole, if it asks for equality.
//! * `all of x*` where nothing is named so does not run; there it is true.
//! * Text that is a JSON list is a list here; there only what came as a list is one.
//! * `*` alone is true of whatever is there; there not of an object or an empty list.
//! * An object is text to `contains` and the like; there no test but `exists` is true of it.

mod golden;
mod kinds;

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use proptest::collection::vec;
use proptest::prelude::*;
use rsigma_eval::{JsonEvent, compile_rule, evaluate_rule};
use serde_json::{Map, Value, json};
use yagura_rules::sigma::{FieldMap, Load, load_file, translate};
use yagura_rules::{Methods, Predicate, PrefilterState, Program};

const TEXTS: [&str; 14] = [
    "a",
    "A",
    "ab",
    "C:\\Windows\\cmd.exe",
    "c:\\windows\\CMD.EXE",
    "",
    "-enc",
    "/enc",
    "größe",
    "GRÖßE",
    "10.1.2.3",
    "5",
    "true",
    "a*b",
];

/// Reads rules from YAML documents, as a file of them.
fn load(yaml: &str) -> Load {
    let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    // Errors are given the line of the file, which has to be there still.
    load_file(&file.into_temp_path().keep().unwrap())
}

/// A field map for any table with a column `S`, whose events are all of one log source.
fn map() -> FieldMap {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "name = \"test\"\ntables = [\"S\"]\n[placeholders]\nadmins = [\"root\", \"adm*\"]\nodd = [\"%admins%\", \"50%\"]\nnets = [\"10.0.0.0/8\", \"192.168.0.0/16\"]\n[[source]]\nproduct = \"test\"\n";
    std::fs::write(file.path(), text).unwrap();
    FieldMap::read(file.path()).unwrap()
}

/// The events as columns: text (a list as its JSON), integer, float, truth value, JSON.
fn batch(events: &[Value], text: &DataType) -> RecordBatch {
    let texts = |name: &str| -> ArrayRef {
        let values = events.iter().map(|event| match event.get(name)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        });
        cast(
            &(Arc::new(values.collect::<StringArray>()) as ArrayRef),
            text,
        )
        .unwrap()
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("S", texts("S")),
        ("T", texts("T")),
        (
            "I",
            Arc::new(
                events
                    .iter()
                    .map(|event| event.get("I")?.as_i64())
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "F",
            Arc::new(
                events
                    .iter()
                    .map(|event| event.get("F")?.as_f64())
                    .collect::<Float64Array>(),
            ),
        ),
        (
            "B",
            Arc::new(
                events
                    .iter()
                    .map(|event| event.get("B")?.as_bool())
                    .collect::<BooleanArray>(),
            ),
        ),
        ("J", texts("J")),
    ];
    yagura_tests::random::batch_of(columns).unwrap()
}

/// For each rule, whether it matches each event.
fn by_prefilter(
    load: &Load,
    events: &[Value],
    text: &DataType,
    rows: usize,
    methods: Methods,
) -> Vec<Vec<bool>> {
    let whole = batch(events, text);
    let map = map();
    let predicates: Vec<Predicate> = load
        .rules
        .iter()
        .map(|rule| {
            match translate(
                rule,
                &load.filters_of(&rule.rule),
                &map,
                whole.schema_ref(),
                false,
            ) {
                Ok(translated) => translated.predicate,
                Err(error) => panic!("{}: {error:?}", rule.rule.title),
            }
        })
        .collect();
    let program = Program::compile(whole.schema_ref(), &predicates, methods).unwrap();
    let mut state = PrefilterState::new(&program);
    let mut matched = vec![vec![false; events.len()]; predicates.len()];
    let mut start = 0;
    while start < events.len() {
        let part = whole.slice(start, rows.min(events.len() - start));
        for (rule, found) in program.evaluate(&mut state, &part).unwrap().rules {
            for row in found.set_indices() {
                matched[rule][start + row] = true;
            }
        }
        start += part.num_rows();
    }
    matched
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(&TEXTS[..]).prop_map(str::to_owned),
        1 => "[aAbB.é-]{0,5}",
    ]
}

fn event() -> impl Strategy<Value = Value> {
    let maybe_text = || prop_oneof![2 => Just(None), 7 => text().prop_map(|text| Some(json!(text))), 1 => vec(text(), 0..3).prop_map(|list| Some(json!(list)))];
    let nested = prop_oneof![
        1 => Just(None),
        3 => (text(), prop::option::of(-2_i64..6), vec(text(), 0..3)).prop_map(|(s, n, list)| {
            let mut inner = json!({"s": s, "list": list, "objects": list.iter().map(|item| json!({"name": item})).collect::<Vec<_>>()});
            if let Some(n) = n {
                inner["n"] = json!(n);
            }
            Some(inner)
        }),
    ];
    (
        maybe_text(),
        maybe_text(),
        prop::option::of(-2_i64..6),
        prop::option::of(prop::sample::select(vec![-1.5, 0.5, 2.0])),
        any::<Option<bool>>(),
        nested,
    )
        .prop_map(|(s, t, i, f, b, j)| {
            let mut event = Map::new();
            let members = [
                ("S", s),
                ("T", t),
                ("I", i.map(Value::from)),
                ("F", f.map(Value::from)),
                ("B", b.map(Value::from)),
                ("J", j),
            ];
            for (name, value) in members {
                if let Some(value) = value {
                    event.insert(name.into(), value);
                }
            }
            Value::Object(event)
        })
}

/// A detection item: its key and its values.
fn item() -> impl Strategy<Value = (String, Vec<Value>)> {
    let field =
        || prop::sample::select(vec!["S", "T", "J.s", "J.list", "J.objects.name", "Nowhere"]);
    let pattern = || prop_oneof![5 => text(), 2 => "[a*?.]{1,4}".prop_filter("more than `*`", |text| text.contains(|c| c != '*')), 1 => prop::sample::select(vec!["*cmd.exe".to_owned(), "C:\\\\Win*".to_owned(), "*win*\\\\cmd*".to_owned()])];
    let texts = || vec(pattern().prop_map(Value::from), 1..4);
    prop_oneof![
        1 => (field(), prop::sample::select(vec!["|windash", "|contains|windash", "|startswith", "|endswith", "|endswith|cased"]), vec(text().prop_filter("plain", |text| !text.contains(['*', '/'])).prop_map(Value::from), 1..3))
            .prop_map(|(field, modifiers, values)| (format!("{field}{modifiers}"), values)),
        4 => (field(), prop::sample::select(vec!["", "|contains", "|cased", "|contains|cased", "|base64", "|neq"]), texts())
            .prop_map(|(field, modifiers, values)| (format!("{field}{modifiers}"), values)),
        2 => (field(), prop::sample::select(vec!["|contains|all", "|all"]), vec(pattern().prop_map(Value::from), 2..4))
            .prop_map(|(field, modifiers, values)| (format!("{field}{modifiers}"), values)),
        1 => (field(), prop::sample::select(vec!["|re", "|re|i", "|re|i|s"]), prop::sample::select(vec!["^a", "cmd\\.exe$", "[0-9]+", "gr..e", "(a|b)b", ".*"]))
            .prop_map(|(field, modifiers, pattern)| (format!("{field}{modifiers}"), vec![json!(pattern)])),
        1 => (field(), prop::sample::select(vec!["10.0.0.0/8", "10.1.2.3/32", "192.168.0.0/16"])).prop_map(|(field, net)| (format!("{field}|cidr"), vec![json!(net)])),
        2 => (prop::sample::select(vec!["I", "F", "J.n", "S"]), prop::sample::select(vec!["", "|gt", "|gte", "|lt", "|lte"]), -2_i64..6).prop_map(|(field, modifiers, n)| (format!("{field}{modifiers}"), vec![json!(n)])),
        1 => (prop::sample::select(vec!["I", "F"]), prop::sample::select(vec!["|contains", "|startswith", "|endswith"]), 0_i64..6).prop_map(|(field, modifiers, n)| (format!("{field}{modifiers}"), vec![json!(n)])),
        1 => (prop::sample::select(vec!["B", "S"]), any::<bool>()).prop_map(|(field, truth)| (field.to_owned(), vec![json!(truth)])),
        2 => (prop::sample::select(vec!["S", "I", "B", "J.s", "J.n", "J", "Nowhere"]), any::<bool>()).prop_map(|(field, exists)| (format!("{field}|exists"), vec![json!(exists)])),
        1 => prop::sample::select(vec!["S", "I", "J.n", "Nowhere"]).prop_map(|field| (field.to_owned(), vec![Value::Null])),
        1 => prop::sample::select(vec!["|fieldref", "|fieldref|contains", "|fieldref|endswith"]).prop_map(|modifiers| (format!("J.s{modifiers}"), vec![json!("T")])),
    ]
}

/// A rule as YAML. JSON is YAML, so each detection is written as JSON.
fn rule() -> impl Strategy<Value = String> {
    let mapping = || {
        vec(item(), 1..4).prop_map(|items| {
            let members = items.into_iter().map(|(key, mut values)| {
                let values = if values.len() == 1 {
                    values.remove(0)
                } else {
                    Value::from(values)
                };
                (key, values)
            });
            Value::Object(members.collect())
        })
    };
    let detection = prop_oneof![3 => mapping(), 1 => vec(mapping(), 1..3).prop_map(Value::from)];
    let conditions = vec![
        "sel_a",
        "not sel_a",
        "sel_a and not sel_b",
        "sel_a or sel_b and other",
        "1 of sel_*",
        "all of sel_*",
        "1 of them",
        "all of them",
        "2 of them",
        "sel_a and not 1 of sel_b*",
        "not (sel_a or other)",
        "any of sel_*",
    ];
    (vec(detection, 3), prop::sample::select(conditions)).prop_map(|(detections, condition)| {
        let mut yaml = String::from("title: random\nlogsource:\n  product: test\ndetection:\n");
        for (name, detection) in ["sel_a", "sel_b", "other"].into_iter().zip(detections) {
            writeln!(yaml, "  {name}: {detection}").unwrap();
        }
        writeln!(yaml, "  condition: {condition}").unwrap();
        yaml
    })
}

#[test]
fn sigma_in_the_prefilter_says_what_rsigma_says() {
    let mut runner = yagura_tests::random::runner(700);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    runner
        .run(
            &(vec(event(), 1..60), vec(rule(), 1..12), 1_usize..70),
            |(events, rules, rows)| {
                let load = load(&rules.join("---\n"));
                prop_assert!(load.problems.is_empty(), "{:?}", load.problems);
                prop_assert_eq!(load.rules.len(), rules.len());
                let expected: Vec<Vec<bool>> = load
                    .rules
                    .iter()
                    .map(|rule| {
                        let compiled = compile_rule(&rule.rule).unwrap();
                        events
                            .iter()
                            .map(|event| {
                                evaluate_rule(&compiled, &JsonEvent::borrow(event)).is_some()
                            })
                            .collect()
                    })
                    .collect();
                let plain = Methods {
                    distinct: false,
                    automaton: false,
                    awaiting: false,
                };
                for (form, rows, methods) in [
                    (&dictionary, rows, Methods::default()),
                    (&DataType::Utf8View, rows, Methods::default()),
                    (&DataType::Utf8, 65_536, Methods::default()),
                    (&dictionary, rows, plain),
                ] {
                    let found = by_prefilter(&load, &events, form, rows, methods);
                    for (at, rule) in rules.iter().enumerate() {
                        for (event, (found, expected)) in
                            events.iter().zip(found[at].iter().zip(&expected[at]))
                        {
                            prop_assert_eq!(
                                found,
                                expected,
                                "{}\nover {} as {:?}",
                                rule,
                                event,
                                form
                            );
                        }
                    }
                }
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn each_construct_of_sigma_matches_what_it_says() {
    for (name, detection, condition, matching, others) in
        golden::cases().into_iter().chain(kinds::cases())
    {
        let mut detection = detection;
        detection["condition"] = json!(condition);
        let rule = json!({"title": name, "logsource": {"product": "test"}, "sigma-version": 3, "detection": detection});
        let load = load(&rule.to_string());
        assert!(load.problems.is_empty(), "{name}: {:?}", load.problems);
        let events: Vec<Value> = matching.iter().chain(&others).cloned().collect();
        for form in [
            DataType::Utf8,
            DataType::Utf8View,
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        ] {
            let found = by_prefilter(&load, &events, &form, 3, Methods::default());
            for (at, event) in events.iter().enumerate() {
                assert_eq!(
                    found[0][at],
                    at < matching.len(),
                    "{name}: {event} as {form:?}"
                );
            }
        }
    }
}

#[test]
fn filters_narrow_the_rules_they_name() {
    let rules = "title: a\nname: first\nlogsource: {product: test}\ndetection:\n  sel: {S: a}\n  condition: sel\n---\n\
        title: b\nlogsource: {product: test}\ndetection:\n  sel: {S: a}\n  condition: sel\n---\n\
        title: not from here\nlogsource: {product: test}\nfilter:\n  rules: [first]\n  known: {T: here}\n  condition: not known\n";
    let load = load(rules);
    assert!(
        load.problems.is_empty() && load.filters.len() == 1,
        "{:?}",
        load.problems
    );
    let events = [
        json!({"S": "a", "T": "here"}),
        json!({"S": "a", "T": "there"}),
    ];
    let found = by_prefilter(&load, &events, &DataType::Utf8, 10, Methods::default());
    assert_eq!(found, [[false, true], [true, true]]);
}

#[test]
fn what_cannot_run_says_where_and_why() {
    let cases = [
        ("S|contains|re: a", "`contains` and `re` contradict", 6),
        ("S|frob: a", "frob", 6),
        ("S|re: 'a('", "unclosed group", 6),
        ("S|cidr: 10.0.0.300/8", "not a network", 6),
        ("S|gt: x", "needs a number", 6),
        ("S|expand: '%nobody%'", "`%nobody%` has no values", 6),
        ("S|all: a", "more than one value", 6),
        ("S|i: a", "flag of `re`", 6),
        ("S|utf16: a", "base64", 6),
    ];
    let schema = batch(&[json!({"S": "a"})], &DataType::Utf8).schema();
    for (item, want, line) in cases {
        let load = load(&format!(
            "title: wrong\nlogsource:\n  product: test\ndetection:\n  sel:\n    {item}\n  condition: sel\n"
        ));
        let problem = match load.rules.first() {
            None => load.problems[0].clone(),
            Some(rule) => translate(rule, &[], &map(), &schema, false)
                .unwrap_err()
                .in_file(&rule.file),
        };
        let text = problem.to_string();
        assert!(text.contains(want), "{item}: {text}");
        assert!(
            load.rules.is_empty() || problem.line() == Some(line),
            "{item}: {text}"
        );
    }
    let aggregate = load(
        "title: old\nlogsource: {product: test}\ndetection:\n  sel: {S: a}\n  condition: sel | sum(T) by S > 5\n",
    );
    assert!(
        aggregate.problems[0]
            .to_string()
            .contains(":5: `detection.condition` aggregates"),
        "{}",
        aggregate.problems[0]
    );
    let counted = load(
        "title: old\nlogsource: {product: test}\ndetection:\n  sel: {S: a}\n  timeframe: 5m\n  condition: sel | count() by T > 5\n",
    );
    let count = counted.rules[0].count.clone().unwrap();
    assert_eq!(
        (&*count.by, count.condition.gt, count.within.as_deref()),
        (&["T".to_owned()][..], Some(5.0), Some("5m"))
    );
    let nothing = load("title: no detection\nid: x\n");
    assert!(!nothing.problems.is_empty());
}
