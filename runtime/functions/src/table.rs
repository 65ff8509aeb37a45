//! The functions: names, arguments, and what a page shows of them.

use std::ops::RangeInclusive;

use crate::{FunctionDoc, Made, ResultKind, Wrong};
use crate::{
    checksum, decoding, duration, grok, ip, json, lines, lookup, pairs, pattern, time, urls,
    user_agent, xml,
};

/// Returns the regular expression that settings name.
pub(crate) type PatternOf = fn(&[&str]) -> Option<String>;

/// A function.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) doc: FunctionDoc,
    /// The index of the argument that is read; the others are settings.
    pub(crate) read: usize,
    /// How many settings there are.
    pub(crate) settings: RangeInclusive<usize>,
    /// Makes the function of its settings.
    pub(crate) prepare: fn(&[&str]) -> Made,
    /// Checks the settings. It is called several times for one call, so it compiles nothing.
    pub(crate) check: fn(&[&str]) -> Result<(), Wrong>,
    /// Returns the regular expression that is compiled. A function that has one takes settings only as literals.
    pub(crate) pattern: Option<PatternOf>,
}

/// Returns a definition without a pattern; the first argument is read.
macro_rules! function {
    ($name:literal ($arguments:literal) -> $result:ident, $settings:expr, $prepare:path, $about:literal, $example:literal => $gives:literal) => {
        Definition {
            doc: FunctionDoc {
                name: $name,
                arguments: $arguments,
                result: ResultKind::$result,
                about: $about,
                example: $example,
                gives: $gives,
            },
            read: 0,
            settings: $settings,
            prepare: $prepare,
            check: |settings| $prepare(settings).map(|_| ()),
            pattern: None,
        }
    };
}

/// All functions, by topic.
pub(crate) static DEFINITIONS: [Definition; 25] = [
    function!(
        "json_get" ("text, path") -> Text, 1..=1, json::prepare,
        "Returns a value inside JSON text. A part of the path is a key, a key in double quotes, or an index `[0]`. A string that \
         contains JSON is entered. Of equal keys the first one counts.",
        r#"json_get('{"user": {"roles": ["admin", "dev"]}}', 'user.roles[0]')"# => "admin"
    ),
    function!(
        "json_quote" ("text") -> Text, 0..=0, json::quote,
        "Returns a text as a JSON string, in quotes and with escapes, to build JSON from texts.",
        r#"json_quote('a "new" one')"# => r#""a \"new\" one""#
    ),
    function!(
        "list_get" ("list, index") -> Text, 1..=1, json::list_get,
        "Returns an element of a JSON array, from 0. A negative index counts from the end: -1 is the last element. NULL if the text is \
         not an array, or has no such element.",
        r#"list_get('["admin", "dev"]', -1)"# => "dev"
    ),
    function!(
        "parse_kv" ("text, key [, pair_separator [, key_separator]]") -> Text, 1..=3, pairs::prepare,
        "Returns the value of a key. Without separators, the text is read as the format `logfmt`. The key separator is `=` if it is \
         left out. A key that stands several times gives a JSON array.",
        "parse_kv('user: ada; role: admin', 'role', ';', ':')" => "admin"
    ),
    Definition {
        doc: FunctionDoc {
            name: "parse_regex",
            arguments: "text, pattern, group",
            result: ResultKind::Text,
            about: "Returns a group of the first match of a regular expression. The group is a name or a number; 0 is the whole match.",
            example: "parse_regex('login of ada', 'of (?<user>[a-z]+)', 'user')",
            gives: "ada",
        },
        read: 0,
        settings: 2..=2,
        prepare: pattern::prepare,
        check: pattern::check,
        pattern: Some(pattern::pattern),
    },
    Definition {
        doc: FunctionDoc {
            name: "parse_grok",
            arguments: "text, pattern, field",
            result: ResultKind::Text,
            about: "Returns a field of a grok pattern, which matches anywhere in the text. `^` and `$` bind it to the ends.",
            example: "parse_grok('192.0.2.1 GET /a', '^%{IP:client} %{WORD:verb} %{NOTSPACE:path}$', 'verb')",
            gives: "GET",
        },
        read: 0,
        settings: 2..=2,
        prepare: grok::prepare,
        check: grok::check,
        pattern: Some(grok::pattern),
    },
    function!(
        "parse_syslog" ("text, member") -> Text, 1..=1, lines::syslog,
        "Returns a member of a syslog line, under the names of the format `syslog`. `timestamp` is NULL for a time without a year.",
        "parse_syslog('<34>Feb  3 04:05:06 web sshd[7]: no entry', 'app_name')" => "sshd"
    ),
    function!(
        "parse_cef" ("text, member") -> Text, 1..=1, lines::cef,
        "Returns a member of a CEF line, under the names of the format `cef`.",
        "parse_cef('CEF:0|Acme|Wall|1|7|Deny|5|src=192.0.2.1 msg=no entry', 'msg')" => "no entry"
    ),
    function!(
        "parse_leef" ("text, member") -> Text, 1..=1, lines::leef,
        "Returns a member of a LEEF line, under the names of the format `leef`.",
        "parse_leef('LEEF:2.0|Acme|Wall|1|deny|^|src=192.0.2.1^usrName=ada', 'usrName')" => "ada"
    ),
    function!(
        "parse_xml" ("text, path") -> Text, 1..=1, xml::prepare,
        "Returns the text of an element, or the value of an attribute with `/@name`. `[2]` is the second element of a name. \
         `[@Name='User']` is the one with this attribute.",
        "parse_xml('<Event><System><EventID>4625</EventID></System></Event>', 'Event/System/EventID')" => "4625"
    ),
    function!(
        "parse_url" ("text, part") -> Text, 1..=1, urls::part,
        "Returns a part of a URL: `scheme`, `user`, `password`, `host`, `port`, `path`, `query` or `fragment`. The parts are \
         normalized: the host is in lower case, and `port` has the default of the scheme. A text that begins with `/` has a path, a \
         query and a fragment.",
        "parse_url('https://Example.com/a?b=1', 'host')" => "example.com"
    ),
    function!(
        "basename" ("path") -> Text, 0..=0, urls::basename,
        "Returns the last part of a path, behind `/` or `\\`. Separators at the end are left out. NULL if nothing else is there.",
        r"basename('C:\Windows\System32\cmd.exe')" => "cmd.exe"
    ),
    function!(
        "parse_query" ("text, key") -> Text, 1..=1, urls::query,
        "Returns the first value of a key in the query of a URL, or in a text that is a query. `+` and `%20` become blanks.",
        "parse_query('https://example.com/a?q=two+words', 'q')" => "two words"
    ),
    function!(
        "parse_user_agent" ("text, part") -> Text, 1..=1, user_agent::prepare,
        "Returns a part of the HTTP header `User-Agent`: `browser`, `browser_version`, `os`, `os_version` or `device`. The browser may \
         also be a bot or a tool. Devices are `desktop`, `mobile`, `tablet`, `tv`, `bot` and `tool`. The rules are few, and know no \
         models.",
        "parse_user_agent('curl/8.5.0', 'device')" => "tool"
    ),
    function!(
        "parse_time" ("text, format [, zone]") -> Time, 1..=2, time::prepare,
        "Returns a time. The format is that of [chrono](https://docs.rs/chrono/latest/chrono/format/strftime/). The zone is a name of the \
         IANA database or an offset; without it, the time is in UTC. An offset in the text comes first. A text without a year is NULL.",
        "parse_time('03.02.2024 04:05:06', '%d.%m.%Y %H:%M:%S', 'Europe/Berlin')" => "2024-02-03T03:05:06Z"
    ),
    function!(
        "parse_duration" ("text") -> Number, 0..=0, duration::prepare,
        "Returns a length of time in milliseconds, rounded down. It reads `1h30m`, `3 minutes, 2 seconds`, `1d 02:03:04` and `PT1H30M`. \
         A number without a unit is NULL.",
        "parse_duration('1h30m')" => "5400000"
    ),
    Definition {
        doc: FunctionDoc {
            name: "cidr_contains",
            arguments: "networks, address",
            result: ResultKind::Truth,
            about: "Returns whether an address is in one of the networks. Networks and single addresses are separated by commas or blanks.",
            example: "cidr_contains('10.0.0.0/8, 2001:db8::/32', '10.1.2.3')",
            gives: "true",
        },
        read: 1,
        settings: 1..=1,
        prepare: ip::cidr_contains,
        check: |settings| ip::cidr_contains(settings).map(|_| ()),
        pattern: None,
    },
    function!(
        "is_private_ip" ("address") -> Truth, 0..=0, ip::is_private,
        "Returns whether an address is not reached from the internet: private, shared, loopback, link-local or unique local.",
        "is_private_ip('192.168.1.1')" => "true"
    ),
    function!(
        "is_ip" ("text") -> Truth, 0..=0, ip::is_ip,
        "Returns whether a text is an IP address.",
        "is_ip('192.0.2.256')" => "false"
    ),
    function!(
        "ip_version" ("address") -> Number, 0..=0, ip::version,
        "Returns 4 or 6. An address such as `::ffff:192.0.2.1` has version 4.",
        "ip_version('2001:db8::1')" => "6"
    ),
    function!(
        "map_value" ("value, key, result [, key, result …] [, default]") -> Text, 2..=1_000, lookup::prepare,
        "Returns the result of the key that equals the value; else the default, or NULL if there is none. Of NULL it is NULL.",
        "map_value('17', '6', 'TCP', '17', 'UDP', 'other')" => "UDP"
    ),
    function!(
        "base64_decode_text" ("text [, encoding]") -> Text, 0..=1, decoding::base64,
        "Returns the text that base 64 stands for, in both alphabets. The encoding is `utf-8`, or `utf-16le` as in PowerShell. NULL if the \
         bytes are not text, or the input is longer than 1 MiB.",
        "base64_decode_text('aQBlAHgA', 'utf-16le')" => "iex"
    ),
    function!(
        "hex_decode_text" ("text [, encoding]") -> Text, 0..=1, decoding::hex,
        "Returns the text that hexadecimal digits stand for, with the same encodings and limit.",
        "hex_decode_text('77686f616d69')" => "whoami"
    ),
    function!(
        "hex_to_int" ("text") -> Number, 0..=0, decoding::hex_to_int,
        "Returns the number that hexadecimal digits stand for, with or without `0x`. NULL above 7fffffffffffffff.",
        "hex_to_int('0x3e7')" => "999"
    ),
    function!(
        "luhn" ("text") -> Truth, 0..=0, checksum::luhn,
        "Returns whether the last digit is the check digit of the others, as in card numbers. Blanks and hyphens are left out.",
        "luhn('4242 4242 4242 4242')" => "true"
    ),
];
