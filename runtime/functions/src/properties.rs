//! What holds for every function: no text is a panic or an error, and a batch has the results of its rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, LargeStringArray, RecordBatch, StringArray,
    StringViewArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;

use crate::{all, documentation, growth};

/// A call of each function, with the column `t` for what it reads.
const CALLS: [&str; 43] = [
    "json_get(t, 'a.b[0].c')",
    "json_get(t, 'a')",
    "parse_kv(t, 'a')",
    "parse_kv(t, 'a', ';', ':')",
    "parse_kv(t, 'a', '&')",
    "parse_regex(t, '([a-z]+)=(?<v>.*)', 'v')",
    "parse_regex(t, '.', 0)",
    "parse_grok(t, '%{IPORHOST:host} %{GREEDYDATA:rest}', 'rest')",
    "parse_grok(t, '%{URI:uri}', 'uri')",
    "parse_syslog(t, 'hostname')",
    "parse_syslog(t, 'timestamp')",
    "parse_syslog(t, 'structured_data')",
    "parse_cef(t, 'src')",
    "parse_leef(t, 'src')",
    "parse_xml(t, 'a/b[2]')",
    "parse_xml(t, 'a/b/@c')",
    "parse_url(t, 'host')",
    "parse_url(t, 'path')",
    "parse_query(t, 'a')",
    "parse_user_agent(t, 'browser')",
    "parse_user_agent(t, 'browser_version')",
    "parse_user_agent(t, 'os')",
    "parse_user_agent(t, 'os_version')",
    "parse_user_agent(t, 'device')",
    "parse_time(t, '%Y-%m-%d %H:%M:%S', 'Europe/Berlin')",
    "parse_time(t, '%s')",
    "parse_time(t, '%+')",
    "parse_duration(t)",
    "cidr_contains('10.0.0.0/8 2001:db8::/32', t)",
    "is_private_ip(t)",
    "is_ip(t)",
    "ip_version(t)",
    "map_value(t, 'a', '1', 'b', '2', 'else')",
    "base64_decode_text(t)",
    "hex_decode_text(t, 'utf-16le')",
    "luhn(t)",
    "json_quote(t)",
    "list_get(t, 0)",
    "list_get(t, -1)",
    "basename(t)",
    "hex_to_int(t)",
    "json_object('b', 1, 'a', t)",
    "json_object('a', json_object('b', t))",
];

/// Texts that at least one function reads.
const TEXTS: [&str; 23] = [
    r#"{"a": {"b": [{"c": "x\u00e4"}]}}"#,
    r#"{"a": "{\"b\": [1, null]}", "a": 2}"#,
    r#"a=1 b="two \" words" a=3"#,
    r#"a:1; b:"x; y"; a : "z""#,
    "192.0.2.1 some text",
    "<34>1 2024-02-03T04:05:06.5Z web app 7 - [m@1 a=\"b\\]\"] text",
    "<34>Feb  3 04:05:06 web sshd[7]: no entry",
    "CEF:0|Acme|Wall|1|7|Deny|5|src=192.0.2.1 spt=1 msg=a\\=b",
    "LEEF:2.0|Acme|Wall|1|deny|^|src=192.0.2.1^usrName=ada",
    "<a><b c='1'>x</b><b c=\"2\">&lt;<![CDATA[y]]></b></a>",
    "https://ada:x@example.com:8443/a?a=b%20c#d",
    "/a/b?a=1&c=2",
    "Mozilla/5.0 (Linux; Android 14; x) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36",
    "sqlmap/1.8 (https://sqlmap.org)",
    "2024-03-31 02:30:00",
    "1706933106",
    "2024-02-03T04:05:06.7+01:00",
    "1h30m, 2 seconds",
    "10.1.2.3",
    "2001:db8::1%eth0",
    "4242 4242 4242 4242",
    "aGVsbG8=",
    r#"["two", {"a": null}, 3]"#,
];

fn session() -> SessionContext {
    let session = SessionContext::new();
    for function in all() {
        session.register_udf(function.as_ref().clone());
    }
    session
}

fn planned(
    session: &SessionContext,
    sql: &str,
    t: &DataType,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let schema = Schema::new(vec![Field::new("t", t.clone(), true)]);
    let schema = DFSchema::try_from(schema)?;
    let expr = session.parse_sql_expr(sql, &schema)?;
    session.create_physical_expr(expr, &schema)
}

fn column(expr: &Arc<dyn PhysicalExpr>, texts: ArrayRef) -> Result<ArrayRef, DataFusionError> {
    let rows = texts.len();
    let schema = Schema::new(vec![Field::new("t", texts.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![texts])?;
    expr.evaluate(&batch)?.into_array(rows)
}

/// Returns the result of an expression without columns, as text.
fn shown(session: &SessionContext, sql: &str) -> Option<String> {
    let expr = planned(session, sql, &DataType::Utf8).unwrap();
    let result = column(&expr, new_null_array(&DataType::Utf8, 1)).unwrap();
    let result = cast(&result, &DataType::Utf8).unwrap();
    let result = result.as_string::<i32>();
    result.is_valid(0).then(|| result.value(0).to_owned())
}

/// Returns a column in all types that hold texts.
fn in_every_type(texts: &[Option<String>]) -> Vec<ArrayRef> {
    let texts = || texts.iter().map(Option::as_deref);
    let utf8: ArrayRef = Arc::new(texts().collect::<StringArray>());
    vec![
        cast(&utf8, &DataType::Binary).unwrap(),
        utf8,
        Arc::new(texts().collect::<LargeStringArray>()),
        Arc::new(texts().collect::<StringViewArray>()),
        Arc::new(texts().collect::<DictionaryArray<Int32Type>>()),
    ]
}

#[test]
fn every_function_is_documented_with_an_example_that_holds() {
    let session = session();
    let documented: Vec<&str> = documentation().map(|doc| doc.name).collect();
    let functions = all();
    let names: Vec<&str> = functions.iter().map(|function| function.name()).collect();
    assert_eq!(documented, names);
    for doc in documentation() {
        assert!(
            doc.example.starts_with(&format!("{}(", doc.name)),
            "{}",
            doc.name
        );
        let gives = shown(&session, doc.example);
        assert_eq!(gives.as_deref(), Some(doc.gives), "{}", doc.example);
        let is_called = CALLS
            .iter()
            .any(|call| call.starts_with(&format!("{}(", doc.name)));
        assert!(is_called, "no call of {} in CALLS", doc.name);
    }
}

#[test]
fn every_call_reads_one_of_the_texts() {
    let session = session();
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(TEXTS));
    for call in CALLS {
        let expr = planned(&session, call, &DataType::Utf8).unwrap();
        let results = column(&expr, Arc::clone(&texts)).unwrap();
        assert_ne!(results.null_count(), results.len(), "{call}");
    }
}

#[test]
fn a_wrong_literal_is_an_error_of_the_plan_that_names_the_function() {
    let session = session();
    for (call, expected) in [
        ("json_get(t, 'a[')", "`json_get`: 'a[' is not a path"),
        ("parse_kv(t, 'a', '')", "`parse_kv`: a separator is empty"),
        (
            "parse_regex(t, '(', 0)",
            "`parse_regex`: '(' is not a regular expression: unclosed group",
        ),
        (
            "parse_regex(t, t, 0)",
            "`parse_regex`: its pattern and the name after it are not written out",
        ),
        (
            "parse_grok(t, '%{IPX:a}', 'a')",
            "`parse_grok`: no pattern has the name `IPX`",
        ),
        ("parse_grok(t, '%{IP:a}', t)", "`parse_grok`: its pattern"),
        ("parse_xml(t, '')", "`parse_xml`: '' is not a path of XML"),
        (
            "parse_url(t, 'hosts')",
            "`parse_url`: 'hosts' is not a part of a URL",
        ),
        (
            "parse_user_agent(t, 'x')",
            "`parse_user_agent`: 'x' is not a part",
        ),
        ("parse_time(t, '%Q')", "`parse_time`: '%Q' is not a format"),
        (
            "parse_time(t, '%Y', 'Mars')",
            "`parse_time`: 'Mars' is not a time zone",
        ),
        (
            "cidr_contains('10.0.0.0/99', t)",
            "`cidr_contains`: '10.0.0.0/99' is not a network",
        ),
        (
            "map_value(t, 'a', 'b', 'a', 'c')",
            "`map_value`: the key 'a' stands twice",
        ),
        (
            "base64_decode_text(t, 'x')",
            "`base64_decode_text`: 'x' is not an encoding",
        ),
        (
            "parse_cef(t)",
            "`parse_cef`: it is called with 1 arguments, and it takes (text, member)",
        ),
        ("is_ip(t, t)", "`is_ip`: it is called with 2 arguments"),
        ("list_get(t, 'x')", "`list_get`: 'x' is not an index"),
        (
            "json_object('a')",
            "`json_object`: it is called with 1 arguments, and it takes (key, value",
        ),
        (
            "json_object('a', t, t, 'b')",
            "`json_object`: argument 3 is a key, and must be a text that is written out",
        ),
        ("is_ip(make_array(t))", "`is_ip`: argument 1 is a List"),
    ] {
        let error = planned(&session, call, &DataType::Utf8)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{call}: {error}");
    }
}

#[test]
fn settings_may_be_columns_and_null_gives_null() {
    let session = session();
    for (call, expected) in [
        ("json_get('{\"k\": 1}', lower('K'))", Some("1")),
        ("json_get('{\"k\": 1}', lower('['))", None),
        (
            "cidr_contains(lower('10.0.0.0/8'), '10.0.0.1')",
            Some("true"),
        ),
        ("json_get('{\"k\": 1}', NULL)", None),
        ("json_get(NULL, 'k')", None),
        ("parse_regex('a', NULL, 0)", None),
        ("map_value(NULL, 'a', 'b', 'c')", None),
        ("map_value(17, 6, 'TCP', 17, 'UDP')", Some("UDP")),
        ("json_quote(NULL)", None),
        ("json_quote(42)", Some("\"42\"")),
        ("json_quote('a\\')", Some("\"a\\\\\"")),
        ("luhn(42)", Some("true")),
        ("luhn(18)", Some("true")),
        ("is_ip(t)", None),
        (
            r#"json_object('a"', 'x\y', 'n', 1.5, 'none', NULL, 'is', 1 = 1, 'list', '[1]', 'not', '[1')"#,
            Some(r#"{"a\"":"x\\y","n":1.5,"is":true,"list":[1],"not":"[1"}"#),
        ),
        ("json_object('a', t, 'b', NULL)", None),
    ] {
        assert_eq!(shown(&session, call).as_deref(), expected, "{call}");
    }
    let expr = planned(
        &session,
        "json_get('{\"a\": 1, \"b\": 2}', t)",
        &DataType::Utf8,
    )
    .unwrap();
    let keys = StringArray::from(vec![Some("a"), Some("a"), None, Some("b"), Some("[")]);
    let results = column(&expr, Arc::new(keys)).unwrap();
    let expected = StringArray::from(vec![Some("1"), Some("1"), None, Some("2"), None]);
    assert_eq!(results.as_string::<i32>(), &expected);
}

#[test]
fn literals_are_prepared_once_and_calls_with_others_differ() {
    let session = session();
    let of = |sql: &str| planned(&session, sql, &DataType::Utf8).unwrap();
    assert_eq!(&of("parse_regex(t, 'a', 0)"), &of("parse_regex(t, 'a', 0)"));
    assert_ne!(&of("parse_regex(t, 'a', 0)"), &of("parse_regex(t, 'b', 0)"));
    let function = all()
        .into_iter()
        .find(|function| function.name() == "parse_regex")
        .unwrap();
    let literal = |text: &str| datafusion::prelude::lit(text);
    let context = datafusion::logical_expr::simplify::SimplifyContext::default();
    let args = vec![datafusion::prelude::col("t"), literal("a"), literal("0")];
    let simplified = function.simplify(args, &context).unwrap();
    let datafusion::logical_expr::simplify::ExprSimplifyResult::Simplified(
        datafusion::logical_expr::Expr::ScalarFunction(call),
    ) = simplified
    else {
        panic!("the pattern is not prepared");
    };
    assert_ne!(call.func, function);
    let again = call.func.simplify(call.args.clone(), &context).unwrap();
    let is_done = matches!(
        again,
        datafusion::logical_expr::simplify::ExprSimplifyResult::Original(_)
    );
    assert!(is_done, "a prepared pattern is prepared again");
}

fn text() -> impl Strategy<Value = Option<String>> {
    let known = || proptest::sample::select(TEXTS.to_vec());
    let changed = (known(), any::<prop::sample::Index>(), ".{0,3}", known()).prop_map(
        |(text, at, middle, other)| {
            let at = at.index(text.chars().count() + 1);
            let before: String = text.chars().take(at).collect();
            let after: String = text.chars().skip(at + 1).collect();
            format!(
                "{before}{middle}{after}{}",
                if at % 3 == 0 { other } else { "" }
            )
        },
    );
    prop_oneof![
        1 => Just(None),
        3 => known().prop_map(|text| Some(text.to_owned())),
        6 => changed.prop_map(Some),
        2 => any::<String>().prop_map(Some),
        2 => "[0-9a-f:./%= -]{0,24}".prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_has_the_results_of_its_rows_in_every_type(texts in prop::collection::vec(text(), 0..12)) {
        let session = session();
        for call in CALLS {
            let expected = planned(&session, call, &DataType::Utf8).unwrap();
            let rows = texts.iter().map(|text| {
                let one: ArrayRef = Arc::new(StringArray::from(vec![text.as_deref()]));
                column(&expected, one).unwrap()
            });
            let rows: Vec<ArrayRef> = rows.collect();
            for array in in_every_type(&texts) {
                let expr = planned(&session, call, array.data_type()).unwrap();
                let results = column(&expr, Arc::clone(&array)).unwrap();
                prop_assert_eq!(results.len(), texts.len());
                if let Some(results) = results.as_string_opt::<i32>() {
                    let name = call.split('(').next().unwrap();
                    let function = session.state().scalar_functions().get(name).cloned().unwrap();
                    let times = usize::try_from(growth(&function).unwrap()).unwrap();
                    for (text, result) in texts.iter().zip(results) {
                        let longest = times * text.as_ref().map_or(0, String::len) + 400;
                        prop_assert!(result.is_none_or(|result| result.len() <= longest), "{} {:?}", call, text);
                    }
                }
                for (row, one) in rows.iter().enumerate() {
                    prop_assert_eq!(&results.slice(row, 1), one, "{} {:?} {}", call, texts[row], array.data_type());
                }
            }
        }
    }

    #[test]
    fn scalars_and_arrays_agree(texts in prop::collection::vec(text(), 1..4)) {
        let session = session();
        for call in CALLS {
            let expr = planned(&session, call, &DataType::Utf8).unwrap();
            for text in &texts {
                let one: ArrayRef = Arc::new(StringArray::from(vec![text.as_deref()]));
                let of_array = column(&expr, one).unwrap();
                // The same call with the text written out, as the planner evaluates it.
                let literal = match text {
                    Some(text) => format!("'{}'", text.replace('\'', "''")),
                    None => "NULL".to_owned(),
                };
                let written = call.replacen("(t", &format!("({literal}"), 1).replacen(", t)", &format!(", {literal})"), 1);
                let written = planned(&session, &written, &DataType::Utf8).unwrap();
                let schema = Schema::new(vec![Field::new("t", DataType::Utf8, true)]);
                let batch = RecordBatch::new_empty(Arc::new(schema));
                let ColumnarValue::Scalar(of_scalar) = written.evaluate(&batch).unwrap() else {
                    panic!("{call} of a scalar is an array");
                };
                let of_array = ScalarValue::try_from_array(&of_array, 0).unwrap();
                prop_assert_eq!(of_scalar, of_array, "{} {:?}", call, text);
            }
        }
    }
}

/// The reference at the end of the page, which begins with its heading.
fn reference() -> String {
    let mut text = "## Reference\n".to_owned();
    for doc in documentation() {
        let (name, result) = (doc.name, doc.result.sql());
        text.push_str(&format!(
            "\n### {name}\n\n`{name}({})` returns {result}.\n\n{}\n\n```sql\n{} -- {}\n```\n",
            doc.arguments, doc.about, doc.example, doc.gives
        ));
    }
    text.push_str("\n## Names of grok patterns\n\n");
    text.push_str("These names can be used in `%{NAME}` and `%{NAME:field}`:\n\n```text\n");
    let names = yagura_formats::GROK_PATTERNS.map(|(name, _)| name);
    for names in names.chunks(8) {
        text.push_str(&names.join(" "));
        text.push('\n');
    }
    text.push_str("```\n");
    text
}

#[test]
fn the_page_of_functions_is_what_they_document() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/authors/functions.md"
    );
    let page = std::fs::read_to_string(path).unwrap();
    let start = page.find("## Reference\n").unwrap_or(page.len());
    let expected = format!("{}{}", &page[..start], reference());
    if std::env::var_os("YAGURA_REWRITE").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    let help = "YAGURA_REWRITE=1 cargo test -p yagura-functions writes the reference again";
    assert!(
        page == expected,
        "docs/authors/functions.md is not up to date: {help}"
    );
}
