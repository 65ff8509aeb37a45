use super::*;

fn path(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

fn at(json: &str, at: &str) -> Option<String> {
    get(json, &path(at))
}

fn all(json: &str, at: &str) -> Vec<String> {
    let mut paths = JsonPaths::default();
    paths.add(0, &path(at), FieldReading::Members);
    let mut found = Vec::new();
    paths.walk(json, &mut |_, text, kind| {
        found.push(match kind {
            ValueKind::Empty => "(empty)".to_owned(),
            _ => text.to_owned(),
        });
    });
    found
}

fn anywhere(json: &str) -> (Vec<String>, bool) {
    let mut found = Vec::new();
    let complete = JsonPaths::root(FieldReading::Anywhere).walk(json, &mut |_, text, _| {
        found.push(text.to_owned());
    });
    (found, complete)
}

#[test]
fn finds_values_of_every_kind() {
    let json = r#" {"x": {"y": [1, {"z": "a\"b"}], "n": null}, "s": "plain", "t": true, "o": {"k": 1.50}}"#;
    assert_eq!(at(json, "s").as_deref(), Some("plain"));
    assert_eq!(at(json, "t").as_deref(), Some("true"));
    assert_eq!(at(json, "o").as_deref(), Some(r#"{"k": 1.50}"#));
    assert_eq!(at(json, "o/k").as_deref(), Some("1.50"));
    assert_eq!(at(json, "x/y").as_deref(), Some(r#"[1, {"z": "a\"b"}]"#));
    assert_eq!(at(json, "x/y/0").as_deref(), Some("1"));
    assert_eq!(at(json, "x/y/1/z").as_deref(), Some("a\"b"));
    for nowhere in ["x/n", "x/y/2", "x/y/-1", "x/y/z", "q", "s/t", "t/x"] {
        assert_eq!(at(json, nowhere), None, "{nowhere}");
    }
}

#[test]
fn enters_json_inside_a_string() {
    let json = r#"{"policy": "{\"Statement\": [{\"Effect\": \"Allow\"}]}"}"#;
    assert_eq!(
        at(json, "policy/Statement/0/Effect").as_deref(),
        Some("Allow")
    );
    assert_eq!(all(json, "policy/Statement/Effect"), ["Allow"]);
    assert_eq!(all(json, "policy").len(), 1);
    assert_eq!(
        at(json, "policy").as_deref(),
        all(json, "policy").first().map(String::as_str)
    );
}

#[test]
fn what_is_not_json_has_no_values() {
    for text in ["", "x", "{", "[1", "{\"a\"", "12", "\"a\""] {
        assert_eq!(at(text, "a"), None, "{text}");
    }
}

#[test]
fn dotted_keys_and_nested_ones_are_the_same_path() {
    for json in [
        r#"{"a":{"b":{"c":"x"}}}"#,
        r#"{"a.b":{"c":"x"}}"#,
        r#"{"a":{"b.c":"x"}}"#,
        r#"{"a.b.c":"x"}"#,
        r#"{"a":{"other":1},"a.b.c":"x"}"#,
        r#"{"a":null,"a.b":{"d":1},"a":{"b":{"c":"x"}}}"#,
        r#"{"a.b":"no object","a":{"b":{"c":"x"}}}"#,
    ] {
        for way in ["a/b/c", "a.b/c", "a/b.c", "a.b.c"] {
            assert_eq!(at(json, way).as_deref(), Some("x"), "{json} {way}");
            assert_eq!(all(json, way), ["x"], "{json} {way}");
        }
    }
    let both = r#"{"a.b":"x","a":{"b":"y"}}"#;
    assert_eq!(all(both, "a/b"), ["x", "y"]);
}

#[test]
fn a_key_has_all_of_its_values() {
    let json = r#"{"o":{"u":"first","u":null,"u":["second","third"]},"o":{"u":4}}"#;
    assert_eq!(all(json, "o/u"), ["first", "second", "third", "4"]);
    assert_eq!(at(json, "o/u").as_deref(), Some("first"));
}

#[test]
fn lists_are_entered_by_place_and_by_members() {
    let json = r#"{"l":[{"x":1},[{"x":2},{"x":[]}],"s"],"e":[]}"#;
    assert_eq!(all(json, "l/x"), ["1", "2", "(empty)"]);
    assert_eq!(all(json, "l/0/x"), ["1"]);
    assert_eq!(all(json, "l/1/x"), ["2", "(empty)"]);
    assert_eq!(all(json, "e"), ["(empty)"]);
    assert_eq!(at(json, "l/1/0/x").as_deref(), Some("2"));
}

#[test]
fn pairs_of_a_name_and_a_value_read_as_members() {
    for json in [
        r##"{"Data":[{"@Name":"Image","#text":"a.exe"},{"@Name":"User","#text":"ann"}]}"##,
        r##"{"Data":[{"#attributes":{"Name":"Image"},"#text":"a.exe"}]}"##,
        r##"{"Data":{"Name":"Image","Value":"a.exe"}}"##,
        r##"{"Data":[1,{"$":{"Name":"Image"},"_":"a.exe"},{"Name":"Image"}]}"##,
    ] {
        assert_eq!(all(json, "Data/[Name]/Image"), ["a.exe"], "{json}");
        assert_eq!(at(json, "Data/[Name]/Image").as_deref(), Some("a.exe"));
        assert!(all(json, "Data/[Name]/Other").is_empty());
    }
    let user_data = r#"{"UserData":{"LogFileCleared":{"SubjectUserName":"ann"},"x":1}}"#;
    assert_eq!(all(user_data, "UserData/*/SubjectUserName"), ["ann"]);
}

#[test]
fn one_path_changes_nothing_of_what_another_reads() {
    let json = r#"{"p":"[{\"x\":\"in\"}]","l":[["a"],{"x":"b"}]}"#;
    let ways = ["p", "p/x", "l", "l/x", "l/0", "l/1/x", "p/0/x"];
    let mut together = JsonPaths::default();
    let mut wanted = Vec::new();
    for reading in [FieldReading::One, FieldReading::Members] {
        for way in ways {
            let mut alone = JsonPaths::default();
            alone.add(0, &path(way), reading);
            let mut values = Vec::new();
            alone.walk(json, &mut |_, text, kind| {
                values.push((text.to_owned(), kind))
            });
            together.add(wanted.len(), &path(way), reading);
            wanted.push(values);
        }
    }
    let mut found = vec![Vec::new(); wanted.len()];
    together.add(99, &[], FieldReading::Anywhere);
    together.walk(json, &mut |id, text, kind| {
        if let Some(values) = found.get_mut(id) {
            values.push((text.to_owned(), kind));
        }
    });
    assert_eq!(found, wanted);
}

#[test]
fn no_value_hides_its_neighbours() {
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    for odd in [
        "18446744073709551615",
        "NaN",
        r#""\ud800""#,
        r#""\x""#,
        r#"{"a" "b"}"#,
        r#"{"o":{"o":}}"#,
        "[1 2]",
        &deep,
    ] {
        for json in [
            format!(r#"{{"odd":{odd},"o":{{"odd":{odd},"x":"seen","more":{odd}}}}}"#),
            format!(r#"{{"o":{{"x":"seen"}},"o.x":{odd}}}"#),
        ] {
            assert!(all(&json, "o/x").contains(&"seen".to_owned()), "{odd}");
            assert_eq!(at(&json, "o/x").as_deref(), Some("seen"), "{odd}");
            assert!(anywhere(&json).0.contains(&"seen".to_owned()), "{odd}");
        }
    }
    let cut = r#"{"a":{"x":"seen"},"b":[1"#;
    assert_eq!(all(cut, "a/x"), ["seen"]);
    assert!(!anywhere(cut).1);
}

#[test]
fn a_search_asks_every_value_and_no_key() {
    let json = r#"{"key":["C:\\Temp",{"n":4688,"t":true,"z":null}],"j":"{\"in\":\"a\\\"b\"}"}"#;
    let (found, complete) = anywhere(json);
    assert!(complete);
    assert_eq!(
        found,
        ["C:\\Temp", "4688", "true", r#"{"in":"a\"b"}"#, "a\"b"]
    );
}
