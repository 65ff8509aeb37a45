use serde_json::json;

use super::*;

fn read(text: &str, paths: &[&str], limit: usize) -> (Vec<String>, io::Result<()>) {
    let mut all = Vec::new();
    for capacity in [1, 7, 4_096] {
        let paths = paths
            .iter()
            .map(|path| path.split('.').map(str::to_owned).collect())
            .collect();
        let inner = io::BufReader::with_capacity(capacity, text.as_bytes());
        let mut records = XmlRecords::new(
            inner,
            paths,
            vec![vec!["a".to_owned(), "apart".to_owned()]],
            limit,
        );
        let (mut bytes, mut block) = (Vec::new(), [0; 4_096]);
        let end = loop {
            match records.read(&mut block) {
                Ok(0) => break Ok(()),
                Ok(count) => bytes.extend_from_slice(&block[..count]),
                Err(error) => break Err(error),
            }
        };
        let text = String::from_utf8(bytes).unwrap();
        all.push((text.lines().map(str::to_owned).collect::<Vec<_>>(), end));
    }
    assert!(
        all.iter()
            .all(|(lines, end)| *lines == all[0].0 && end.is_ok() == all[0].1.is_ok())
    );
    all.remove(0)
}

fn events(text: &str, paths: &[&str]) -> Vec<Value> {
    let (lines, end) = read(text, paths, 1 << 20);
    end.unwrap();
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const REPORT: &str = r#"<?xml version="1.0" ?>
<!DOCTYPE x>
<scan version="2">
  <policy>strict</policy>
  <host name="a">
    <tags><tag name="ip">192.0.2.1</tag><tag name="os">Linux &amp; more</tag></tags>
    <item port="22"><title>One</title><ref>x</ref><ref>y</ref></item>
    <item port="80"/>
    <end>later</end>
  </host>
  <host name="b"/>
</scan>
"#;

#[test]
fn each_record_has_what_stands_before_it_around_its_path() {
    let tags = json!({"tag": {"ip": "192.0.2.1", "os": "Linux & more"}});
    let scan = |host: Value| json!({"scan": {"#attributes": {"version": "2"}, "policy": "strict", "host": host}});
    let a = json!({"name": "a"});
    assert_eq!(
        events(REPORT, &["scan.host.item"]),
        [
            scan(json!({"#attributes": a, "tags": tags,
                "item": {"#attributes": {"port": "22"}, "title": "One", "ref": ["x", "y"]}})),
            scan(json!({"#attributes": a, "tags": tags, "item": {"#attributes": {"port": "80"}}})),
            // What no record showed.
            scan(json!({"#attributes": a, "tags": tags, "end": "later"})),
            scan(json!({"#attributes": {"name": "b"}})),
        ]
    );
    // Without a path, and with one that nothing is at, the document is one event.
    let whole = events(REPORT, &[]);
    assert_eq!(whole.len(), 1);
    assert_eq!(
        whole[0]["scan"]["host"][0]["item"][1],
        json!({"#attributes": {"port": "80"}})
    );
    assert_eq!(events(REPORT, &["other.thing"]).len(), 1);
    assert_eq!(
        events(REPORT, &["scan.other"])[0]["scan"]["policy"],
        "strict"
    );
    // Two paths.
    assert_eq!(events(REPORT, &["scan.policy", "scan.host"]).len(), 3);
}

#[test]
fn text_comments_and_references_are_kept() {
    let text = "<a>one<!-- two --><b k='&lt;1'>x<![CDATA[<y>]]>&#65;&unknown;</b>three</a>";
    let expected = json!({"a": {"#text": "onethree", "#comment": " two ",
        "b": {"#attributes": {"k": "<1"}, "#text": "x<y>A&unknown;"}}});
    assert_eq!(events(text, &[]), [expected]);
    let hidden = events("<a><b>1 <!-- </b><b>2 --></b></a>", &[]);
    assert_eq!(hidden[0]["a"]["b"]["#comment"], " </b><b>2 ");
    let latin: Vec<u8> = b"<a>caf\xe9</a>".to_vec();
    let mut line = String::new();
    XmlRecords::new(latin.as_slice(), Vec::new(), Vec::new(), 100)
        .read_to_string(&mut line)
        .unwrap();
    assert_eq!(line, "{\"a\":\"caf\u{e9}\"}\n");
}

#[test]
fn what_is_too_long_is_named_or_stands_alone_and_hides_nothing() {
    let long = "x".repeat(300);
    let text = format!("<a><r>1</r><r><s>{long}</s><t/></r><r>2</r></a>");
    let (lines, end) = read(&text, &["a.r"], 400);
    end.unwrap();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let (lines, end) = read(&text, &["a.r"], 305);
    end.unwrap();
    assert_eq!(lines[0], r#"{"a":{"r":"1"}}"#);
    assert!(
        lines[1].starts_with("<?damaged the element <r> at byte 11 is longer than 305 bytes"),
        "{lines:?}"
    );
    assert_eq!(lines[2], r#"{"a":{"r":"2"}}"#);
    // What stands beside the records is repeated up to a bound.
    let policy = "p".repeat(MOST_BESIDE);
    let text = format!("<a x='1'><policy>{policy}</policy><r>1</r></a>");
    let (lines, end) = read(&text, &["a.r"], 1 << 20);
    end.unwrap();
    assert_eq!(
        lines[0],
        format!(r##"{{"a":{{"#attributes":{{"x":"1"}},"policy":"{policy}"}}}}"##)
    );
    assert_eq!(lines[1], r##"{"a":{"#attributes":{"x":"1"},"r":"1"}}"##);
    let (lines, end) = read("<a x='1'><apart>1</apart><r>1</r></a>", &["a.r"], 1 << 20);
    end.unwrap();
    assert_eq!(lines[0], r##"{"a":{"#attributes":{"x":"1"},"apart":"1"}}"##);
    assert_eq!(lines.len(), 2, "{lines:?}");
    // And no document may grow without end.
    let text = format!(
        "<a><p>{}</p>{}</a>",
        "p".repeat(MOST_BESIDE - 100),
        "<r/>".repeat(600)
    );
    let (_, end) = read(&text, &["a.r"], 1 << 20);
    assert!(end.unwrap_err().to_string().contains("split it"));
}

#[test]
fn a_damaged_document_gives_what_stands_before_the_damage() {
    for (text, reason) in [
        ("<a><r>1</r></b>", "byte"),
        ("<a><r>1</r>&lt;<r x=></r></a>", "an attribute is damaged"),
        ("<a><r>1</r></a><a/>", "a second element"),
        ("<a><r>1</r></a>text", "text stands outside"),
    ] {
        let (lines, end) = read(text, &["a.r"], 1_000);
        assert_eq!(
            lines.first().map(String::as_str),
            Some(r#"{"a":{"r":"1"}}"#),
            "{text}"
        );
        let error = end.unwrap_err();
        assert!(error.to_string().contains(reason), "{text}: {error}");
    }
    let deep = "<a>".repeat(65);
    assert!(
        read(&deep, &[], 1_000)
            .1
            .unwrap_err()
            .to_string()
            .contains("more than 64 elements")
    );
    let endless = format!("<a>{}</a>", "x".repeat(5_000));
    assert!(read(&endless, &["b.c"], 1_000).1.is_err());
}

#[test]
fn a_document_that_is_cut_anywhere_gives_whole_records_and_says_so() {
    let whole = read(REPORT, &["scan.host.item"], 1_000).0;
    for end in 1..REPORT.trim_end().len() {
        let (lines, result) = read(&REPORT[..end], &["scan.host.item"], 1_000);
        assert!(result.is_err(), "{end}");
        assert!(
            lines.iter().zip(&whole).all(|(line, whole)| line == whole),
            "{end}: {lines:?}"
        );
    }
}

#[test]
fn no_change_at_any_place_panics() {
    for (at, c) in REPORT.char_indices() {
        for new in ["", "<", ">", "\"", "&", "é", "\0", "<!--", "]]>", "/"] {
            let text = format!("{}{new}{}", &REPORT[..at], &REPORT[at + c.len_utf8()..]);
            let paths = vec![vec![
                "scan".to_owned(),
                "host".to_owned(),
                "item".to_owned(),
            ]];
            let mut all = Vec::new();
            let _ = XmlRecords::new(text.as_bytes(), paths, Vec::new(), 200).read_to_end(&mut all);
            let _ = XmlLine.line(&text);
        }
    }
    assert!(XmlLine.line("<a/>").is_ok_and(
        |event| event == Decoded::Event(json!({"a": null}).as_object().unwrap().clone())
    ));
    assert!(XmlLine.line("<a>").is_err() && XmlLine.line("text").is_err());
}
