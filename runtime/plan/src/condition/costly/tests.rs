use std::time::Instant;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::prelude::SessionConfig;
use yagura_rules::predicate::Evaluated;
use yagura_rules::{Matches, Methods, PrefilterState, Program};

use super::*;
use crate::condition::{ConditionError, WhereCondition};

/// Columns of text, one value of each a row.
fn events(rows: &[(&str, &str)]) -> RecordBatch {
    let column = |of: fn(&(&str, &str)) -> String| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| Some(of(row)))
                .collect::<StringArray>(),
        )
    };
    let columns = vec![
        ("s", column(|row| row.0.to_owned()), true),
        ("t", column(|row| row.1.to_owned()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn matches(text: &str, batch: &RecordBatch) -> Result<Matches, ConditionError> {
    let state = crate::session(SessionConfig::new()).state();
    let condition = WhereCondition::parse(text, &batch.schema(), &[])?;
    let compiled = condition.compile(&state, &batch.schema())?;
    let rules = [compiled.predicate];
    let program = Program::compile(&batch.schema(), &rules, Methods::default()).unwrap();
    let mut prefilter = PrefilterState::new(&program);
    Ok(program.evaluate(&mut prefilter, batch).unwrap())
}

/// Returns the rows that match, those that the condition cannot decide on, and why.
fn evaluate(text: &str, batch: &RecordBatch) -> (Vec<usize>, Vec<usize>, String) {
    let matches = matches(text, batch).unwrap_or_else(|error| panic!("{text}: {error}"));
    let rows = |rows: &datafusion::arrow::buffer::BooleanBuffer| rows.set_indices().collect();
    let undecided = matches.undecided.first();
    (
        matches
            .rules
            .first()
            .map_or_else(Vec::new, |(_, of)| rows(of)),
        undecided.map_or_else(Vec::new, |of| rows(&of.rows)),
        undecided.map_or_else(String::new, |of| of.reason.clone()),
    )
}

fn refused(text: &str) -> String {
    let refused = matches(text, &events(&[("a", "b")]));
    match refused {
        Ok(_) => panic!(
            "{} is not refused",
            text.chars().take(200).collect::<String>()
        ),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_pattern_out_of_the_event_is_refused() {
    for text in [
        "regexp_like(s, s)",
        "regexp_like(s, concat('a', t))",
        "regexp_like(s, 'a', t)",
        "regexp_count(s, t) > 1",
        "regexp_count(s, 'a', 1, t) > 1",
        "regexp_instr(s, t) > 1",
        "regexp_match(s, lower('a')) IS NOT NULL",
        "regexp_replace(s, t, 'a') = 'a'",
        "s ~ t",
        "s ~* t",
        "s !~ t",
        "s SIMILAR TO t",
        "NOT (CASE WHEN s = 'a' THEN s ~ t ELSE false END)",
    ] {
        let message = refused(text);
        assert!(message.contains("not written out"), "{text}: {message}");
        let is_told = message.contains("write it as one text") || message.contains("than memory");
        assert!(is_told, "{text}: {message}");
    }
    let batch = events(&[("abc", "x"), ("ABC", "y"), ("d", "z")]);
    for (text, want) in [
        ("regexp_like(s, '^ab')", vec![0]),
        ("regexp_like(s, '^ab', 'i')", vec![0, 1]),
        ("s ~* 'B'", vec![0, 1]),
        ("regexp_count(s, '[a-z]') = 3", vec![0]),
        ("s SIMILAR TO 'd'", vec![2]),
        ("regexp_like(s, NULL)", vec![]),
    ] {
        assert_eq!(evaluate(text, &batch).0, want, "{text}");
    }
}

#[test]
fn the_patterns_of_a_condition_are_bounded_together_before_they_are_compiled() {
    let started = Instant::now();
    let many = vec![r"s ~ '\pL{40}'"; 300].join(" OR ");
    let many_groups = vec![r"parse_regex(s, '\pL{40}', 0) = 'a'"; 300].join(" OR ");
    let names = "%{URI:a} ".repeat(10);
    let many_names = vec![format!("parse_grok(s, '{names}', 'a') = 'a'"); 300].join(" OR ");
    let each_batch = r"regexp_count(s, '\pL{60}') > 1".to_owned();
    for text in [
        r"regexp_like(s, '\pL{500}')".to_owned(),
        r"s ~ '((a{100}){100}){100}'".to_owned(),
        r"s SIMILAR TO '\w{1000}'".to_owned(),
        r"regexp_like(s, '(([a-z]{30}){30}){200}', 'i')".to_owned(),
        format!("s LIKE '{}'", "_".repeat(40_000)),
        many,
        many_groups,
        many_names,
        each_batch,
    ] {
        let message = refused(&text);
        let start: String = text.chars().take(80).collect();
        assert!(message.contains("is the maximum"), "{start}: {message}");
        assert!(message.len() < 600, "{message}");
    }
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    let honest = r"s ~ '\w{1,20}@\w{1,20}' OR t ~ '(\d{1,3}\.){3}\d{1,3}' OR s ~ '[A-Za-z0-9+/]{200,}={0,2}'";
    assert!(matches(honest, &events(&[("a", "b")])).is_ok());
}

#[test]
fn a_costly_call_fails_for_the_event_that_it_is_too_costly_for_and_no_other() {
    let long = "x".repeat(300_000);
    let list = vec!["y"; 2_000].join(",");
    let batch = events(&[
        ("google.com", "gooogle.com"),
        (&long, &long),
        ("microsoft.com", "micros0ft.com"),
        (&list, &list),
        ("a", &long),
    ]);
    for (text, matched, failed, name) in [
        (
            "levenshtein(s, t) = 1",
            vec![0, 2],
            vec![1, 3, 4],
            "`levenshtein`",
        ),
        (
            "levenshtein(left(s, 99), left(t, 99)) < 2",
            vec![0, 1, 2, 3],
            vec![],
            "",
        ),
        (
            "levenshtein(s, 'google.com') < 3",
            vec![0],
            vec![1],
            "`levenshtein`",
        ),
        ("btrim(s, t) = ''", vec![], vec![1, 3], "`btrim`"),
        ("ltrim(s, 'x') = ''", vec![1], vec![], ""),
        (
            "s LIKE concat('%', t, '%', t, '%')",
            vec![],
            vec![1, 3],
            "`LIKE`",
        ),
        ("s NOT LIKE t", vec![0, 2, 4], vec![1, 3], "`LIKE`"),
        (
            "array_has_any(string_to_array(s, ','), string_to_array(t, ','))",
            vec![],
            vec![3],
            "`array_has_any`",
        ),
        (
            "array_has_any(string_to_array(s, ','), make_array('y', 'a'))",
            vec![3, 4],
            vec![],
            "",
        ),
        (
            "regexp_count(s, 'x.*z|x') > 0",
            vec![],
            vec![1],
            "`regexp_count`",
        ),
        ("regexp_count(s, 'x+') > 0", vec![1], vec![], ""),
        (
            "regexp_replace(s, 'x.*z|x', '', 'g') = ''",
            vec![],
            vec![1],
            "`regexp_replace`",
        ),
        ("regexp_replace(s, 'x.*z|x', '') = ''", vec![], vec![], ""),
    ] {
        let started = Instant::now();
        let (found, undecided, reason) = evaluate(text, &batch);
        assert!(
            started.elapsed().as_secs() < 10,
            "{text}: {:?}",
            started.elapsed()
        );
        assert_eq!(undecided, failed, "{text}: {reason}");
        assert!(reason.contains(name), "{text}: {reason}");
        if !name.is_empty() {
            assert!(reason.contains("shorten them"), "{text}: {reason}");
        }
        if !matched.is_empty() {
            assert_eq!(found, matched, "{text}");
        }
    }
}

#[test]
fn all_calls_of_a_condition_share_their_steps() {
    let (s, t) = ("x".repeat(300), "y".repeat(300));
    let batch = events(&[(&s, &t)]);
    let one = "levenshtein(s, t) = 300";
    assert_eq!(evaluate(one, &batch).0, [0]);
    let two = format!("{one} AND {one}");
    let (_, undecided, reason) = evaluate(&two, &batch);
    assert_eq!(undecided, [0], "{reason}");
    assert!(reason.contains("65,536 steps"), "{reason}");
    // Each value that it is compared with has a copy of it.
    let (_, undecided, _) = evaluate("levenshtein(s, t) BETWEEN 1 AND 900", &batch);
    assert_eq!(undecided, [0]);
    // Similar names of twenty brands are still found.
    let brands: Vec<String> = (0..20)
        .map(|number| format!("levenshtein(s, 'brand-{number:02}.example') BETWEEN 1 AND 2"))
        .collect();
    let near = events(&[("brnad-07.example", "")]);
    assert_eq!(evaluate(&brands.join(" OR "), &near).0, [0]);
}

#[test]
fn copies_within_copies_are_refused_before_they_are_made() {
    let started = Instant::now();
    let nested = |open: &str, close: &str, times: usize| {
        format!("{}length(s){} = 1", open.repeat(times), close.repeat(times))
    };
    for text in [
        nested("CAST(", " BETWEEN 0 AND 1 AS INT)", 30),
        nested("CAST(", " IN (1, true, 3) AS INT)", 30),
        nested("CASE ", " WHEN '1' THEN 1 WHEN 2 THEN 2 END", 20),
    ] {
        let message = refused(&text);
        assert!(message.contains("copies"), "{text}: {message}");
    }
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    let few = nested("CAST(", " BETWEEN 0 AND 1 AS INT)", 3);
    assert!(matches(&few, &events(&[("a", "b")])).is_ok());
    let list: Vec<String> = (0..20_000).map(|number| format!("'{number}'")).collect();
    let list = format!("lower(s) IN ({})", list.join(", "));
    assert_eq!(evaluate(&list, &events(&[("7", ""), ("x", "")])).0, [0]);
}

/// The list at the head of this module is whole: whatever a function is given, it takes little time, or it is not evaluated.
#[test]
fn no_function_takes_long_for_an_event() {
    let long = "aaaaaaaaa,".repeat(20_000);
    let batch = events(&[(&long, &long)]);
    let state = crate::session(SessionConfig::new()).state();
    let list = "string_to_array(s, ',')";
    let calls = [
        "s".to_owned(),
        "s, t".to_owned(),
        "s, 'a', t".to_owned(),
        "s, t, 'a'".to_owned(),
        "s, t, t".to_owned(),
        "s, '[a-z]+,?', 'x', 'g'".to_owned(),
        "s, '(a.*z)|a', 'x', 'g'".to_owned(),
        "s, '(a.*z)|a'".to_owned(),
        "s, '(a.*z)|a', 1".to_owned(),
        "s, '(?:[a-z]?[,a]?){1000}x|a', 0".to_owned(),
        "s, '%{URI:a}|%{GREEDYDATA:a}%{WORD}x', 'a'".to_owned(),
        list.to_owned(),
        format!("{list}, {list}"),
        format!("{list}, s"),
        format!("s, {list}"),
        format!("{list}, 'a', {list}"),
        format!("{list}, s, t"),
        format!("{list}, s, 1000000"),
    ];
    let mut slow = Vec::new();
    for name in state.scalar_functions().keys() {
        for call in &calls {
            let text = format!("{name}({call}) IS NOT NULL");
            let Ok(condition) = WhereCondition::parse(&text, &batch.schema(), &[]) else {
                continue;
            };
            let Ok(compiled) = condition.compile(&state, &batch.schema()) else {
                continue;
            };
            let started = Instant::now();
            compiled.predicate.others(&mut |other| {
                let columns = other
                    .columns
                    .iter()
                    .filter_map(|name| batch.column_by_name(name));
                let columns: Vec<ArrayRef> = columns.cloned().collect();
                let evaluated: Evaluated = other.evaluate.evaluate(&columns, 1).unwrap();
                assert_eq!(evaluated.truth.len(), 1);
            });
            if started.elapsed().as_millis() > 2_000 {
                slow.push(format!("{text}: {:?}", started.elapsed()));
            }
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}
