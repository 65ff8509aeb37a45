//! The registry of codes: every kind of diagnostic, once.
//!
//! A code is a stable name for filters, for suppression in code-scanning tools and for searching the documentation. It says what kind
//! of thing is wrong, not how bad it is: a rule's missing table is an error in one place and a note in another.

use std::fmt;
use std::fmt::Write as _;

use serde::{Serialize, Serializer};

/// Declares [`Code`] from the list below: name, title, explanation, example of a fix.
macro_rules! codes {
    ($($variant:ident, $name:literal, $title:literal, $explanation:literal, $fix:literal;)*) => {
        /// A kind of diagnostic.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the stable name, in kebab case.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns one line that says what the code means.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }

            /// Returns why it is reported and what to do.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => $explanation,)*
                }
            }

            /// Returns an example of what to write.
            pub fn fix(self) -> &'static str {
                match self {
                    $(Self::$variant => $fix,)*
                }
            }
        }
    };
}

codes! {
    // Any file.
    UnreadableFile, "unreadable-file", "The file cannot be read",
        "The file is missing, too large, not a regular file, or not text in UTF-8. The message names the cause. Correct the path, \
         or save the file as UTF-8.",
        "policy = \"policy.toml\"   # relative to the file that names it";
    TomlSyntax, "toml-syntax", "The file is not valid TOML",
        "The TOML parser stopped at the place that is underlined. Most often a quote, a bracket or an equals sign is missing, or a \
         key is given twice.",
        "title = \"Root login\"   # quotes around text";
    JsonSyntax, "json-syntax", "The file is not valid JSON",
        "The JSON parser stopped at the place that is underlined. Most often a quote, a comma or a bracket is missing.",
        "{ \"name\": \"ann\" }";
    UnknownKey, "unknown-key", "The key is not known here",
        "Files accept known keys only, so that a misspelled key is not ignored. The message names near keys; the help lists all of \
         them.",
        "where = \"event_name = 'ConsoleLogin'\"   # not wehre";
    MissingKey, "missing-key", "A required key is missing",
        "The table that is underlined needs this key. Add it.",
        "owner = \"soc@example.org\"";
    WrongType, "wrong-type", "The value has the wrong type",
        "The key takes a value of another type: text, a number, true or false, a list or a table.",
        "threshold = 5   # a number, without quotes";
    InvalidValue, "invalid-value", "The value is not allowed",
        "The value has the right type and is outside of what the key accepts. The message says what to write.",
        "memory_mib = 256   # from 1 to 4096";
    InvalidDuration, "invalid-duration", "The text is not a duration",
        "A duration is a number and one of the units `ms`, `s`, `m`, `h` and `d`, above zero.",
        "window = \"15m\"";
    EmptyValue, "empty-value", "The value is empty",
        "The key needs at least one value, or some text. The message says which, or suggests to leave the key out.",
        "notify = [\"chat\"]";
    InvalidName, "invalid-name", "The text is not a name or an id",
        "Names of packs and ids of rules become file names, keys and addresses, so only some characters are allowed.",
        "id = \"aws-root-login\"   # lower-case letters, digits and `-`";
    DuplicateName, "duplicate-name", "Two things have the same name or id",
        "Ids of rules, names of test cases and names of keys tell things apart. Give one of the two another.",
        "id = \"aws-root-login-2\"";
    UnknownReference, "unknown-reference", "The name refers to nothing",
        "The value names a rule, plugin, notifier, team or key that is not defined in what was read. The message names near ones.",
        "notify = [\"chat\"]   # needs [notifier.chat]";
    ConflictingKeys, "conflicting-keys", "Keys exclude or need each other",
        "The key has no effect, or contradicts another one that is given. Remove one of them, or add the key that it needs.",
        "plugin = \"detector.wasm\"\npartition_by = [\"user_name\"]   # only with a plugin";

    // Packs.
    NotAPack, "not-a-pack", "The directory is not a pack",
        "A pack is a directory with a `pack.toml`. Name that directory.",
        "yagura check --pack packs/aws   # the directory that holds pack.toml";
    InvalidVersion, "invalid-version", "The text is not a version or a range of versions",
        "Packs have semantic versions of three numbers; `api` and dependencies take ranges of them.",
        "version = \"1.4.0\"\napi = \"0.1.0\"";
    InvalidLicense, "invalid-license", "The license is not an SPDX expression",
        "Tools that list the licenses of what runs read SPDX expressions only.",
        "license = \"Apache-2.0 OR MIT\"";
    InvalidDependency, "invalid-dependency", "A dependency cannot be met",
        "A pack needs another pack that is not loaded, or that has another version; or two packs of one name are loaded.",
        "[pack.dependencies]\nbase = \">=0.2, <0.4\"";
    PackRefused, "pack-refused", "The pack would not be let in",
        "`yagura run` and `yagura serve` refuse the pack: its signature, version or requests do not satisfy the trust policy, the \
         grants or what was used before.",
        "yagura verify --trust trust.toml pack.tar.zst   # says what is missing";
    NotGranted, "not-granted", "A request is not granted",
        "A plugin asks for something that the grants file does not allow, so the plugin runs without it.",
        "[pack.aws]\nhttp = [\"https://api.example.org\"]";
    WrongWorld, "wrong-world", "The plugin exports another world",
        "Rules need a `detector`, notifiers a `notifier`, and so on.",
        "[[plugin]]\nfile = \"detector.wasm\"\nworld = \"detector\"";
    UnavailableCapability, "unavailable-capability", "Plugins of this world cannot have the capability",
        "What a plugin can import depends on its world: detectors and normalizers reach nothing but their log.",
        "world = \"enricher\"   # may request http, secrets, search, lookups and directories";
    InvalidCapability, "invalid-capability", "A server, network or name of a capability is not valid",
        "Servers are written as `https://` and a host, networks as an address and a prefix length, names without blanks.",
        "http = [\"https://api.example.org\"]\nnetworks = [\"10.1.0.0/16\"]";
    PluginNotBuilt, "plugin-not-built", "The plugin is not built yet",
        "The component that the rule or the source names does not exist, so its code was not checked.",
        "yagura build packs/aws";
    PluginLacksRule, "plugin-lacks-rule", "The plugin has no code for the rule",
        "A detector answers which rules it has code for, and this one is not among them.",
        "id = \"impossible-travel\"   # the id in rule and code must be the same";
    PluginProblem, "plugin-problem", "A plugin of the policy or of a source cannot be used as it is configured",
        "The plugins of the policy and of sources were opened as `yagura serve` opens them, and the message says what failed or looks wrong.",
        "[notifier.chat]\nplugin = \"slack/notifier.wasm\"";
    InvalidDigest, "invalid-digest", "The text is not a digest",
        "A digest is `sha256:` and 64 hexadecimal digits. Lock files are written by `yagura pull`: remove a damaged one.",
        "digest = \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"";
    DamagedFile, "damaged-file", "A file that yagura wrote is damaged",
        "The file does not hold what yagura writes into it. Restore it from a backup, or remove it to begin anew where the message \
         says so.",
        "rm installed.toml   # older versions of packs are accepted again";
    InvalidManifest, "invalid-manifest", "A line of MANIFEST.sha256 is not valid",
        "The manifest lists each file of an archive once, in order, with its digest. `yagura pack` writes it.",
        "yagura pack packs/aws";

    // Trust.
    InvalidKey, "invalid-key", "The public key cannot be read",
        "A public key is the second line of the `.pub` file that `yagura keygen` wrote.",
        "public = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"";
    DuplicateKey, "duplicate-key", "Two signers are the same, or look the same",
        "One signer under two names would count as two signatures; a signature cannot distinguish two keys with one id.",
        "[[key]]\nname = \"release\"   # once";
    ImpossibleRequirement, "impossible-requirement", "No pack can satisfy the requirement",
        "The `[[require]]` asks for signatures that the keys of the trust policy cannot give.",
        "[[require]]\npacks = [\"aws\"]\nany_of = [\"release\", \"review\"]\nat_least = 2";
    MissingFeature, "missing-feature", "This program was built without what the file needs",
        "The file uses an optional part of yagura, such as keyless signatures. Build yagura with the feature, or take it out.",
        "cargo build --release --features sigstore";

    // Rules.
    MissingCondition, "missing-condition", "The rule would alert on every event",
        "A rule without a plugin and without `where` matches each event of its table.",
        "where = \"event_name = 'ConsoleLogin'\"";
    InvalidCondition, "invalid-condition", "The condition cannot be evaluated",
        "The SQL of `where` does not parse, names a field that the table lacks, or compares what cannot be compared.",
        "where = \"user_name = 'root' AND source_ip IS NOT NULL\"";
    UnknownField, "unknown-field", "The table has no such field",
        "The rule names a field that the table, or the events that were sampled, do not have. The test of it is never true.",
        "optional = [\"error_code\"]   # where events may lack it";
    UnusedField, "unused-field", "The field is listed and not used",
        "`optional` names a field that the rule does not read.",
        "optional = []";
    UnknownTable, "unknown-table", "The rule cannot run on the tables that were read",
        "The rule's table, or the log source of a Sigma rule, is not among the tables; or a table looks wrong.",
        "table = \"aws_cloudtrail\"";
    TypeMismatch, "type-mismatch", "No value of the field's type passes the test",
        "The rule compares a field with a value of another type, so the test is never true.",
        "where = \"status = 404\"   # a number, where the column holds numbers";
    NeverMatches, "never-matches", "The condition is never true",
        "The rule asks one field to have two different values, or refuses what it asks for.",
        "where = \"name = 'a' OR name = 'b'\"   # not AND";
    AlwaysMatches, "always-matches", "The condition is always true",
        "Each event of the table matches.",
        "where = \"event_name = 'ConsoleLogin'\"";
    Expensive, "expensive", "The condition is expensive",
        "The test has no fixed part by which most events could be left out, so it is evaluated on nearly every one.",
        "where = \"command LIKE '%mimikatz%'\"   # a fixed part of three letters or more";
    DuplicateRule, "duplicate-rule", "Two rules ask the same",
        "Both rules have the same condition over the same events, so each match makes two alerts.",
        "rm rules/copy.toml";
    StateWithoutEnd, "state-without-end", "The rule keeps state and does not say for how long",
        "Without `state_for` a key's state is dropped 30 days after its last event.",
        "state_for = \"7d\"";
    MissingAttackTag, "missing-attack-tag", "The rule has no tag of ATT&CK",
        "`yagura coverage` counts rules by their ATT&CK tags.",
        "tags = [\"attack.t1078.004\"]";
    InvalidTestCase, "invalid-test-case", "A test case cannot run as it is written",
        "A case needs a name, events, and an expectation that these can meet.",
        "[[test]]\nname = \"a root login is found\"\nmatches = true\nevent = { event_name = \"ConsoleLogin\" }";

    // Correlations.
    InvalidCorrelation, "invalid-correlation", "A correlation's keys do not fit its kind",
        "Each kind of correlation needs some keys and does not use others.",
        "[rule.correlation]\ntype = \"count\"\nrules = [\"failed-logon\"]\nwithin = \"10m\"\ncondition = { gte = 5 }";
    CircularCorrelation, "circular-correlation", "Correlations join each other in a circle",
        "A correlation that joins itself, directly or by others, has no findings to begin with.",
        "rules = [\"failed-logon\"]   # not the correlation itself";
    CorrelationField, "correlation-field", "A joined rule lacks a field of the correlation",
        "The correlation reads a field that the findings of a joined rule do not have. Give its other name in `aliases`.",
        "[rule.correlation.aliases]\nuser = { windows-logon = \"TargetUserName\" }";
    CorrelationNotRunning, "correlation-not-running", "The correlation cannot run",
        "The correlation joins rules that do not run, or that were not read.",
        "yagura check --sigma rules/ --sigma correlations/";
    MissingGeolocation, "missing-geolocation", "The geolocation database is missing or cannot be read",
        "`travel` needs coordinates: from fields of the events, or from a geolocation database (MMDB).",
        "geoip = \"GeoLite2-City.mmdb\"   # in the configuration";

    // Sigma.
    YamlSyntax, "yaml-syntax", "The file is not valid YAML",
        "The YAML parser stopped at this line. Most often the indentation is wrong, or a text with `:` or `*` needs quotes.",
        "CommandLine: '* -enc *'";
    SigmaRule, "sigma-rule", "The document is not a Sigma rule that can be read",
        "The document lacks a part that Sigma requires, or a part has another form.",
        "title: Root login\nlogsource:\n  product: aws\n  service: cloudtrail\ndetection:\n  sel:\n    eventName: ConsoleLogin\n  condition: sel";
    SigmaCondition, "sigma-condition", "The condition of a Sigma rule cannot be read",
        "The condition joins the names of detections by `and`, `or`, `not`, `1 of` and `all of`. Aggregates after `|` are Sigma's old \
         form; correlation rules take their place.",
        "condition: selection and not filter";
    SigmaDetection, "sigma-detection", "A detection of a Sigma rule cannot be evaluated",
        "A modifier, value or placeholder of the detection is not supported, or does not fit the others.",
        "CommandLine|contains: mimikatz";
    SigmaNesting, "sigma-nesting", "A Sigma file is nested too deeply",
        "Brackets or conditions are nested deeper than the parser can bear.",
        "condition: all of selection*";
    SigmaMetadata, "sigma-metadata", "Metadata of a Sigma rule is missing or ignored",
        "The rule runs, and a value of its metadata is missing, misspelled or has another form, so it has no effect.",
        "id: 929a690e-bef0-4204-a928-ef5e620d6fcc\nlevel: high\ndate: 2026-03-01";
    UnusedDetection, "unused-detection", "The condition does not use a detection",
        "A detection that the condition does not name has no effect.",
        "condition: selection and not filter_main";

    // Policies.
    InvalidPattern, "invalid-pattern", "A pattern of the policy is not valid",
        "Patterns are texts in which `*` stands for any text; for addresses also networks.",
        "observables = { ip = [\"10.0.0.0/8\"] }";
    InvalidHours, "invalid-hours", "The text is not a range of hours",
        "Hours are written with days and a time zone, both of which may be left out.",
        "hours = [\"mon-fri 09:00-18:00 Asia/Tokyo\"]";
    UnusedNotifier, "unused-notifier", "No route uses the notifier",
        "Reports go where a `[[route]]` sends them.",
        "[[route]]\nnotify = [\"chat\"]";
    NoReceiver, "no-receiver", "The policy notifies nobody",
        "Incidents are recorded, and no notifier gets a report.",
        "[[route]]\nnotify = [\"chat\"]";
    UnreachableRoute, "unreachable-route", "The route is never reached",
        "Routing stops at the first matching route, unless that sets `also = true`, and an earlier route matches all that this does.",
        "also = true   # in the earlier route";
    Expired, "expired", "The suppression or maintenance is over",
        "Its end has passed, so it has no effect any more. Delete it, or ask its owner for a new end.",
        "expires = \"2027-01-01\"";
    MutualInhibition, "mutual-inhibition", "Two alerts inhibit each other",
        "Alerts that match `by` also match `silences`, so that two such alerts inhibit each other.",
        "silences = { severity = \"low\", not = { severity = \"high\" } }";
    UnknownKind, "unknown-kind", "The kind of observable is not known",
        "Rules may have kinds of their own; this one looks like a misspelled known kind.",
        "by = [\"ip\", \"user\"]";
    NetworkBits, "network-bits", "The network has bits behind its prefix",
        "The address is cut to its prefix, which is more than the address itself.",
        "ip = [\"10.0.0.0/8\"]   # not 10.1.2.3/8";

    // Data.
    InvalidLookup, "invalid-lookup", "A lookup table cannot be read",
        "Lookup tables are CSV with a line of names, NDJSON with an object a line, or MMDB.",
        "user,team\nann,cloud";
    InvalidTable, "invalid-table", "A table of the configuration cannot be used",
        "The table has no place that it could be read from, or its definition cannot be read.",
        "[table.dns]\nurl = \"s3://logs/dns\"";
}

impl Code {
    /// Returns where the code is explained, below the documentation's address.
    pub fn anchor(self) -> String {
        format!("contributors/diagnostics.md#{}", self.name())
    }

    /// Returns the page that lists all codes, which is kept in `docs/contributors/diagnostics.md`.
    pub fn page() -> String {
        let mut page = String::from(
            "# Diagnostics\n\n\
             <!-- Generated from runtime/core/src/diagnostic/code.rs: `YAGURA_REWRITE=1 cargo test -p yagura-core diagnostic` -->\n\n\
             Look up here what a code means and how to fix it. Everything that yagura reports about a file has one of these codes: in \
             brackets in text, as `code` in JSON, as `ruleId` in SARIF.\n\n\
             ```text\n\
             yagura check --pack packs/aws --format json | jq 'select(.code == \"unknown-field\")'\n\
             yagura check --pack packs/aws --format sarif > yagura.sarif\n\
             ```\n\n\
             Codes are stable: a code keeps its name and its meaning. What a code is reported for, and at which level, can change.\n\n\
             | Code | Meaning |\n|---|---|\n",
        );
        for code in Self::ALL {
            // Writing to a string does not fail.
            let _ = writeln!(page, "| [`{0}`](#{0}) | {1} |", code.name(), code.title());
        }
        for code in Self::ALL {
            let (name, title) = (code.name(), code.title());
            let (explanation, fix) = (code.explanation(), code.fix());
            let _ = write!(
                page,
                "\n## {name}\n\n{title}. {explanation}\n\n```text\n{fix}\n```\n"
            );
        }
        page
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn names_are_unique_and_in_kebab_case() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let is_kebab = code
                .name()
                .split('-')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()));
            assert!(is_kebab, "{code}");
            for text in [code.title(), code.explanation(), code.fix()] {
                assert!(!text.trim().is_empty(), "{code}");
            }
            assert!(!code.title().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn the_page_is_the_registry() {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contributors/diagnostics.md");
        if std::env::var_os("YAGURA_REWRITE").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, Code::page()).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == Code::page(),
            "{} is not what the registry says: rewrite it with `YAGURA_REWRITE=1 cargo test -p yagura-core diagnostic`",
            file.display()
        );
    }
}
