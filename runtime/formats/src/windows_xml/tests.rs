use serde_json::{Value, json};

use super::*;
use crate::member::check;

const XMLNS: &str = "http://schemas.microsoft.com/win/2004/08/events/event";

fn logon() -> String {
    format!(
        r#"<Event xmlns='{XMLNS}'><System><Provider Name='Microsoft-Windows-Security-Auditing' Guid='{{54849625-5478-4994-a5ba-3e3b0328c30d}}'/><EventID>4624</EventID><Version>2</Version><Level>0</Level><Task>12544</Task><Opcode>0</Opcode><Keywords>0x8020000000000000</Keywords><TimeCreated SystemTime='2026-03-01T10:11:12.1234567Z'/><EventRecordID>1893</EventRecordID><Correlation/><Execution ProcessID='624' ThreadID='668'/><Channel>Security</Channel><Computer>dc1.example</Computer><Security/></System><EventData><Data Name='TargetUserName'>kim &amp; lee</Data><Data Name='LogonType'>3</Data><Data Name='IpAddress'></Data><Data>first</Data><Data>second</Data></EventData></Event>"#
    )
}

fn event(text: &str) -> Value {
    Value::Object(check::event(&mut WindowsXml, text))
}

fn reason(text: &str) -> String {
    match WindowsXml.line(text) {
        Err(Wrong { reason, at }) => format!("{at} {reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_event_has_the_shape_of_evtx_dump() {
    let expected = json!({"Event": {
        "#attributes": {"xmlns": XMLNS},
        "System": {
            "Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing", "Guid": "{54849625-5478-4994-a5ba-3e3b0328c30d}"}},
            "EventID": 4624, "Version": 2, "Level": 0, "Task": 12544, "Opcode": 0,
            "Keywords": "0x8020000000000000",
            "TimeCreated": {"#attributes": {"SystemTime": "2026-03-01T10:11:12.1234567Z"}},
            "EventRecordID": 1893,
            "Correlation": null,
            "Execution": {"#attributes": {"ProcessID": 624, "ThreadID": 668}},
            "Channel": "Security", "Computer": "dc1.example", "Security": null
        },
        "EventData": {"TargetUserName": "kim & lee", "LogonType": "3", "IpAddress": "", "Data": ["first", "second"]}
    }});
    assert_eq!(event(&logon()), expected);
    // However it is laid out.
    let spread = logon().replace("><", ">\n    <");
    let spread = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- one -->\n{spread}\n");
    let spread = event(&spread.replace(
        "<Data Name='IpAddress'>\n    </Data>",
        "<Data Name='IpAddress'/>",
    ));
    assert_eq!(spread, expected);
}

#[test]
fn names_that_occur_again_and_text_beside_attributes_are_kept() {
    let read = event(
        "<Event><System><EventID Qualifiers='16384'>7036</EventID></System><EventData Name='x'><Data Name='a'>1</Data><Data Name='a'>2</Data><Data Name='Data'>3</Data><Data Type='t'>4</Data><Binary>00FF</Binary></EventData><UserData><Made xmlns='urn:x'><Who>kim</Who><Who>lee</Who><None/></Made></UserData></Event>",
    );
    let expected = json!({"Event": {
        "System": {"EventID": {"#attributes": {"Qualifiers": 16384}, "#text": 7036}},
        "EventData": {"#attributes": {"Name": "x"}, "a": ["1", "2"], "Data": ["3", {"#attributes": {"Type": "t"}, "#text": "4"}], "Binary": "00FF"},
        "UserData": {"Made": {"#attributes": {"xmlns": "urn:x"}, "Who": ["kim", "lee"], "None": null}}
    }});
    assert_eq!(read, expected);
}

#[test]
fn references_and_cdata_are_decoded() {
    let read = event(
        "<Event><EventData><Data Name='&lt;a&gt;'>&quot;&apos;&#65;&#x1F980;&#10;&#0;&unknown;<![CDATA[<b>&amp;]]></Data></EventData></Event>",
    );
    let text = "\"'A\u{1f980}\n\0&unknown;<b>&amp;";
    assert_eq!(read, json!({"Event": {"EventData": {"<a>": text}}}));
}

#[test]
fn what_is_wrong_says_why() {
    for (text, expected) in [
        (
            "<Event><System></Event>",
            "15 the XML of the event is damaged: ",
        ),
        ("<Event><System>", "15 the element <System> is not closed"),
        ("<Other/>", "0 <Other> stands outside of an <Event>"),
        ("text", "0 text stands outside of an <Event>"),
        ("<Event/><Event/>", "8 <Event> stands outside of an <Event>"),
        ("<Event/>é", "8 text stands outside of an <Event>"),
        (
            "<?damaged record 7 at offset 4608: its size is 3?>",
            "0 record 7 at offset 4608: its size is 3",
        ),
        (&"<Event>".repeat(65), "448 more than 64 elements"),
    ] {
        let found = reason(text);
        assert!(found.starts_with(expected), "{text}: {found}");
    }
    for nothing in [
        "",
        " \r",
        "<?xml version='1.0'?>",
        "<Events>",
        "<Events xmlns='x'>",
        "</Events>",
    ] {
        assert_eq!(WindowsXml.line(nothing), Ok(Decoded::Nothing), "{nothing}");
    }
}

#[test]
fn only_events_of_windows_look_like_one() {
    let logon = logon();
    for start in [
        logon.clone(),
        format!("\u{feff}<?xml version=\"1.0\"?>\n<Events>\n{logon}"),
        format!("<!-- x --><Events xmlns='y'>{logon}"),
        "<?damaged chunk 0?>\n".to_owned(),
    ] {
        assert!(looks_like(&start), "{start}");
    }
    for start in [
        "",
        "<Event>",
        "<Eventing><System>",
        "<?xml version='1.0'?><rss/>",
        "{}",
        "<html>",
        "<Events",
        "<E",
    ] {
        assert!(!looks_like(start), "{start}");
    }
}

#[test]
fn no_change_at_any_place_does_harm() {
    let line = logon();
    check::withstands(&mut WindowsXml::new(), looks_like, &line);
    let event = check::event(&mut WindowsXml::new(), &line);
    let lost = check::lost(&line, &event);
    let syntax = ["Data", "Name", "amp", "SystemTime", "Event"];
    assert!(lost.iter().all(|piece| syntax.contains(piece)), "{lost:?}");
    check::reads_long_lines(
        &mut WindowsXml::new(),
        "<Event><EventData>",
        "<Data>1</Data>",
    );
    check::reads_long_lines(&mut WindowsXml::new(), "<Event>", "<Data>");
    check::reads_long_lines(&mut WindowsXml::new(), "<Event>", "&#1;&");
}
