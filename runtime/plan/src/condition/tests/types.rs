//! All Arrow types, all operators, all kinds of literals: atoms, expressions and `docs/authors/types.md` say the same.

use std::cmp::Ordering;

use datafusion::arrow::array::*;
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{Int8Type, i256};

use super::*;

/// A value as the documentation sees it.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Text(String),
    Number(&'static str),
    Truth(bool),
    /// Seconds of a moment, of a date, or of a day.
    Time(Clock, i64),
    /// Anything else, as text.
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Clock {
    Moment,
    Day,
}

use Value::{Null, Number as Num, Other, Text, Time, Truth};

/// Whether two values are equal, in order, or neither.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Known(Ordering),
    Unknown,
    /// No value of the column's type is what the rule writes.
    Never,
}

/// A number times 10^6; larger than every number of a column where it does not fit.
fn micro(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(mantissa) = digits.strip_suffix("e400") {
        return mantissa.parse::<i128>().ok().map(|_| sign * i128::MAX);
    }
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<u32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty())
        && whole
            .chars()
            .chain(fraction.chars())
            .all(|c| c.is_ascii_digit());
    let all = is_number.then(|| format!("{whole}{fraction:0<6}"))?;
    Some(sign * all.parse::<i128>().ok()? * 10_i128.pow(exponent))
}

fn truth(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

fn time(text: &str, clock: Clock) -> Option<i64> {
    match (text, clock) {
        ("2026-01-01", Clock::Moment) => Some(1_767_225_600),
        ("10:00:00", Clock::Day) => Some(36_000),
        _ => None,
    }
}

fn outcome(value: &Value, literal: &Value) -> Outcome {
    let known = |order: Option<Ordering>, or: Outcome| order.map_or(or, Outcome::Known);
    match (value, literal) {
        (Null, _) | (_, Null) => Outcome::Unknown,
        (Text(a) | Other(a), Text(b)) => Outcome::Known(a.cmp(b)),
        (Text(a), Num(b)) => known(
            micro(a).map(|a| a.cmp(&micro(b).unwrap())),
            Outcome::Unknown,
        ),
        (Text(a), Truth(b)) => known(truth(a).map(|a| a.cmp(b)), Outcome::Unknown),
        (Num(a), Num(b)) => Outcome::Known(micro(a).cmp(&micro(b))),
        (Num(a), Text(b)) => known(micro(b).map(|b| micro(a).unwrap().cmp(&b)), Outcome::Never),
        (Truth(a), Truth(b)) => Outcome::Known(a.cmp(b)),
        (Truth(a), Text(b)) => known(truth(b).map(|b| a.cmp(&b)), Outcome::Never),
        (Time(clock, a), Text(b)) => known(time(b, *clock).map(|b| a.cmp(&b)), Outcome::Never),
        _ => Outcome::Never,
    }
}

/// Returns whether a condition with this operator is true of an event.
fn is_true(value: &Value, op: &str, literal: &Value) -> bool {
    let outcome = outcome(value, literal);
    let known = |of: fn(Ordering) -> bool| matches!(outcome, Outcome::Known(order) if of(order));
    let is_distinct = match (value, literal) {
        (Null, Null) => false,
        _ => outcome != Outcome::Known(Ordering::Equal),
    };
    match op {
        "=" | "IN" => known(Ordering::is_eq),
        "<>" | "NOT =" | "NOT IN" => known(Ordering::is_ne) || outcome == Outcome::Never,
        "<" => known(Ordering::is_lt),
        "<=" | "NOT >" => known(Ordering::is_le),
        ">" => known(Ordering::is_gt),
        ">=" => known(Ordering::is_ge),
        "IS DISTINCT FROM" => is_distinct,
        "IS NOT DISTINCT FROM" => !is_distinct,
        "BETWEEN" => known(Ordering::is_eq),
        "NOT BETWEEN" => known(Ordering::is_ne),
        other => panic!("{other}"),
    }
}

fn condition(field: &str, op: &str, literal: &str) -> String {
    match op {
        "IN" => format!("{field} IN ({literal})"),
        "NOT IN" => format!("{field} NOT IN ({literal})"),
        "NOT =" => format!("NOT ({field} = {literal})"),
        "NOT >" => format!("NOT ({literal} < {field})"),
        "BETWEEN" | "NOT BETWEEN" => format!("{field} {op} {literal} AND {literal}"),
        op => format!("{field} {op} {literal}"),
    }
}

const OPERATORS: [&str; 14] = [
    "=",
    "<>",
    "NOT =",
    "<",
    "<=",
    "NOT >",
    ">",
    ">=",
    "IN",
    "NOT IN",
    "BETWEEN",
    "NOT BETWEEN",
    "IS DISTINCT FROM",
    "IS NOT DISTINCT FROM",
];

fn literals() -> Vec<(&'static str, Value)> {
    let text = |text: &str| Text(text.to_owned());
    vec![
        ("'abc'", text("abc")),
        ("'3'", text("3")),
        ("'3.0'", text("3.0")),
        ("' 3'", text(" 3")),
        ("'infinity'", text("infinity")),
        ("'true'", text("true")),
        ("'TRUE'", text("TRUE")),
        ("''", text("")),
        ("'2026-01-01'", text("2026-01-01")),
        ("'10:00:00'", text("10:00:00")),
        ("'[1,2]'", text("[1,2]")),
        ("3", Num("3")),
        ("-1", Num("-1")),
        ("3.5", Num("3.5")),
        ("300", Num("300")),
        ("9223372036854775807", Num("9223372036854775807")),
        ("18446744073709551614", Num("18446744073709551614")),
        ("18446744073709551615", Num("18446744073709551615")),
        ("18446744073709551616", Num("18446744073709551616")),
        ("-18446744073709551616", Num("-18446744073709551616")),
        ("9007199254740993.5", Num("9007199254740993.5")),
        ("1e400", Num("1e400")),
        ("true", Truth(true)),
        ("false", Truth(false)),
        ("NULL", Null),
    ]
}

/// Columns of every type with what their values mean; the last value of each is absent.
fn columns() -> Vec<(String, ArrayRef, Vec<Value>)> {
    let texts = [
        "abc",
        "3",
        "3.0",
        " 3",
        "0x10",
        "infinity",
        "NaN",
        "true",
        "False",
        "",
        "-1",
        "1e2",
        "18446744073709551615",
        "9007199254740993",
        "9007199254740993.5",
        "2026-01-01",
        "[1,2]",
    ];
    let mut of_text: Vec<Value> = texts.iter().map(|text| Text((*text).to_owned())).collect();
    of_text.push(Null);
    let some: Vec<Option<&str>> = texts.iter().map(|text| Some(*text)).chain([None]).collect();
    let json = |text: &Option<&str>| {
        Some(format!(
            r#"{{"v":{}}}"#,
            text.map_or("null".to_owned(), |text| format!("{text:?}"))
        ))
    };
    let mut all: Vec<(&str, ArrayRef, Vec<Value>)> = vec![
        (
            "utf8",
            Arc::new(StringArray::from(some.clone())),
            of_text.clone(),
        ),
        (
            "large",
            Arc::new(LargeStringArray::from(some.clone())),
            of_text.clone(),
        ),
        (
            "view",
            Arc::new(StringViewArray::from(some.clone())),
            of_text.clone(),
        ),
        (
            "dictionary",
            Arc::new(some.iter().copied().collect::<DictionaryArray<Int8Type>>()),
            of_text.clone(),
        ),
        (
            "body.v",
            Arc::new(some.iter().map(json).collect::<StringArray>()),
            of_text.clone(),
        ),
        (
            "struct.v",
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("v", DataType::Utf8, true)),
                Arc::new(StringArray::from(some.clone())) as ArrayRef,
            )])),
            of_text,
        ),
        (
            "boolean",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            vec![Truth(true), Truth(false), Null],
        ),
        (
            "json.n",
            Arc::new(StringArray::from(vec![
                r#"{"n":3}"#,
                r#"{"n":3.50}"#,
                r#"{"n":18446744073709551615}"#,
                r#"{"n":true}"#,
                r#"{"n":{"m":3}}"#,
                r#"{"n":null}"#,
                "not json",
            ])),
            vec![
                Text("3".into()),
                Text("3.50".into()),
                Text("18446744073709551615".into()),
                Text("true".into()),
                Text(r#"{"m":3}"#.into()),
                Null,
                Null,
            ],
        ),
    ];
    let few = vec![Num("3"), Num("-1"), Num("100"), Null];
    macro_rules! signed {
        ($name:literal, $array:ident) => {
            all.push((
                $name,
                Arc::new($array::from(vec![Some(3), Some(-1), Some(100), None])),
                few.clone(),
            ));
        };
    }
    signed!("int8", Int8Array);
    signed!("int16", Int16Array);
    signed!("int32", Int32Array);
    all.push((
        "int64",
        Arc::new(Int64Array::from(vec![
            Some(3),
            Some(i64::MAX),
            Some(9_007_199_254_740_993),
            None,
        ])),
        vec![
            Num("3"),
            Num("9223372036854775807"),
            Num("9007199254740993"),
            Null,
        ],
    ));
    let few = vec![Num("3"), Num("0"), Num("200"), Null];
    macro_rules! unsigned {
        ($name:literal, $array:ident) => {
            all.push((
                $name,
                Arc::new($array::from(vec![Some(3), Some(0), Some(200), None])),
                few.clone(),
            ));
        };
    }
    unsigned!("uint8", UInt8Array);
    unsigned!("uint16", UInt16Array);
    unsigned!("uint32", UInt32Array);
    all.push((
        "uint64",
        Arc::new(UInt64Array::from(vec![
            Some(3),
            Some(u64::MAX),
            Some(u64::MAX - 1),
            None,
        ])),
        vec![
            Num("3"),
            Num("18446744073709551615"),
            Num("18446744073709551614"),
            Null,
        ],
    ));
    let few = vec![Num("3"), Num("3.5"), Num("-1"), Null];
    all.push((
        "float32",
        Arc::new(Float32Array::from(vec![
            Some(3.0),
            Some(3.5),
            Some(-1.0),
            None,
        ])),
        few.clone(),
    ));
    all.push((
        "float64",
        Arc::new(Float64Array::from(vec![
            Some(3.0),
            Some(3.5),
            Some(-1.0),
            None,
        ])),
        few.clone(),
    ));
    let decimal = Decimal128Array::from(vec![Some(300), Some(350), Some(-100), None]);
    let decimal = decimal.with_precision_and_scale(9, 2).unwrap();
    all.push(("decimal128", Arc::new(decimal), few.clone()));
    let wide = [300, 350, -100].map(|value| Some(i256::from(value)));
    let wide = Decimal256Array::from(wide.into_iter().chain([None]).collect::<Vec<_>>());
    let wide = wide.with_precision_and_scale(50, 2).unwrap();
    all.push(("decimal256", Arc::new(wide), few));
    let day = 1_767_225_600;
    let times = vec![
        Time(Clock::Moment, day),
        Time(Clock::Moment, day + 86_400),
        Null,
    ];
    let in_units = |factor: i64| vec![Some(day * factor), Some((day + 86_400) * factor), None];
    all.push((
        "date32",
        Arc::new(Date32Array::from(vec![Some(20_454), Some(20_455), None])),
        times.clone(),
    ));
    all.push((
        "date64",
        Arc::new(Date64Array::from(in_units(1_000))),
        times.clone(),
    ));
    all.push((
        "seconds",
        Arc::new(TimestampSecondArray::from(in_units(1))),
        times.clone(),
    ));
    all.push((
        "millis",
        Arc::new(TimestampMillisecondArray::from(in_units(1_000))),
        times.clone(),
    ));
    let micros = || TimestampMicrosecondArray::from(in_units(1_000_000));
    all.push(("micros", Arc::new(micros()), times.clone()));
    all.push((
        "zoned",
        Arc::new(micros().with_timezone("UTC")),
        times.clone(),
    ));
    all.push((
        "nanos",
        Arc::new(TimestampNanosecondArray::from(in_units(1_000_000_000))),
        times,
    ));
    let clock = vec![Time(Clock::Day, 36_000), Time(Clock::Day, 3), Null];
    all.push((
        "time32",
        Arc::new(Time32SecondArray::from(vec![Some(36_000), Some(3), None])),
        clock.clone(),
    ));
    all.push((
        "time64",
        Arc::new(Time64MicrosecondArray::from(vec![
            Some(36_000_000_000),
            Some(3_000_000),
            None,
        ])),
        clock,
    ));
    let bytes: Vec<Option<&[u8]>> = vec![Some(b"abc"), Some(b"3"), None];
    let item = || Arc::new(Field::new("item", DataType::Int32, true));
    let items = || Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
    let nulls = || Some(NullBuffer::from(vec![true, true, false]));
    let others: Vec<(&str, ArrayRef)> = vec![
        ("binary", Arc::new(BinaryArray::from(bytes.clone()))),
        (
            "large_binary",
            Arc::new(LargeBinaryArray::from(bytes.clone())),
        ),
        ("binary_view", Arc::new(BinaryViewArray::from(bytes))),
        (
            "uuid",
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    [Some([7_u8; 16]), Some([8; 16]), None].into_iter(),
                    16,
                )
                .unwrap(),
            ),
        ),
        (
            "duration",
            Arc::new(DurationSecondArray::from(vec![Some(3), Some(60), None])),
        ),
        (
            "months",
            Arc::new(IntervalYearMonthArray::from(vec![Some(3), Some(60), None])),
        ),
        (
            "list",
            Arc::new(ListArray::new(
                item(),
                OffsetBuffer::from_lengths([2, 1, 1]),
                items(),
                nulls(),
            )),
        ),
        (
            "large_list",
            Arc::new(LargeListArray::new(
                item(),
                OffsetBuffer::from_lengths([2, 1, 1]),
                items(),
                nulls(),
            )),
        ),
        (
            "fixed_list",
            Arc::new(FixedSizeListArray::new(
                item(),
                2,
                Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5, 6])),
                nulls(),
            )),
        ),
        (
            "object",
            Arc::new(StructArray::new(
                vec![Field::new("a", DataType::Int32, true)].into(),
                vec![Arc::new(Int32Array::from(vec![1, 2, 3]))],
                nulls(),
            )),
        ),
        ("nothing", Arc::new(NullArray::new(3))),
    ];
    let mut all: Vec<(String, ArrayRef, Vec<Value>)> = all
        .into_iter()
        .map(|(name, array, values)| (name.to_owned(), array, values))
        .collect();
    for (name, array) in others {
        // How each of these is written as text is `render_text`'s to say.
        let Ok(text) = yagura_rules::render_text(&array) else {
            continue;
        };
        let text = text.as_string::<i32>().iter();
        let values = text.map(|text| text.map_or(Null, |text| Other(text.to_owned())));
        all.push((name.to_owned(), array.clone(), values.collect()));
    }
    all
}

/// Returns the rows that each condition matches, all evaluated as the rules of one table.
fn rows(conditions: &[String], batch: &RecordBatch) -> Vec<Vec<usize>> {
    let state = crate::session(Default::default()).state();
    let rules: Vec<Predicate> = conditions
        .iter()
        .map(|text| {
            let condition = WhereCondition::parse(text, &batch.schema(), &[]).unwrap();
            let compiled = condition.compile(&state, &batch.schema());
            compiled
                .unwrap_or_else(|error| panic!("{text}: {error}"))
                .predicate
        })
        .collect();
    let program = Program::compile(&batch.schema(), &rules, Methods::default()).unwrap();
    let mut prefilter = PrefilterState::new(&program);
    let matches = program.evaluate(&mut prefilter, batch).unwrap();
    if let Some(undecided) = matches.undecided.first() {
        panic!("{}: {}", conditions[undecided.rule], undecided.reason);
    }
    let mut rows = vec![Vec::new(); conditions.len()];
    for (rule, of_rule) in &matches.rules {
        rows[*rule] = of_rule.set_indices().collect();
    }
    rows
}

#[test]
fn every_type_meets_every_operator_and_literal() {
    let mut compared = 0;
    for (name, array, values) in columns() {
        // Some of the names are words of SQL.
        let name = format!("c_{name}");
        let column = name.split('.').next().unwrap();
        let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..values.len() as i64));
        let batch =
            RecordBatch::try_from_iter_with_nullable(vec![(column, array, true), ("id", id, true)])
                .unwrap();
        let mut wanted = Vec::new();
        let mut conditions = Vec::new();
        for op in OPERATORS {
            for (text, literal) in literals() {
                let want: Vec<usize> = (0..values.len())
                    .filter(|row| is_true(&values[*row], op, &literal))
                    .collect();
                // As a test of the field, and as an expression that has no such form.
                for field in [name.clone(), format!("CASE WHEN id >= 0 THEN {name} END")] {
                    conditions.push(condition(&field, op, text));
                    wanted.push(want.clone());
                }
            }
        }
        conditions.push("id = 1".into());
        wanted.push(vec![1]);
        let found = rows(&conditions, &batch);
        for ((text, want), found) in conditions.iter().zip(wanted).zip(found) {
            compared += 1;
            assert_eq!(found, want, "{text} of {values:?}");
        }
    }
    assert!(compared > 20_000, "{compared}");
}

#[test]
fn a_list_may_mix_types() {
    let (_, texts, _) = columns().swap_remove(0);
    let length = texts.len();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..length as i64));
    let batch =
        RecordBatch::try_from_iter_with_nullable(vec![("t", texts, true), ("n", numbers, true)])
            .unwrap();
    let all: Vec<usize> = (0..length).collect();
    let but = |left_out: &[usize]| -> Vec<usize> {
        all.iter()
            .copied()
            .filter(|row| !left_out.contains(row))
            .collect()
    };
    for (text, want) in [
        ("n IN ('3', 'NXDOMAIN')", vec![3]),
        ("n NOT IN ('3', 'NXDOMAIN')", but(&[3])),
        ("n IN ('NXDOMAIN')", vec![]),
        ("n IN (2, '3', 4.0, 5.5, true, NULL)", vec![2, 3, 4]),
        ("n NOT IN (2, NULL)", vec![]),
        ("t IN (3, 'abc', 100)", vec![0, 1, 2, 11]),
        ("t NOT IN (3, 'abc')", vec![10, 11, 12, 13, 14]),
        ("t IN (true, 'abc', 3)", vec![0, 1, 2, 7]),
        ("t NOT IN (true, 'abc')", vec![8]),
        ("t = n", vec![]),
        ("n + t = 4", vec![1]),
        ("t - 1 = 2 AND -t = -3", vec![1, 2]),
        ("t", vec![7]),
        ("NOT t", vec![8]),
        ("t AND n > 0", vec![7]),
        ("t IS NOT TRUE AND n < 2", vec![0, 1]),
        ("CASE t WHEN 3 THEN true ELSE false END", vec![1, 2]),
        ("CASE WHEN t THEN n ELSE 0 END = 7", vec![7]),
        (
            "n LIKE '1_' AND n <> '11'",
            vec![10, 12, 13, 14, 15, 16, 17],
        ),
        ("starts_with(n, '1') AND upper(n) < '11'", vec![1, 10]),
        ("n ~ '^[34]$'", vec![3, 4]),
        ("n BETWEEN '3' AND 4.5", vec![3, 4]),
    ] {
        assert_eq!(rows(&[text.to_owned()], &batch), [want], "{text}");
    }
}

#[test]
fn a_backslash_in_like_is_a_character() {
    let paths = [
        r"C:\Windows\System32\cmd.exe",
        r"C:\Windows\System32%\x",
        "C:/Windows/System32/cmd.exe",
        "100%",
        "100x",
        r"a\b",
        "A\\B\nC",
    ];
    let body = paths.map(|path| format!(r#"{{"p":{path:?}}}"#));
    let batch = RecordBatch::try_from_iter_with_nullable(vec![
        (
            "p",
            Arc::new(StringArray::from(paths.to_vec())) as ArrayRef,
            true,
        ),
        ("body", Arc::new(StringArray::from(body.to_vec())), true),
        ("same", Arc::new(StringArray::from(paths.to_vec())), true),
    ])
    .unwrap();
    for (pattern, want) in [
        (r"'%\System32\%'", vec![0]),
        (r"'C:\Windows\%'", vec![0, 1]),
        (r"'%\cmd.exe'", vec![0]),
        (r"'a\b'", vec![5]),
        (r"'a\\b'", vec![]),
        (r"'100\%'", vec![]),
        (r"'100\%' ESCAPE '\'", vec![3]),
        ("'100!%' ESCAPE '!'", vec![3]),
        ("'100_'", vec![3, 4]),
        ("'100!_' ESCAPE '!'", vec![]),
        (r"'%\System32!%\%' ESCAPE '!'", vec![1]),
        (r"'_:\%\c%'", vec![0]),
    ] {
        let negated: Vec<usize> = (0..paths.len()).filter(|row| !want.contains(row)).collect();
        let mut wanted = Vec::new();
        let mut conditions = Vec::new();
        for field in ["p", "body.p", "concat(p, '')"] {
            conditions.push(format!("{field} LIKE {pattern}"));
            wanted.push(want.clone());
            conditions.push(format!("{field} NOT LIKE {pattern}"));
            wanted.push(negated.clone());
        }
        assert_eq!(rows(&conditions, &batch), wanted, "{pattern}");
    }
    for (text, want) in [
        (r"p ILIKE '%\SYSTEM32\%'", vec![0]),
        (r"concat(p, '') ILIKE '%\SYSTEM32\%'", vec![0]),
        (r"p ILIKE 'A\b'", vec![5]),
        ("p ILIKE 'a\\b_c'", vec![6]),
        (r"lower(p) LIKE '%\system32\%'", vec![0]),
        ("p LIKE same", vec![0, 1, 2, 3, 4, 5, 6]),
        (
            "concat(p, 'x') LIKE concat(same, '_')",
            vec![0, 1, 2, 3, 4, 5, 6],
        ),
    ] {
        assert_eq!(rows(&[text.to_owned()], &batch), [want], "{text}");
    }
    for (text, wanted) in [
        (
            "p LIKE '100!' ESCAPE '!'",
            "ends with its escape character `!`",
        ),
        ("p LIKE '100' ESCAPE '!!'", "single character"),
        ("p LIKE ANY ('a', 'b')", ""),
    ] {
        let parsed = WhereCondition::parse(text, &batch.schema(), &[]);
        let state = crate::session(Default::default()).state();
        let error = parsed.and_then(|condition| condition.compile(&state, &batch.schema()));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}
