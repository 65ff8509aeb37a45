//! The forms that are text.

use yagura_formats::LineFormat;
use yagura_lake::ingest::Format;

use super::{Form, Make, Text};

const NDJSON: Text = Text {
    head: "",
    records: [
        r#"{"time":"2026-03-01T10:11:12Z","user":"MARK","n":1}"#,
        r#"{"time":"2026-03-01T10:11:13Z","user":"MARK","x":{"y":[1,"}"]},"é":"\u00e9\n"}"#,
        r#"{"time":"2026-03-01T10:11:14Z","user":"MARK","n":1e400}"#,
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        r#"{"user":"MARK","user":"MARK","user":2,"USER":null}"#,
        r#"{"user":"MARK""#,
        r#"{"user":"MARK"#,
        r#"{"user" "MARK"}"#,
        r#"{"user":"MARK",}"#,
        r#"{"user":"MARK"}}"#,
        r#"{"user":"MARK","e":"\ud800\x41\u12"}"#,
        r#"[{"user":"MARK"},{"user":1}]"#,
        r#"[{"user":"MARK"},1]"#,
        r#"{"Records":[{"user":"MARK"},{"user":1}]}"#,
        r#""MARK""#,
        "MARK",
        r#"{"MARK":NaN,"":0x1f,"raw":1,"event_time":2}"#,
    ],
    nested: Some([r#"{"user":"MARK","d":"#, "[{\"a\":", "}]", "}"]),
    long: [r#"{"user":"MARK","pad":""#, r#""}"#],
};

const JSON: Text = Text {
    head: "[\n",
    records: [
        "{\n \"time\": \"2026-03-01T10:11:12Z\",\n \"user\": \"MARK\"\n}",
        r#"{"time":"2026-03-01T10:11:13Z","user":"MARK","x":{"y":[1,"}"]}}"#,
        "{\"user\": \"MARK\",\n\n \"n\": -0}",
    ],
    between: ",\n",
    tail: "\n]\n",
    odd: &[
        r#"{"user":"MARK","user":"MARK","user":2}"#,
        r#"{"user" "MARK"}"#,
        r#"{"user":"MARK""#,
        r#"{"user":"MARK"#,
        r#"{"user":"MARK"}}"#,
        r#""MARK""#,
        r#"["MARK"]"#,
        r#"{"MARK":NaN,"":0x1f}"#,
    ],
    nested: Some([r#"{"user":"MARK","d":"#, "[{\"a\":", "}]", "}"]),
    long: [r#"{"user":"MARK","pad":""#, r#""}"#],
};

const ZEEK: Text = Text {
    head: "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
           #fields\tts\tuid\tport\n#types\ttime\tstring\tport\n",
    records: [
        "1772359872.123456\tMARK\t53",
        "1772359873.123456\té MARK\t-",
        "1772359874.123456\tMARK\t443",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "1772359872.1\tMARK\t53\t54",
        "now\tMARK\tno port",
        "1772359872.1\tMARK\\x4\\xff\\\t1",
        "#fields\tMARK",
    ],
    nested: None,
    long: ["1772359872.1\tMARK", "\t53"],
};

const W3C: Text = Text {
    head: "#Version: 1.0\n#Fields: date time cs-username sc-status\n",
    records: [
        "2026-03-01 10:11:12 MARK 200",
        "2026-03-01 10:11:13 \"é MARK\" 404",
        "2026-03-01 10:11:14 MARK -",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "2026-03-01 10:11:12 MARK 200 201",
        "2026-03-01 10:11:12 \"MARK 200",
        "2026-13-41 99:11:12 MARK x",
        "#Remark: MARK",
    ],
    nested: None,
    long: ["2026-03-01 10:11:12 MARK", " 200"],
};

const WINDOWS_XML: Text = Text {
    head: "",
    records: [
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><EventID>4624</EventID><TimeCreated SystemTime='2026-03-01T10:11:12.1Z'/></System><EventData><Data Name='User'>MARK</Data></EventData></Event>",
        "<Event>\n <System><EventID>1</EventID></System>\n <EventData><Data>MARK &amp; é</Data></EventData>\n</Event>",
        "<Event><System><EventID Qualifiers='0'>7</EventID></System><UserData><a>MARK</a></UserData></Event>",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "<Event><System>MARK</Event>",
        "<Event><System><EventID>MARK</EventID></System>",
        "MARK",
        "<Event a='MARK' a='MARK'><System/></Event>",
        "<Event><Data>&undefined;&#x0;&#99999999;MARK</Data></Event>",
        "<!DOCTYPE lolz [<!ENTITY a \"b\"><!ENTITY c \"&a;&a;\">]><Event><Data>&c;MARK</Data></Event>",
        "<Event><![CDATA[MARK ]] > </Event> ]]></Event>",
        "<!-- > --><Event><!-- </Event> --><Data>MARK</Data></Event>",
        "<Event MARK",
    ],
    nested: Some([
        "<Event><System/><UserData>MARK",
        "<a>",
        "</a>",
        "</UserData></Event>",
    ]),
    long: [
        "<Event><System/><EventData><Data>MARK",
        "</Data></EventData></Event>",
    ],
};

const AUDITD: Text = Text {
    head: "",
    records: [
        "type=USER_LOGIN msg=audit(1772359872.123:41): pid=1 uid=0 msg='op=login acct=\"MARK\" res=failed'",
        "type=SYSCALL msg=audit(1772359873.123:42): exe=\"/bin/MARK\" a0=7ffd\ntype=PATH msg=audit(1772359873.123:42): item=0 name=\"/etc/shadow\"\ntype=PROCTITLE msg=audit(1772359873.123:42): proctitle=636174",
        "type=USER_END msg=audit(1772359874.123:43): pid=1 msg='acct=\"MARK\" res=success'",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "type=MARK",
        "type=SYSCALL msg=audit(1772359873.123:44): exe=MARK exe=MARK exe=2",
        "type=SYSCALL msg=audit(1772359873.123:99999999999999999999): exe=MARK",
        "type=SYSCALL msg=audit(99999999999999.123:44): exe=MARK",
        "type=SYSCALL msg=audit(1772359873.123:44): exe=\"MARK",
        "type=PROCTITLE msg=audit(1772359873.123:45): proctitle=6MARK",
    ],
    nested: None,
    long: [
        "type=USER_CMD msg=audit(1772359873.123:46): pid=1 MARK msg='cmd=",
        "'",
    ],
};

const CEF: Text = Text {
    head: "",
    records: [
        "CEF:0|Acme|Wall|1.0|100|blocked|7|src=10.0.0.1 suser=MARK rt=1772359872000",
        "<34>Mar  1 10:11:12 web CEF:0|Acme|Wall|1.0|100|a \\| b|7|suser=MARK msg=é \\= b",
        "CEF:0|Acme|Wall|1.0|101|x|7|msg=two words MARK cs1Label=Zone cs1=dmz",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "CEF:0|MARK",
        "CEF:0|Acme|Wall|1.0|100|x|7|MARK",
        "CEF:0|Acme|Wall|1.0|100|x|7|a=MARK a=MARK a=2",
        "CEF:99999999999999999999|Acme|Wall|1.0|100|x|7|a=MARK\\",
        "CEF:0|Acme|Wall|1.0|100|x|7|=MARK =",
    ],
    nested: None,
    long: [
        "CEF:0|Acme|Wall|1.0|100|x|7|suser=MARK msg=",
        " rt=1772359872000",
    ],
};

const LEEF: Text = Text {
    head: "",
    records: [
        "LEEF:2.0|Acme|Wall|1.0|100|^|src=10.0.0.1^usrName=MARK^devTime=Mar 01 2026 10:11:12",
        "LEEF:1.0|Acme|Wall|1.0|101|src=10.0.0.1\tusrName=MARK\tmsg=é",
        "<34>Mar  1 10:11:12 web LEEF:2.0|Acme|Wall|1.0|102|x7c|usrName=MARK|a=b",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "LEEF:2.0|MARK",
        "LEEF:2.0|Acme|Wall|1.0|100|x999|a=MARK",
        "LEEF:2.0|Acme|Wall|1.0|100||a=MARK\ta=MARK\ta=2",
        "LEEF:1.0|Acme|Wall|1.0|100|MARK",
    ],
    nested: None,
    long: [
        "LEEF:1.0|Acme|Wall|1.0|101|usrName=MARK\tmsg=",
        "\tdst=10.0.0.2",
    ],
};

const ACCESS: Text = Text {
    head: "",
    records: [
        "10.0.0.1 - MARK [01/Mar/2026:10:11:12 +0000] \"GET /a HTTP/1.1\" 200 12 \"-\" \"curl/8\"",
        "10.0.0.1 - - [01/Mar/2026:10:11:13 +0000] \"GET /MARK HTTP/1.1\" 200 -",
        "10.0.0.1 - - [01/Mar/2026:10:11:14 +0000] \"\\x16\\x03\" 400 0 \"-\" \"é MARK\"",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "10.0.0.1 - - [01/Mar/2026:10:11:12 +0000] \"GET /MARK",
        "10.0.0.1 - - [99/Mar/2026:10:11:12 +0000] \"GET /MARK HTTP/1.1\" 200 12",
        "10.0.0.1 - - [01/Mar/2026:10:11:12 +0000] \"GET /MARK HTTP/1.1\" 99999999999999999999 x",
        "10.0.0.1 - - MARK] \"GET / HTTP/1.1\" 200 12",
    ],
    nested: None,
    long: [
        "10.0.0.1 - MARK [01/Mar/2026:10:11:12 +0000] \"GET /",
        " HTTP/1.1\" 200 12",
    ],
};

const AWS: Text = Text {
    head: "",
    records: [
        "2 111122223333 eni-MARK 192.0.2.7 192.0.2.8 50000 22 6 5 300 1772359872 1772359900 ACCEPT OK",
        "2 111122223333 eni-MARK - - - - - - - 1772359873 1772359900 - NODATA",
        "2 111122223333 eni-MARK 192.0.2.7 192.0.2.8 50000 443 6 5 300 1772359874 1772359900 REJECT OK",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "2 111122223333 eni-MARK",
        "2 111122223333 eni-MARK a b c d e f g h i j k l m n",
        "2 111122223333 \"eni-MARK 192.0.2.7 192.0.2.8 50000 22 6 5 300 1772359872 1772359900 ACCEPT OK",
        "version MARK account-id interface-id",
    ],
    nested: None,
    long: [
        "2 111122223333 eni-MARK",
        " 192.0.2.7 192.0.2.8 50000 22 6 5 300 1772359872 1772359900 ACCEPT OK",
    ],
};

const LOGFMT: Text = Text {
    head: "",
    records: [
        "time=2026-03-01T10:11:12Z level=info user=MARK",
        "date=2026-03-01 time=10:11:13 devname=\"wall\" user=MARK msg=\"é \\\"x\\\"\"",
        "time=2026-03-01T10:11:14Z level=info msg=\"a b\" user=MARK",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "=MARK",
        "user=MARK user=MARK user=2",
        "user=\"MARK",
        "user=\"MARK\\",
        "time=never user=MARK = \"\" =",
    ],
    nested: None,
    long: [
        "time=2026-03-01T10:11:12Z level=info user=MARK msg=\"",
        "\" a=b",
    ],
};

const SYSLOG: Text = Text {
    head: "",
    records: [
        "<34>1 2026-03-01T10:11:12.003Z web.example.org app 812 ID47 [a@32473 k=\"MARK\"] message",
        "<13>Mar  1 10:11:13 web sshd[812]: Failed password for MARK é",
        "2026-03-01T10:11:14Z web app: MARK",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "<999>1 MARK",
        "<34>1 2026-03-01T10:11:12Z web app 812 ID47 [a@32473 k=\"MARK",
        "<34>1 2026-03-01T10:11:12Z web app 812 ID47 [a k=\"1\" k=\"MARK\"][a k=\"2\"] x",
        "<34>Feb 30 99:11:12 web MARK",
        "999999 <34>1 2026-03-01T10:11:12Z web app - - - MARK",
    ],
    nested: None,
    long: ["<13>Mar  1 10:11:13 web sshd[812]: MARK ", " end"],
};

const CSV: Text = Text {
    head: "time,user,note\n",
    records: [
        "2026-03-01T10:11:12Z,MARK,one",
        "2026-03-01T10:11:13Z,MARK,\"a \"\"b\"\"\nand é, c\"",
        "2026-03-01T10:11:14Z,\"MARK\",",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "2026-03-01T10:11:12Z,MARK,one,two",
        "2026-03-01T10:11:12Z,\"MARK,one",
        "2026-03-01T10:11:12Z,\"MARK\"x,one",
        "2026-03-01T10:11:12Z;MARK;one",
    ],
    nested: None,
    long: ["2026-03-01T10:11:12Z,MARK,", "end"],
};

const TEXT: Text = Text {
    head: "",
    records: [
        "one MARK",
        "2026-03-01T10:11:13Z two MARK é",
        "three \"MARK",
    ],
    between: "\n",
    tail: "\n",
    odd: &["MARK", "{\"user\":\"MARK", "\u{feff}MARK\u{1b}[0m"],
    nested: None,
    long: ["MARK ", " end"],
};

const MODSECURITY: Text = Text {
    head: "",
    records: [
        "--c7036611-A--\n[01/Mar/2026:10:11:12 +0000] MARK 192.0.2.1 50232 192.0.2.2 80\n--c7036611-B--\nGET /a HTTP/1.1\nHost: a.example\n\n--c7036611-Z--\n",
        "--1f2e3d4c-A--\n[01/Mar/2026:10:11:13 +0000] MARK 192.0.2.1 50233 192.0.2.2 80\n--1f2e3d4c-H--\nMessage: denied [msg \"é\"]\n\n--1f2e3d4c-Z--\n",
        "--aa00bb11-A--\n[01/Mar/2026:10:11:14 +0000] MARK 192.0.2.1 50234 192.0.2.2 80\n--aa00bb11-Z--\n",
    ],
    between: "\n",
    tail: "\n",
    odd: &[
        "MARK",
        "--aa00bb22-A--\nMARK\n--aa00bb22-Z--",
        "--aa00bb33-A--\n[01/Mar/2026:10:11:14 +0000] MARK",
        "--aa00bb44-Z--\nMARK",
    ],
    nested: None,
    long: [
        "--aa00bb55-A--\n[01/Mar/2026:10:11:14 +0000] MARK 192.0.2.1 50234 192.0.2.2 80\n--aa00bb55-C--\n",
        "\n--aa00bb55-Z--",
    ],
};

pub(super) fn forms() -> Vec<Form> {
    let form = |name, format, text| Form {
        name,
        format,
        make: Make::Text(text),
        ends_at_fault: false,
        is_headed: false,
    };
    let mut forms = vec![
        form("ndjson", Format::Ndjson, &NDJSON),
        Form {
            ends_at_fault: true,
            ..form("json", Format::Json, &JSON)
        },
    ];
    forms.extend(LineFormat::ALL.into_iter().filter_map(|format| {
        // No arm for all others: whoever adds a format adds its records here.
        let text: &'static Text = match format {
            LineFormat::Zeek => &ZEEK,
            LineFormat::W3c => &W3C,
            LineFormat::WindowsXml => &WINDOWS_XML,
            // Which elements are events, a source says: `runtime/formats/src/xml/tests.rs` cuts such documents.
            LineFormat::Xml => return None,
            LineFormat::ModSecurity => &MODSECURITY,
            LineFormat::Auditd => &AUDITD,
            LineFormat::Cef => &CEF,
            LineFormat::Leef => &LEEF,
            LineFormat::Access => &ACCESS,
            LineFormat::Aws => &AWS,
            LineFormat::Logfmt => &LOGFMT,
            LineFormat::Syslog => &SYSLOG,
            LineFormat::Csv => &CSV,
            LineFormat::Text => &TEXT,
        };
        Some(Form {
            is_headed: format == LineFormat::Csv,
            ..form(format.name(), Format::Lines(format), text)
        })
    }));
    forms
}
