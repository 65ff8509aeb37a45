//! The prefilter against DataFusion: random conditions over random events, each rule evaluated by DataFusion alone.
//!
//! Of each rule, DataFusion's `SELECT … WHERE` over a table in memory says which events match. The prefilter has to
//! say the same of all rules at once, whatever the arrays' form and the size of batches.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch,
    StringArray,
};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use proptest::collection::vec;
use proptest::prelude::*;
use yagura_plan::condition_predicate;
use yagura_rules::{Methods, Predicate, PrefilterState, Program};

const TEXTS: [&str; 12] = [
    "a", "A", "ab", "cmd.exe", "CMD.EXE", "", "a%b", "größe", "GRÖSSE", "-enc abc", "x\ny", "0",
];

fn text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        8 => prop::sample::select(&TEXTS[..]).prop_map(|text| Some(text.to_owned())),
        2 => "[aAbB%_.]{0,4}".prop_map(Some),
    ]
}

/// One event: two texts, an integer, a float, a truth value, and JSON.
type Event = (
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<f64>,
    Option<bool>,
    Option<String>,
);

fn event() -> impl Strategy<Value = Event> {
    let json = prop_oneof![
        1 => Just(None),
        1 => Just(Some("not json".to_owned())),
        4 => (text(), prop::option::of(-2_i64..3)).prop_map(|(s, n)| Some(serde_json::json!({"s": s, "n": n}).to_string())),
    ];
    (
        text(),
        text(),
        prop::option::of(-2_i64..5),
        prop::option::of(prop::sample::select(vec![-1.5, 0.0, 2.0])),
        any::<Option<bool>>(),
        json,
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Conditions over the columns `s`, `t`, `i`, `f`, `b` and `j`.
fn condition() -> impl Strategy<Value = String> {
    let value = || prop::sample::select(&TEXTS[..]).prop_map(quoted);
    let column = || prop::sample::select(vec!["s", "t", "j.s", "lower(s)", "\"t\""]);
    let leaf = prop_oneof![
        4 => (column(), prop::sample::select(vec!["=", "<>", "<", ">="]), value()).prop_map(|(c, op, v)| format!("{c} {op} {v}")),
        2 => (column(), any::<bool>(), vec(prop_oneof![5 => value(), 1 => Just("NULL".to_owned())], 1..4))
            .prop_map(|(c, not, v)| format!("{c} {}IN ({})", if not { "NOT " } else { "" }, v.join(", "))),
        3 => (column(), any::<bool>(), "[a%_.x]{0,4}").prop_map(|(c, not, p)| format!("{c} {}LIKE {}", if not { "NOT " } else { "" }, quoted(&p))),
        1 => (column(), "[aA%]{1,3}").prop_map(|(c, p)| format!("{c} ILIKE {}", quoted(&p))),
        2 => (column(), prop::sample::select(vec!["contains", "starts_with", "ends_with"]), value()).prop_map(|(c, f, v)| format!("{f}({c}, {v})")),
        2 => (prop::sample::select(vec!["s", "i", "f", "b", "j.n", "j"]), any::<bool>()).prop_map(|(c, not)| format!("{c} IS {}NULL", if not { "NOT " } else { "" })),
        3 => (prop::sample::select(vec!["i", "f", "j.n"]), prop::sample::select(vec!["=", "<>", "<", ">"]), -2_i64..4).prop_map(|(c, op, n)| format!("{c} {op} {n}")),
        1 => (prop::sample::select(vec!["i", "f"]), -2_i64..2, 0_i64..4).prop_map(|(c, a, b)| format!("{c} BETWEEN {a} AND {b}")),
        1 => Just("i IN (1, 2, 4)".to_owned()),
        1 => Just("s = t".to_owned()),
        1 => Just("b".to_owned()),
        1 => Just("length(s) > 1".to_owned()),
        1 => Just("regexp_like(s, '^[aA]')".to_owned()),
        1 => Just("TRUE".to_owned()),
        1 => Just("s = NULL".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" AND "))),
            3 => vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            2 => inner.clone().prop_map(|part| format!("NOT ({part})")),
            1 => (inner, prop::sample::select(vec!["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE"])).prop_map(|(part, is)| format!("({part}) {is}")),
        ]
    })
}

fn batch(events: &[Event], text: &DataType) -> RecordBatch {
    let texts = |get: fn(&Event) -> &Option<String>| -> ArrayRef {
        let plain: ArrayRef = Arc::new(
            events
                .iter()
                .map(|event| get(event).as_deref())
                .collect::<StringArray>(),
        );
        cast(&plain, text).unwrap()
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "n",
            Arc::new(Int64Array::from_iter_values(0..events.len() as i64)),
        ),
        ("s", texts(|event| &event.0)),
        ("t", texts(|event| &event.1)),
        (
            "i",
            Arc::new(events.iter().map(|event| event.2).collect::<Int64Array>()),
        ),
        (
            "f",
            Arc::new(events.iter().map(|event| event.3).collect::<Float64Array>()),
        ),
        (
            "b",
            Arc::new(events.iter().map(|event| event.4).collect::<BooleanArray>()),
        ),
        ("j", texts(|event| &event.5)),
    ];
    yagura_tests::random::batch_of(columns).unwrap()
}

/// What DataFusion alone says: a path below `j` as a column of its own, taken from the JSON here.
async fn by_datafusion(events: &[Event], condition: &str) -> BTreeSet<usize> {
    // Its optimizer takes `t IN ('a') AND t IN ('b')` for false, also where `t` is NULL and it is unknown, which a `NOT`
    // around it shows. What executes the plan does not.
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_optimizer_rules(Vec::new())
        .build();
    let session = SessionContext::new_with_state(state);
    let plain = batch(events, &DataType::Utf8);
    let inside = |key: &str| -> ArrayRef {
        let values = events.iter().map(|event| {
            let value: serde_json::Value = serde_json::from_str(event.5.as_deref()?).ok()?;
            match value.get(key)? {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            }
        });
        Arc::new(values.collect::<StringArray>())
    };
    let numbers = cast(&inside("n"), &DataType::Float64).unwrap();
    let mut fields: Vec<Field> = plain
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    fields.push(Field::new("js", DataType::Utf8, true));
    fields.push(Field::new("jn", DataType::Float64, true));
    let mut columns = plain.columns().to_vec();
    columns.extend([inside("s"), numbers]);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    session.register_batch("events", batch).unwrap();
    let condition = condition.replace("j.s", "js").replace("j.n", "jn");
    let found = session
        .sql(&format!("SELECT n FROM events WHERE {condition}"))
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    if found.is_empty() {
        return BTreeSet::new();
    }
    let found = concat_batches(&found[0].schema(), &found).unwrap();
    found
        .column(0)
        .as_primitive::<Int64Type>()
        .values()
        .iter()
        .map(|n| usize::try_from(*n).unwrap())
        .collect()
}

/// What the prefilter says of all rules at once, batch by batch.
fn by_prefilter(
    whole: &RecordBatch,
    conditions: &[String],
    rows: usize,
    methods: Methods,
) -> Vec<BTreeSet<usize>> {
    let predicates: Vec<Predicate> = conditions
        .iter()
        .map(|condition| {
            condition_predicate(condition, whole.schema_ref())
                .unwrap_or_else(|error| panic!("{condition}: {error}"))
        })
        .collect();
    let program = Program::compile(whole.schema_ref(), &predicates, methods).unwrap();
    let mut state = PrefilterState::new(&program);
    let mut matched = vec![BTreeSet::new(); conditions.len()];
    let mut start = 0;
    while start < whole.num_rows() {
        let batch = whole.slice(start, rows.min(whole.num_rows() - start));
        for (rule, found) in program.evaluate(&mut state, &batch).unwrap().rules {
            matched[rule].extend(found.set_indices().map(|row| start + row));
        }
        start += batch.num_rows();
    }
    matched
}

#[test]
fn the_prefilter_says_what_datafusion_says_of_each_rule_alone() {
    let mut runner = yagura_tests::random::runner(300);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let forms = [
        dictionary,
        DataType::Utf8View,
        DataType::Utf8,
        DataType::LargeUtf8,
    ];
    runner
        .run(
            &(vec(event(), 1..90), vec(condition(), 1..14), 1_usize..100),
            |(events, conditions, rows)| {
                let expected: Vec<BTreeSet<usize>> = conditions
                    .iter()
                    .map(|condition| runtime.block_on(by_datafusion(&events, condition)))
                    .collect();
                for form in &forms {
                    let whole = batch(&events, form);
                    for (rows, methods) in [
                        (rows, Methods::default()),
                        (65_536, Methods::default()),
                        (
                            rows,
                            Methods {
                                distinct: false,
                                automaton: false,
                                awaiting: false,
                            },
                        ),
                    ] {
                        let found = by_prefilter(&whole, &conditions, rows, methods);
                        for ((condition, expected), found) in
                            conditions.iter().zip(&expected).zip(&found)
                        {
                            prop_assert_eq!(
                                found,
                                expected,
                                "{} over {:?}, batches of {}",
                                condition,
                                form,
                                rows
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
fn dictionaries_that_repeat_values_or_hold_null_are_evaluated_alike() {
    // A dictionary may hold a value twice, a value that no row has, and null among its values.
    let values = StringArray::from(vec![Some("a"), None, Some("b"), Some("a"), Some("unused")]);
    let keys =
        datafusion::arrow::array::Int32Array::from(vec![Some(0), Some(1), None, Some(3), Some(2)]);
    let array = DictionaryArray::<Int32Type>::new(keys, Arc::new(values));
    let schema = Arc::new(Schema::new(vec![Field::new(
        "s",
        array.data_type().clone(),
        true,
    )]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(array)]).unwrap();
    let conditions = [
        "s = 'a'",
        "s IS NULL",
        "s <> 'a'",
        "length(s) = 1",
        "NOT (length(s) = 1)",
        "s LIKE '%'",
    ]
    .map(str::to_owned);
    let found = by_prefilter(&batch, &conditions, 100, Methods::default());
    let found: Vec<Vec<usize>> = found
        .into_iter()
        .map(|rows| rows.into_iter().collect())
        .collect();
    assert_eq!(
        found,
        [
            vec![0, 3],
            vec![1, 2],
            vec![4],
            vec![0, 3, 4],
            vec![],
            vec![0, 3, 4]
        ]
    );
}
