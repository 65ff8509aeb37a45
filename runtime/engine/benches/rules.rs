//! What many rules cost: Yagura over Parquet beside rsigma over the same events, and DuckDB counting them.
//!
//! `cargo bench --workspace --bench rules` writes a million events like those of process creation, and rules by the
//! thousand with the statistics of SigmaHQ's, runs every contender on one core in a process of its own, and prints the
//! tables of `docs/contributors/benchmarks/rules.md`. All must find the same matches. `RSIGMA` names the `rsigma` command and `PYTHON` a
//! Python with `duckdb`; without them those lines are left out. `EVENTS` sets the number of events, `ONLY` picks `ablation`,
//! `one-rule` or `loading`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark may stop, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rsigma_eval::{Engine, JsonEvent};
use yagura_core::pack::parse_rule;
use yagura_engine::{RunInput, RunOptions, run};
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_lake::table::{OnProblem, TableConfig};
use yagura_plan::{RuleSource, SigmaInput, Tuning};
use yagura_rules::Methods;
use yagura_rules::sigma::{FieldMap, load_dir};

const SIZES: [usize; 5] = [1, 10, 100, 1_000, 2_400];
/// Events that the `rsigma` command gets: at a thousand rules a million would take it a minute.
const RSIGMA_EVENTS: usize = 200_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match text.as_slice() {
        ["yagura", dir, rules, tuning] => yagura(Path::new(dir), rules, tuning),
        ["sql", dir, condition] => sql(Path::new(dir), condition),
        ["eval", dir, rules] => eval(Path::new(dir), rules),
        _ => compare(),
    }
}

fn compare() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let events: usize = std::env::var("EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    write_events(dir, events);
    for size in SIZES {
        write_rules(&dir.join(format!("rules-{size}")), size);
    }
    println!(
        "{events} events; time without start-up and compiling rules, except for the rsigma command\n"
    );
    println!("| Rules | Contender | Events/s | Seconds | Peak MiB | Matches |");
    println!("|---:|---|---:|---:|---:|---:|");
    let mut first = None;
    let only = std::env::var("ONLY").unwrap_or_default();
    let sizes = if only.is_empty() { &SIZES[..] } else { &[] };
    for &size in sizes {
        let rules = format!("rules-{size}");
        let ours = child(&["yagura", &path(dir), &rules, "all"]);
        let theirs = child(&["eval", &path(dir), &rules]);
        let report = |name: &str, run: &Measured, events: usize| {
            println!(
                "| {size} | {name} | {:.0} | {:.2} | {} | {} |",
                events as f64 / run.seconds,
                run.seconds,
                run.peak,
                run.matches.map_or_else(String::new, |n| n.to_string())
            );
        };
        report("Yagura", &ours, events);
        report("rsigma-eval, parsed events", &theirs, events);
        assert_eq!(ours.matches, theirs.matches, "all find the same");
        if let Some(command) = std::env::var_os("RSIGMA") {
            let rsigma = rsigma(&command, dir, &rules);
            report("rsigma command, NDJSON", &rsigma, RSIGMA_EVENTS.min(events));
        }
        if size == 10 {
            first = Some(ours.seconds);
        }
        if let (1_000, Some(first)) = (size, first) {
            println!(
                "\nFrom 10 to 1,000 rules the time grows {:.2} times.\n",
                ours.seconds / first
            );
        }
    }
    if only.is_empty() || only == "ablation" {
        ablation(dir, events);
    }
    if only.is_empty() || only == "one-rule" {
        one_rule(dir);
    }
    if only.is_empty() || only == "loading" {
        loading(dir);
    }
}

fn ablation(dir: &Path, events: usize) {
    println!("\n| 1,000 rules | Events/s | To all | Peak MiB |\n|---|---:|---:|---:|");
    let names = [
        "all",
        "no-dictionaries",
        "no-distinct",
        "no-automaton",
        "no-awaiting",
        "no-late",
        "no-pruning",
    ];
    // In turns, and the least of three: the machine is not quiet.
    let mut least: Vec<Option<Measured>> = names.iter().map(|_| None).collect();
    for _ in 0..3 {
        for (name, least) in names.iter().zip(&mut least) {
            let run = child(&["yagura", &path(dir), "rules-1000", name]);
            if least
                .as_ref()
                .is_none_or(|least| run.seconds < least.seconds)
            {
                *least = Some(run);
            }
        }
    }
    let runs: Vec<Measured> = least.into_iter().flatten().collect();
    for (name, run) in names.iter().zip(&runs) {
        println!(
            "| {name} | {:.0} | {:.2} | {} |",
            events as f64 / run.seconds,
            run.seconds / runs[0].seconds,
            run.peak
        );
    }
}

/// One rule that matches nothing, beside DuckDB's count with the same condition.
fn one_rule(dir: &Path) {
    println!(
        "\n| One rule that matches nothing | Contender | Seconds | To DuckDB |\n|---|---|---:|---:|"
    );
    let conditions = [
        "\"CommandLine\" LIKE '%nothing-holds-this%'",
        "\"Image\" = 'C:\\nowhere.exe'",
        "\"CommandLine\" LIKE '%nothing-holds-this%' AND \"Image\" LIKE '%\\powershell.exe'",
    ];
    for condition in conditions {
        let duckdb = std::env::var_os("PYTHON").map(|python| duckdb(&python, dir, condition));
        let mut ours: Vec<f64> = (0..5)
            .map(|_| child(&["sql", &path(dir), condition]).seconds)
            .collect();
        ours.sort_by(f64::total_cmp);
        let condition = condition.replace('|', "\\|");
        if let Some(theirs) = duckdb {
            println!("| `{condition}` | DuckDB `count(*)` | {theirs:.3} | 1.00 |");
            println!("| | Yagura | {:.3} | {:.2} |", ours[2], ours[2] / theirs);
        } else {
            println!("| `{condition}` | Yagura | {:.3} | |", ours[2]);
        }
    }
}

fn loading(dir: &Path) {
    write_rules(&dir.join("rules-3000"), 3_000);
    let start = Instant::now();
    let load = load_dir(&dir.join("rules-3000")).unwrap();
    assert_eq!(load.rules.len(), 3_000);
    println!(
        "\n3,000 rules are read and parsed in {:.2} s",
        start.elapsed().as_secs_f64()
    );
    let run = child(&["yagura", &path(dir), "rules-3000", "all"]);
    println!(
        "and placed, compiled and run over the events in {:.2} s, {:.2} s of it before the first event",
        run.seconds + run.before,
        run.before
    );
}

struct Measured {
    seconds: f64,
    before: f64,
    peak: u64,
    matches: Option<u64>,
}

/// Runs this program again on one core and reads what it prints.
fn child(arguments: &[&str]) -> Measured {
    let output = Command::new("taskset")
        .args(["-c", "1"])
        .arg(std::env::current_exe().unwrap())
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let values: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key, value.parse().unwrap()))
        .collect();
    Measured {
        seconds: values["seconds"],
        before: values.get("before").copied().unwrap_or_default(),
        peak: values["peak"] as u64,
        matches: values.get("matches").map(|n| *n as u64),
    }
}

fn print(seconds: f64, before: f64, matches: Option<u64>) {
    println!("seconds={seconds}\nbefore={before}\npeak={}", peak("self"));
    if let Some(matches) = matches {
        println!("matches={matches}");
    }
}

/// The most memory that a process had, in MiB.
fn peak(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default()
        / 1_024
}

fn tuning_of(name: &str) -> Tuning {
    let mut tuning = Tuning::default();
    let Methods {
        distinct,
        automaton,
        awaiting,
    } = &mut tuning.methods;
    match name {
        "all" => {}
        "no-dictionaries" => tuning.dictionaries = false,
        "no-distinct" => *distinct = false,
        "no-automaton" => *automaton = false,
        "no-awaiting" => *awaiting = false,
        "no-late" => tuning.late_decoding = false,
        "no-pruning" => tuning.pruning = false,
        other => panic!("{other}"),
    }
    tuning
}

fn table(dir: &Path) -> TableConfig {
    TableConfig {
        name: "windows".into(),
        location: Location::parse(&path(&dir.join("lake/windows")), &BTreeMap::new()).unwrap(),
        time: None,
        day_partition: None,
        time_unit: None,
        on_null_time: None,
        on_bad_file: OnProblem::Fail,
    }
}

fn yagura(dir: &Path, rules: &str, tuning: &str) {
    let start = Instant::now();
    let input = RunInput {
        tables: vec![table(dir)],
        sigma: SigmaInput {
            load: load_dir(&dir.join(rules)).unwrap(),
            maps: FieldMap::shipped().unwrap(),
        },
        ..RunInput::default()
    };
    measure(input, tuning_of(tuning), start);
}

fn sql(dir: &Path, condition: &str) {
    let text = format!(
        "[rule]\nid = \"one\"\ntitle = \"one\"\ntable = \"windows\"\nwhere = '''{condition}'''\n"
    );
    let file = PathBuf::from("one.toml");
    let rule = parse_rule(&file, &text).unwrap().rule;
    let input = RunInput {
        tables: vec![table(dir)],
        rules: vec![RuleSource {
            rule: Arc::new(rule),
            file,
            plugin: None,
            predicate: None,
            fields: Vec::new(),
            alternatives: Default::default(),
        }],
        ..RunInput::default()
    };
    measure(input, Tuning::default(), Instant::now());
}

fn measure(input: RunInput, tuning: Tuning, start: Instant) {
    let options = RunOptions {
        partitions: 1,
        tuning,
        ..RunOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut scan = None;
    let outcome = runtime
        .block_on(run(input, &options, |_, _| scan = Some(Instant::now())))
        .unwrap();
    let scan = scan.unwrap();
    print(
        scan.elapsed().as_secs_f64(),
        (scan - start).as_secs_f64(),
        Some(outcome.findings.len() as u64),
    );
}

fn eval(dir: &Path, rules: &str) {
    let mut engine = Engine::new();
    let load = load_dir(&dir.join(rules)).unwrap();
    let wrong = engine.add_rules(load.rules.iter().map(|source| &source.rule));
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut seconds = 0.0;
    let mut matches = 0;
    let mut lines = BufReader::new(fs::File::open(dir.join("events.ndjson")).unwrap()).lines();
    loop {
        let events: Vec<serde_json::Value> = lines
            .by_ref()
            .take(20_000)
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        if events.is_empty() {
            break;
        }
        let start = Instant::now();
        for event in &events {
            matches += engine.evaluate(&JsonEvent::borrow(event)).len() as u64;
        }
        seconds += start.elapsed().as_secs_f64();
    }
    print(seconds, 0.0, Some(matches));
}

fn rsigma(command: &std::ffi::OsStr, dir: &Path, rules: &str) -> Measured {
    let events = dir.join("some.ndjson");
    let start = Instant::now();
    let mut child = Command::new("taskset")
        .args(["-c", "1"])
        .arg(command)
        .args(["engine", "eval", "-q", "-r"])
        .arg(dir.join(rules))
        .arg("-e")
        .arg(format!("@{}", path(&events)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut most = 0;
    // `taskset` becomes the command itself.
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(&child.id().to_string()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Measured {
        seconds: start.elapsed().as_secs_f64(),
        before: 0.0,
        peak: most,
        matches: None,
    }
}

/// Seconds that DuckDB takes, the median of five.
fn duckdb(python: &std::ffi::OsStr, dir: &Path, condition: &str) -> f64 {
    let program = "import sys, time, duckdb\n\
        con = duckdb.connect(config={'threads': 1})\n\
        times = []\n\
        for _ in range(5):\n\
        \x20   start = time.perf_counter()\n\
        \x20   con.execute(f\"SELECT count(*) FROM read_parquet('{sys.argv[1]}/**/*.parquet') WHERE {sys.argv[2]}\").fetchall()\n\
        \x20   times.append(time.perf_counter() - start)\n\
        print(sorted(times)[2])\n";
    let output = Command::new("taskset")
        .args(["-c", "1"])
        .arg(python)
        .args(["-c", program, &path(&dir.join("lake/windows")), condition])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A small generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Small numbers are common and large ones rare, as with programs on hosts.
    fn skewed(&mut self, n: usize) -> usize {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((n as f64).powf(unit) - 1.0) as usize
    }

    fn word(&mut self) -> String {
        const SYLLABLES: [&str; 24] = [
            "ka", "to", "mi", "ren", "su", "lo", "vek", "dar", "pi", "nos", "tre", "qua", "zel",
            "fi", "gor", "hul", "ba", "wex", "ju", "nim", "sor", "tal", "yp", "cra",
        ];
        (0..2 + self.below(2))
            .map(|_| SYLLABLES[self.below(SYLLABLES.len())])
            .collect()
    }
}

const PROGRAMS: [&str; 24] = [
    "svchost",
    "conhost",
    "cmd",
    "powershell",
    "chrome",
    "msedge",
    "explorer",
    "rundll32",
    "wmiprvse",
    "taskhostw",
    "git",
    "node",
    "python",
    "regsvr32",
    "schtasks",
    "net",
    "wscript",
    "cscript",
    "mshta",
    "certutil",
    "bitsadmin",
    "reg",
    "sc",
    "whoami",
];

fn program(random: &mut Random, index: usize) -> String {
    match PROGRAMS.get(index) {
        Some(name) => format!("C:\\Windows\\System32\\{name}.exe"),
        None => format!(
            "C:\\Program Files\\{}\\{}.exe",
            random.word(),
            random.word()
        ),
    }
}

fn write_events(dir: &Path, count: usize) {
    let random = &mut Random(0x9e37_79b9_7f4a_7c15);
    let images: Vec<String> = (0..400).map(|index| program(random, index)).collect();
    let hashes: Vec<String> = (0..400)
        .map(|_| {
            format!(
                "MD5={:032X},SHA256={:064X},IMPHASH={:032X}",
                random.next(),
                random.next(),
                random.next()
            )
        })
        .collect();
    let arguments: Vec<String> = (0..6_000)
        .map(|_| {
            let mut line = String::new();
            for _ in 0..1 + random.below(6) {
                match random.below(5) {
                    0 => write!(line, " -{}", random.word()).unwrap(),
                    1 => write!(line, " /{} {}", random.word(), random.below(1_000)).unwrap(),
                    2 => write!(line, " --{}={}", random.word(), random.word()).unwrap(),
                    3 => write!(
                        line,
                        " C:\\Users\\{}\\{}.{}",
                        random.word(),
                        random.word(),
                        ["txt", "ps1", "dll", "tmp"][random.below(4)]
                    )
                    .unwrap(),
                    _ => write!(line, " {}", random.word()).unwrap(),
                }
            }
            line
        })
        .collect();
    let file = dir.join("events.ndjson");
    let mut out = BufWriter::new(fs::File::create(&file).unwrap());
    let mut some = BufWriter::new(fs::File::create(dir.join("some.ndjson")).unwrap());
    for number in 0..count {
        let (image, parent) = (random.skewed(400), random.skewed(120));
        let mut line = format!(
            "\"{}\"{}",
            images[image],
            arguments[random.skewed(arguments.len())]
        );
        // A third of the command lines are like no other.
        if random.percent(33) {
            write!(line, " -id {:016x} {}", random.next(), random.word()).unwrap();
        }
        let mut parent_line = format!("{}{}", images[parent], arguments[random.skewed(800)]);
        if random.percent(10) {
            write!(parent_line, " -Embedding {:x}", random.next()).unwrap();
        }
        let millis = number as u64 * 80;
        let (day, rest) = (1 + millis / 86_400_000, millis % 86_400_000);
        let time = format!(
            "2026-03-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            rest / 3_600_000,
            rest / 60_000 % 60,
            rest / 1_000 % 60,
            rest % 1_000
        );
        let event = serde_json::json!({
            "@timestamp": time,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "EventID": 1,
            "Computer": format!("host-{:03}.corp.example", random.skewed(300)),
            "User": format!("CORP\\user{:03}", random.skewed(400)),
            "Image": images[image],
            "CommandLine": line,
            "OriginalFileName": images[image].rsplit('\\').next().unwrap_or_default().to_uppercase(),
            "ParentImage": images[parent],
            "ParentCommandLine": parent_line,
            "CurrentDirectory": format!("C:\\Users\\user{:03}\\", random.skewed(400)),
            "IntegrityLevel": (["Medium", "High", "System", "Low"][random.skewed(4)]),
            "Hashes": hashes[image],
            "ProcessId": random.below(20_000),
            "ProcessGuid": format!("{{{:016x}}}", random.next()),
            "LogonId": format!("0x{:x}", random.below(100_000)),
        });
        writeln!(out, "{event}").unwrap();
        if number < RSIGMA_EVENTS {
            writeln!(some, "{event}").unwrap();
        }
    }
    out.flush().unwrap();
    some.flush().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let to = Location::parse(&path(&dir.join("lake")), &BTreeMap::new()).unwrap();
    let report = runtime
        .block_on(ingest(IngestOptions::new("windows", to), &[file], |_| {}))
        .unwrap();
    eprintln!(
        "{} events in {} objects",
        report.events, report.written_files
    );
}

/// Rules with SigmaHQ's statistics: of the modifiers 46 % contains, 34 % endswith, 12 % all, 6 % startswith, 2 % re; a
/// third with `1 of` or `all of`, a fifth with `not`.
fn write_rules(dir: &Path, count: usize) {
    fs::create_dir_all(dir).unwrap();
    let random = &mut Random(0x2545_f491_4f6c_dd1d);
    for number in 0..count {
        let several = random.percent(33);
        let filtered = random.percent(20);
        let mut yaml = format!(
            "title: Rule {number}\nid: 00000000-0000-4000-8000-{number:012}\nstatus: test\ndescription: generated\nlevel: medium\ntags:\n    - attack.execution\nlogsource:\n    product: windows\n    category: process_creation\ndetection:\n"
        );
        let selections = if several { 2 + random.below(2) } else { 1 };
        for selection in 0..selections {
            writeln!(yaml, "    selection_{selection}:").unwrap();
            items(random, &mut yaml);
        }
        if filtered {
            writeln!(
                yaml,
                "    filter_main:\n        ParentImage|endswith: '\\{}.exe'",
                PROGRAMS[random.below(PROGRAMS.len())]
            )
            .unwrap();
        }
        let condition = match (several, random.percent(50)) {
            (true, true) => "1 of selection_*",
            (true, false) => "all of selection_*",
            (false, _) => "selection_0",
        };
        writeln!(
            yaml,
            "    condition: {condition}{}",
            if filtered { " and not filter_main" } else { "" }
        )
        .unwrap();
        fs::write(dir.join(format!("rule-{number}.yml")), yaml).unwrap();
    }
}

/// One to three items, each of another field.
fn items(random: &mut Random, yaml: &mut String) {
    let mut fields = vec![
        "CommandLine",
        "Image",
        "OriginalFileName",
        "ParentImage",
        "ParentCommandLine",
    ];
    // What is common in rules comes with something rare: a program, and words of its command line.
    let first = [
        "CommandLine",
        "CommandLine",
        "CommandLine",
        "ParentCommandLine",
    ][random.below(4)];
    item(random, yaml, first);
    fields.retain(|field| *field != first);
    for _ in 0..random.below(3) {
        let field = fields.remove(random.below(fields.len()));
        item(random, yaml, field);
    }
}

fn item(random: &mut Random, yaml: &mut String, field: &str) {
    let is_line = field.ends_with("Line");
    let roll = random.below(100);
    let modifiers = match (field, roll) {
        ("OriginalFileName", _) => "",
        (_, 0..2) if is_line => "|re",
        (_, 2..10) if is_line => "|startswith",
        (_, 10..28) if is_line => "|contains|all",
        (_, _) if is_line => "|contains",
        (_, 0..10) => "|startswith",
        _ => "|endswith",
    };
    let values = match modifiers {
        "|contains|all" => 2 + random.below(2),
        "|re" => 1,
        _ => 1 + random.below(4),
    };
    writeln!(yaml, "        {field}{modifiers}:").unwrap();
    for _ in 0..values {
        let value = match (field, modifiers) {
            ("OriginalFileName", _) => format!("{}.exe", PROGRAMS[random.below(PROGRAMS.len())]),
            (_, "|endswith") => format!("\\{}.exe", PROGRAMS[random.below(PROGRAMS.len())]),
            (_, "|re") => format!("{}[0-9]{{4,}}\\s+{}", random.word(), random.word()),
            (_, "|startswith") => format!("C:\\Temp\\{}", random.word()),
            _ => match random.below(64) {
                // One that some events hold.
                63 => format!(" {}", random.word()),
                0..16 => format!(" -{}{} ", random.word(), random.word()),
                16..32 => format!("\\{}\\{}", random.word(), random.word()),
                32..48 => format!("{}.{}", random.word(), random.word()),
                _ => format!(" --{}-{}", random.word(), random.word()),
            },
        };
        writeln!(yaml, "            - '{value}'").unwrap();
    }
}
