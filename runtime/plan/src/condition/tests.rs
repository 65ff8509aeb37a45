use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, StringArray, StringViewArray, StructArray,
};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::Int32Type;
use datafusion::prelude::SessionConfig;
use yagura_rules::{Matches, Methods, PrefilterState, Program};

mod functions;
mod types;

fn events() -> RecordBatch {
    let who = StructArray::from(vec![(
        Arc::new(Field::new("name", DataType::Utf8, true)),
        Arc::new(StringArray::from(vec![
            Some("ann"),
            None,
            Some("bob"),
            None,
        ])) as ArrayRef,
    )]);
    RecordBatch::try_from_iter_with_nullable(vec![
        (
            "Name",
            Arc::new(StringViewArray::from(vec![
                Some("a"),
                Some("b"),
                None,
                Some("d"),
            ])) as ArrayRef,
            true,
        ),
        (
            "id.port",
            Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), None])),
            true,
        ),
        ("who", Arc::new(who), true),
        (
            "user",
            Arc::new(StringArray::from(vec![
                Some("ann"),
                Some("bob"),
                None,
                None,
            ])),
            true,
        ),
        (
            "body",
            Arc::new(StringArray::from(vec![
                Some(r#"{"n": 5, "ok": true, "s": "x"}"#),
                Some(r#"{"n": "40", "ok": false, "s": null}"#),
                Some("not json"),
                None,
            ])),
            true,
        ),
    ])
    .unwrap()
}

fn evaluate(text: &str) -> Result<Vec<usize>, ConditionError> {
    let matches = matches(text, &events())?;
    Ok(matches
        .rules
        .first()
        .map(|(_, rows)| rows.set_indices().collect())
        .unwrap_or_default())
}

fn matches(text: &str, batch: &RecordBatch) -> Result<Matches, ConditionError> {
    let state = crate::session(SessionConfig::new()).state();
    let optional = ["missing.path".parse().unwrap()];
    let condition = WhereCondition::parse(text, &batch.schema(), &optional)?;
    let compiled = condition.compile(&state, &batch.schema())?;
    let rules = [compiled.predicate];
    let program = Program::compile(&batch.schema(), &rules, Methods::default()).unwrap();
    let mut prefilter = PrefilterState::new(&program);
    let all = |index: usize| Arc::clone(batch.column(index));
    let any = program.evaluate_any(&mut prefilter, batch.num_rows(), &all);
    let matches = program.evaluate(&mut prefilter, batch).unwrap();
    // What is looked for in a scan is what is reported afterwards.
    let told = matches.rules.iter().map(|(_, rows)| rows);
    let told = told.chain(matches.undecided.iter().map(|undecided| &undecided.rows));
    let told = told.fold(BooleanBuffer::new_unset(batch.num_rows()), |all, rows| {
        &all | rows
    });
    assert_eq!(any.unwrap(), told, "{text}");
    Ok(matches)
}

/// Returns the rows that a condition cannot decide on, and why.
fn undecided(text: &str, batch: &RecordBatch) -> (Vec<usize>, String) {
    let matches = matches(text, batch).unwrap();
    let Some(undecided) = matches.undecided.into_iter().next() else {
        return (Vec::new(), String::new());
    };
    (undecided.rows.set_indices().collect(), undecided.reason)
}

#[test]
fn names_keep_their_case_and_lead_through_columns_structs_and_json() {
    assert_eq!(evaluate("Name = 'a'").unwrap(), [0]);
    assert_eq!(evaluate("id.port >= 2").unwrap(), [1, 2]);
    assert_eq!(evaluate("\"id.port\" >= 2").unwrap(), [1, 2]);
    assert_eq!(evaluate("who.name = 'bob' OR Name = 'd'").unwrap(), [2, 3]);
    assert_eq!(evaluate("lower(body.s) = 'x'").unwrap(), [0]);
    assert!(
        evaluate("name = 'a'")
            .unwrap_err()
            .to_string()
            .contains("`Name`")
    );
}

#[test]
fn a_key_that_got_its_column_late_is_read_from_unmapped_before() {
    let text = |values: [Option<&str>; 4]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let columns = [
        text([Some("evil"), None, None, Some("good")]),
        Arc::new(Int64Array::from(vec![Some(7), None, None, Some(1)])),
        text([
            None,
            Some(r#"{"cmd":"evil","port":7,"new":"x"}"#),
            Some("{}"),
            None,
        ]),
        text([Some("{}"); 4]),
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
    ];
    let names = ["cmd", "port", "unmapped", "raw", "event_time"];
    let batch = |is_marked: bool| {
        let fields = names.iter().zip(&columns).map(|(name, column)| {
            let field = Field::new(*name, column.data_type().clone(), true);
            match is_marked && *name == "unmapped" {
                true => resolve::mark_overflowed(field),
                false => field,
            }
        });
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.to_vec()).unwrap()
    };
    let rows = |text: &str| -> Vec<usize> {
        let matches = matches(text, &batch(true)).unwrap();
        let first = matches.rules.first();
        first
            .map(|(_, rows)| rows.set_indices().collect())
            .unwrap_or_default()
    };
    assert_eq!(rows("cmd = 'evil'"), [0, 1]);
    assert_eq!(rows("length(cmd) = 4 AND port % 7 = 0"), [0, 1]);
    assert_eq!(rows("NOT (length(cmd) = 5) AND port + 1 = 8"), [0, 1]);
    assert_eq!(rows("concat(cmd, '!') = 'evil!'"), [0, 1]);
    assert_eq!(rows("new = 'x' AND upper(new) = 'X'"), [1]);
    assert_eq!(rows("nowhere = 'x'"), [0_usize; 0]);
    assert!(matches("new = 'x'", &batch(false)).is_err());
}

#[test]
fn words_that_sql_takes_for_calls_are_names() {
    assert_eq!(evaluate("user = 'ann'").unwrap(), [0]);
    assert_eq!(evaluate("user IS NULL AND Name = 'd'").unwrap(), [3]);
    assert!(evaluate("user.x = 'ann'").unwrap().is_empty());
    for path in ["body.user.s", "body.user", "body.a.user.b.session_user"] {
        assert!(
            evaluate(&format!("{path} = 'x'")).unwrap().is_empty(),
            "{path}"
        );
    }
    let clock = evaluate("CURRENT_TIMESTAMP IS NULL")
        .unwrap_err()
        .to_string();
    assert!(clock.contains("not the same in every run"), "{clock}");
}

#[test]
fn text_out_of_json_takes_the_type_it_is_compared_with() {
    assert_eq!(evaluate("body.n > 4").unwrap(), [0, 1]);
    assert_eq!(evaluate("10 < body.n").unwrap(), [1]);
    assert_eq!(evaluate("body.n BETWEEN 5 AND 6").unwrap(), [0]);
    assert_eq!(evaluate("body.n IN (40, 41)").unwrap(), [1]);
    assert_eq!(evaluate("body.n = -5").unwrap(), [0usize; 0]);
    assert_eq!(evaluate("body.n = '5'").unwrap(), [0]);
    assert_eq!(evaluate("body.ok = true").unwrap(), [0]);
    assert_eq!(evaluate("body.ok = false").unwrap(), [1]);
    assert_eq!(evaluate("body.s > 1").unwrap(), [0usize; 0]);
}

#[test]
fn null_is_unknown_as_in_sql() {
    assert_eq!(evaluate("Name <> 'a'").unwrap(), [1, 3]);
    assert_eq!(evaluate("NOT (Name = 'a')").unwrap(), [1, 3]);
    assert_eq!(evaluate("Name IS DISTINCT FROM 'a'").unwrap(), [1, 2, 3]);
    assert_eq!(evaluate("body.s IS NULL").unwrap(), [1, 2, 3]);
    assert_eq!(
        evaluate("missing.path IS NULL AND Name = 'd'").unwrap(),
        [3]
    );
    assert_eq!(evaluate("missing.path = 'x'").unwrap(), [0usize; 0]);
    assert_eq!(evaluate("Name IN ('a', NULL)").unwrap(), [0]);
}

#[test]
fn what_fails_for_an_event_is_unknown_for_it_alone() {
    // The ports are 1, 2, 3 and NULL.
    assert_eq!(evaluate("6 / (id.port - 2) >= 6").unwrap(), [2]);
    assert_eq!(evaluate("NOT (6 / (id.port - 2) >= 6)").unwrap(), [0]);
    assert_eq!(
        evaluate("6 / (id.port - 2) >= 6 OR Name = 'b'").unwrap(),
        [1, 2]
    );
    assert_eq!(evaluate("Name = 1").unwrap(), [0usize; 0]);
    assert_eq!(evaluate("Name <> 1 OR Name = 'a'").unwrap(), [0]);
    assert_eq!(evaluate("CAST(Name AS INT) IS NULL").unwrap(), [0, 1, 2, 3]);
    assert_eq!(evaluate("lpad(Name, 2, '0') = '0a'").unwrap(), [0]);
}

#[test]
fn functions_that_stand_for_other_expressions_are_evaluated() {
    for (text, want) in [
        ("coalesce(Name, 'z') = 'z'", &[2][..]),
        ("coalesce(body.s, Name, 'none') = 'none'", &[2]),
        ("coalesce(id.port, 9) > 2", &[2, 3]),
        ("nvl(Name, 'z') = 'z'", &[2]),
        ("nvl2(Name, 'known', 'unknown') = 'unknown'", &[2]),
        ("NOT (coalesce(Name, 'z') = 'z')", &[0, 1, 3]),
        ("arrow_cast(id.port, 'Utf8') = '2'", &[1]),
        ("arrow_try_cast(Name, 'Int64') IS NULL", &[0, 1, 2, 3]),
        ("regexp_like(Name, '^[ab]$')", &[0, 1]),
        ("starts_with(Name, 'd')", &[3]),
        ("concat(Name, '-', who.name) = 'a-ann'", &[0]),
    ] {
        assert_eq!(evaluate(text).unwrap(), want, "{text}");
        assert_eq!(undecided(text, &events()).0, [0_usize; 0], "{text}");
    }
}

#[test]
fn what_fails_is_told_where_it_would_have_decided() {
    let batch = events();
    let of = |text: &str| undecided(text, &batch).0;
    assert_eq!(of("6 / (id.port - 2) >= 6"), [1]);
    assert_eq!(of("NOT (6 / (id.port - 2) >= 6)"), [1]);
    assert_eq!(of("6 / (id.port - 2) >= 6 AND Name = 'b'"), [1]);
    // Something else decides.
    let none = [0_usize; 0];
    assert_eq!(of("6 / (id.port - 2) >= 6 OR Name = 'b'"), none);
    assert_eq!(of("id.port <> 2 AND 6 / (id.port - 2) >= 6"), none);
    assert_eq!(of("6 / (id.port - 2) >= 6 AND Name = 'a'"), none);
    assert_eq!(of("Name = 'q' AND 6 / (id.port - 2) >= 6"), none);
    // Unknown is not true, so it is not what fails that keeps an event from matching here, or it is.
    let not_true = "(6 / (id.port - 2) >= 6) IS NOT TRUE";
    assert_eq!(evaluate(not_true).unwrap(), [0, 1, 3]);
    assert_eq!(of(not_true), none);
    let and_small = format!("{not_true} AND 6 / (id.port - 2) < 3");
    assert_eq!(of(&and_small), [1]);
    // What cannot be converted is NULL, and NULL is no failure.
    assert_eq!(of("CAST(Name AS INT) > 1 OR id.port > 2"), none);
    let (_, reason) = undecided("6 / (id.port - 2) >= 6", &batch);
    assert_eq!(reason, "Arrow error: Divide by zero error");
}

#[test]
fn what_fails_for_a_value_fails_for_each_event_with_it() {
    let texts = ["ff", "zz", "ff", "0f", "zz", "ff"];
    let mut texts: Vec<Option<&str>> = texts.into_iter().map(Some).collect();
    texts.push(None);
    let values: DictionaryArray<Int32Type> = texts.into_iter().collect();
    let batch =
        RecordBatch::try_from_iter_with_nullable(vec![("hex", Arc::new(values) as ArrayRef, true)]);
    let batch = batch.unwrap();
    let rows = |text: &str| undecided(text, &batch).0;
    assert_eq!(rows("encode(decode(hex, 'hex'), 'hex') <> ''"), [1, 4]);
    assert_eq!(
        rows("encode(decode(coalesce(hex, 'x'), 'hex'), 'hex') <> ''"),
        [1, 4, 6]
    );
    assert_eq!(
        rows("encode(decode(coalesce(hex, 'ff'), 'hex'), 'hex') <> ''"),
        [1, 4]
    );
    assert_eq!(rows("6 / (octet_length(hex) - 2) = 1"), [0, 1, 2, 3, 4, 5]);
    let matched = matches("encode(decode(hex, 'hex'), 'hex') <> ''", &batch).unwrap();
    let matched: Vec<usize> = matched.rules[0].1.set_indices().collect();
    assert_eq!(matched, [0, 2, 3, 5]);
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    for (text, want) in [
        ("Name =", "is not a SQL condition"),
        ("Name ~ 'a('", "'a(' is not a regular expression"),
        (
            "regexp_like(Name, 'a(')",
            "'a(' is not a regular expression",
        ),
        ("id.port", "not a truth value"),
        ("Nmae = 'a'", "did you mean `Name`?"),
        ("Name = 'a' AND random() > 0.5", "`random`"),
        ("sum(id.port) > 1", "aggregate `sum`"),
        ("EXISTS (SELECT 1)", "subquery"),
        (
            "repeat(Name, 2000000000) = 'a'",
            "more of an event than memory",
        ),
        (
            "lpad(Name, 2000000000) = 'a'",
            "more of an event than memory",
        ),
        (
            "list_repeat(Name, 2000000000) IS NULL",
            "more of an event than memory",
        ),
        ("rpad(Name, -1) = 'a'", "more of an event than memory"),
        ("encode(Name, Name) = 'a'", "not yet supported"),
        ("ceil(id.port, 2) = 1", "CEIL with scale is not supported"),
        ("id.port.x = 1", "has no fields"),
        ("frobnicate(Name) = 'a'", "frobnicate"),
    ] {
        let message = evaluate(text).unwrap_err().to_string();
        assert!(message.contains(want), "{text}: {message}");
    }
}

#[test]
fn what_a_condition_makes_of_an_event_has_a_bound() {
    let within = |outer: &str, rest: &str, times: usize| {
        format!("{}Name{}", outer.repeat(times), rest.repeat(times))
    };
    let long = "x".repeat(200);
    for text in [
        within("replace(", ", 'a', 'abc')", 4),
        within("replace(", ", '^', ' ')", 40),
        within("replace(", ", 'a', '')", 40),
        within("encode(", ", 'hex')", 6),
        within("regexp_replace(", ", '[0-9]+', '#', 'g')", 6),
        within("regexp_replace(", ", '[0-9]+', '<number>')", 6),
        "regexp_match(Name, '^(a)(b(c))')[1]".to_owned(),
        "to_char(CAST(id.port AS TIMESTAMP), '%H:%M')".to_owned(),
        "split_part(Name, '/', 2)".to_owned(),
        "CASE WHEN Name = 'a' THEN upper(user) ELSE coalesce(user, Name) END".to_owned(),
        format!(
            "array_has(make_array({}), Name)",
            vec!["'10.0.0.1'"; 5_000].join(", ")
        ),
        within("upper(", ")", 40),
        within("concat('a', ", ")", 40),
        "concat_ws('/', Name, user, who.name)".to_owned(),
        "Name || user || body".to_owned(),
        "array_to_string(string_to_array(Name, ','), '; ')".to_owned(),
        "lpad(Name, 1000)".to_owned(),
        vec!["Name = 'a'"; 400].join(" OR "),
        "arrow_cast(id.port, 'Utf8')".to_owned(),
        "CAST(id.port AS VARCHAR)".to_owned(),
    ] {
        let evaluated = matches(&format!("({text}) IS NOT NULL"), &events());
        assert!(evaluated.is_ok(), "{text}: {evaluated:?}");
    }
    for text in [
        within("replace(", ", 'a', 'abc')", 5),
        within("encode(", ", 'hex')", 7),
        within("regexp_replace(", ", '', 'ab', 'g')", 5),
        within("regexp_replace(", ", '(.*)', '\\1\\1\\1')", 5),
        within("regexp_replace(", ", '', 'ab', 'g')", 20).replace("Name", "''"),
        within("array_to_string(regexp_match(", ", '((((.*))))'), '')", 4),
        within("CAST(string_to_array(", ", NULL) AS VARCHAR)", 5),
        within("arrow_cast(string_to_array(", ", NULL), 'Utf8')", 5),
        vec!["body"; 101].join(" || "),
        format!(
            "array_to_string(make_array({}), '{long}')",
            vec!["''"; 2_000].join(", ")
        ),
        format!(
            "arrays_zip(string_to_array(Name, NULL), {})",
            vec!["make_array()"; 101].join(", ")
        ),
        within("concat_ws(", ", 'a', 'b', 'c', 'd')", 4),
        within("array_to_string(string_to_array(", ", NULL), '---')", 4),
        format!("replace(Name, 'a', '{long}')"),
        "replace(Name, 'a', user)".to_owned(),
        "regexp_replace(Name, '.', 1111111111111111111, 'g')".to_owned(),
        "regexp_match(Name, user)".to_owned(),
        "regexp_replace(Name, 'a', user)".to_owned(),
        "array_to_string(string_to_array(Name, NULL), user)".to_owned(),
        "array_replace_all(string_to_array(Name, NULL), 'a', user)".to_owned(),
        within("replace(", ", 'a', lpad('', 1000, 'a'))", 4),
        "concat(repeat(Name, 3), 'a')".to_owned(),
        "lpad(Name, 1001)".to_owned(),
        "lpad(Name, id.port)".to_owned(),
        "arrow_cast(Name, 'FixedSizeBinary(2000000000)')".to_owned(),
        "arrow_cast(Name, 'List(FixedSizeList(2000000000 x Utf8))')".to_owned(),
        "[1]::int[2000000000]".to_owned(),
    ] {
        let error = matches(&format!("({text}) IS NOT NULL"), &events()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("than memory holds"), "{text}: {error}");
    }
}

#[test]
fn no_call_of_a_function_panics() {
    let few = ["Name", "id.port", "-1", "9223372036854775807"];
    let many = [
        "who",
        "CAST(id.port AS TIMESTAMP)",
        "[1, 2]",
        "'day'",
        "NULL",
    ];
    let all = few.iter().chain(&many);
    let mut calls = vec![String::new()];
    for a in all.clone() {
        calls.push((*a).to_owned());
        calls.extend(all.clone().map(|b| format!("{a}, {b}")));
    }
    for a in few {
        for b in few {
            calls.extend(few.map(|c| format!("{a}, {b}, {c}")));
        }
    }
    let batch = events();
    let state = crate::session(SessionConfig::new()).state();
    let functions = state.scalar_functions();
    assert!(functions.len() > 200);
    for name in functions.keys() {
        for call in &calls {
            let text = format!("{name}({call}) IS NOT NULL");
            let evaluated = catch_unwind(AssertUnwindSafe(|| matches(&text, &batch)));
            let evaluated = evaluated.unwrap_or_else(|_| panic!("{text} panics"));
            for undecided in evaluated.map_or_else(|_| Vec::new(), |evaluated| evaluated.undecided)
            {
                let reason = undecided.reason;
                assert!(!reason.contains("Internal error"), "{text}: {reason}");
            }
        }
    }
}

#[test]
fn an_expression_is_asked_at_each_place_where_an_event_has_the_field() {
    // In a column, inside another one, and in `unmapped`: of each event elsewhere, of one in two places, of one nowhere.
    let texts =
        |values: [Option<&str>; 6]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let batch = RecordBatch::try_from_iter_with_nullable(vec![
        (
            "a.b",
            texts([
                Some("evil-1"),
                None,
                None,
                Some("good-1"),
                Some("good-2"),
                None,
            ]),
            true,
        ),
        (
            "a",
            texts([
                None,
                Some(r#"{"b": "evil-2"}"#),
                None,
                Some(r#"{"b": "evil-3"}"#),
                None,
                None,
            ]),
            true,
        ),
        (
            "unmapped",
            texts([
                None,
                None,
                Some(r#"{"a": {"b": "evil-4"}, "n": "7"}"#),
                None,
                None,
                None,
            ]),
            true,
        ),
        (
            "n",
            Arc::new(Int64Array::from(vec![
                Some(7),
                Some(8),
                None,
                None,
                None,
                None,
            ])) as ArrayRef,
            true,
        ),
    ])
    .unwrap();
    let rows = |text: &str| -> Vec<usize> {
        let matches = matches(text, &batch).unwrap();
        let rules = matches.rules.first();
        rules.map_or_else(Vec::new, |(_, rows)| rows.set_indices().collect())
    };
    for text in [
        "substr(a.b, 1, 4) = 'evil'",
        "a.b || '!' LIKE 'evil%'",
        "length(a.b) = 6 AND strpos(a.b, 'evil') = 1",
    ] {
        assert_eq!(rows(text), [0, 1, 2, 3], "{text}");
        // False is what is true of no value. What an event has nowhere is unknown.
        let not = format!("NOT ({text})");
        assert_eq!(rows(&not), [4], "{not}");
        let is_not = format!("({text}) IS NOT TRUE");
        assert_eq!(rows(&is_not), [4, 5], "{is_not}");
    }
    assert_eq!(rows("coalesce(a.b, 'none') = 'none'"), [5]);
    // A value of another type counts as the one that it stands for.
    assert_eq!(rows("n % 2 = 1"), [0, 2]);
    assert_eq!(rows("substr(a.b, 1, 4) = 'evil' AND n % 2 = 1"), [0, 2]);
    assert_eq!(rows("concat(substr(a.b, 1, 4), n % 2) = 'evil1'"), [0, 2]);
}
