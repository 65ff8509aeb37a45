//! From alert to answer through the real binary: `yagura serve` with the project's own plugins, and servers on loopback that
//! speak the protocol of each service.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use yagura_tests::command::{binary, yagura};
use yagura_tests::database::Database;
use yagura_tests::gate::Gate;
use yagura_tests::scratch::Scratch;
use yagura_tests::services::github::GitHub;
use yagura_tests::services::jira::Jira;
use yagura_tests::services::pagerduty::PagerDuty;
use yagura_tests::services::slack::Slack;
use yagura_tests::services::teams::Teams;
use yagura_tests::services::virustotal::VirusTotal;
use yagura_tests::services::webhook::Webhook;
use yagura_tests::services::{Server, Trouble};
use yagura_tests::stream::{Dice, time};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lake, a rule that tells failed logins, and a configuration.
struct Place(Scratch);

impl Place {
    /// `policy` and `grants` are the whole files; every secret is `key-NAME`.
    fn new(policy: &str, grants: &str) -> Self {
        let place = Self(Scratch::new());
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
        let packs = ["notifiers", "enrichers", "reviewers"].map(|name| plugins.join(name));
        let packs: Vec<String> = packs.iter().map(|pack| format!("{pack:?}")).collect();
        place.0.write(
            "pack/pack.toml",
            "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
        );
        place.0.write(
            "pack/rules/failed.toml",
            "[rule]\nid = \"failed\"\ntitle = \"{user} failed\"\nseverity = \"medium\"\ntable = \"logins\"\nwhere = \"outcome = 'failure'\"\n[rule.observables]\nuser = [\"user\"]\nip = [\"ip\"]\n[rule.alert]\nkey = [\"user\"]\nwindow = \"1m\"\n",
        );
        let mut config = format!(
            "packs = [\"pack\", {}]\npolicy = \"policy.toml\"\ngrants = \"grants.toml\"\n[lake]\nurl = \"lake\"\n[serve]\nlateness = \"1m\"\npoll = \"100ms\"\nfirst_load = \"100ms\"\n",
            packs.join(", ")
        );
        for name in ["slack", "pager", "github", "jira", "teams", "hook", "total"] {
            place
                .0
                .write(&format!("secrets/{name}"), &format!("key-{name}\n"));
            config += &format!("[secret.{name}]\nfile = \"secrets/{name}\"\n");
        }
        place.0.write("yagura.toml", &config);
        place.0.write("policy.toml", policy);
        place.0.write("grants.toml", grants);
        place
    }

    fn config(&self) -> String {
        self.0.path("yagura.toml")
    }

    /// Adds failed logins of a user from an address at these seconds.
    fn failures(&self, user: &str, ip: &str, seconds: &[i64]) {
        let lines = seconds.iter().map(|second| {
            let time = time(*second);
            format!("{{\"time\":\"{time}\",\"user\":\"{user}\",\"ip\":\"{ip}\",\"outcome\":\"failure\"}}\n")
        });
        self.0.write("raw.ndjson", &lines.collect::<String>());
        let (lake, raw) = (self.0.path("lake"), self.0.path("raw.ndjson"));
        yagura(&["ingest", "--table", "logins", "--to", &lake, &raw]).must_work();
    }

    fn serve(&self) -> Service {
        let log = self.0.path("serve.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log);
        let child = Command::new(binary())
            .args(["serve", "--config", &self.config()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file.unwrap())
            .spawn()
            .unwrap();
        let config = self.config();
        Service { child, log, config }
    }

    /// Returns what `yagura alerts` prints as JSON, a value a line.
    fn alerts(&self, arguments: &[&str]) -> Vec<Value> {
        let config = self.config();
        let mut all = vec!["alerts", "--config", &config, "--format", "json"];
        all.extend(arguments);
        let ran = yagura(&all).must_work();
        let lines = ran.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Returns the reports that were given up.
    fn dead(&self) -> Vec<Value> {
        // There is nothing to list until the service has made its store.
        let ran = yagura(&[
            "alerts",
            "--config",
            &self.config(),
            "--format",
            "json",
            "dead",
        ]);
        let lines = ran.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A running service; killed when it is dropped.
struct Service {
    child: Child,
    log: String,
    config: String,
}

impl Service {
    /// Waits until something holds.
    fn wait(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            let log = || {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                format!("{log}\n{}", shown(&self.config))
            };
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the service ended ({status}) before {what}:\n{}", log());
            }
            assert!(start.elapsed() < PATIENCE, "no {what} in time:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns all that is kept of all incidents.
fn shown(config: &str) -> String {
    let alerts = |more: &[&str]| {
        let mut arguments = vec!["alerts", "--config", config];
        arguments.extend(more);
        yagura(&arguments).stdout
    };
    let list = alerts(&["list", "--format", "json"]);
    let ids = list.lines().filter_map(|line| {
        let incident: Value = serde_json::from_str(line).ok()?;
        Some(incident["id"].as_str()?.to_owned())
    });
    ids.map(|id| alerts(&["show", &id])).collect()
}

/// Grants a pack loopback and secrets for it.
fn grant(pack: &str, servers: &[String], secrets: &[&str]) -> String {
    let secrets = secrets
        .iter()
        .map(|name| format!("{name} = [\"127.0.0.1\"]"));
    format!(
        "[pack.{pack}]\nhttp = {servers:?}\nnetworks = [\"127.0.0.0/8\"]\nsecrets = {{ {} }}\n",
        secrets.collect::<Vec<_>>().join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_told_once_and_updated_with_what_was_found() {
    let slack = Server::start(Slack::new("key-slack")).await.unwrap();
    let pager = Server::start(PagerDuty::new("key-pager")).await.unwrap();
    let github = Server::start(GitHub::new("o/r", "key-github"))
        .await
        .unwrap();
    let jira = Server::start(Jira::new("SEC", "y@example.com", "key-jira"))
        .await
        .unwrap();
    let teams = Server::start(Teams::new("key-teams")).await.unwrap();
    let hook = Server::start(Webhook::new(Some("key-hook"))).await.unwrap();
    let total = VirusTotal::new("key-total").detected("ip_addresses/8.8.8.8", 20);
    let total = Server::start(total).await.unwrap();
    let policy = format!(
        r#"
[notifier.slack]
plugin = "notifiers/slack.wasm"
config = {{ channel = "C1", secret = "slack", base_url = "{}/api" }}
every = "100ms"
[notifier.pager]
plugin = "notifiers/pagerduty.wasm"
config = {{ secret = "pager", base_url = "{}" }}
every = "100ms"
[notifier.github]
plugin = "notifiers/github.wasm"
config = {{ repository = "o/r", secret = "github", base_url = "{}" }}
every = "100ms"
[notifier.jira]
plugin = "notifiers/jira.wasm"
config = {{ base_url = "{}", project = "SEC", user = "y@example.com", secret = "jira" }}
every = "100ms"
[notifier.teams]
plugin = "notifiers/teams.wasm"
config = {{ url = "{}/workflows/1/invoke?sig={{{{secret:teams}}}}" }}
every = "100ms"
[notifier.hook]
plugin = "notifiers/webhook.wasm"
config = {{ url = "{}/hook", secret = "hook" }}
every = "100ms"
[[route]]
notify = ["slack", "pager", "github", "jira", "teams", "hook"]
[[enrich]]
plugin = "enrichers/virustotal.wasm"
config = {{ secret = "total", base_url = "{}" }}
delays = ["1s"]
[[review]]
plugin = "reviewers/platform.wasm"
"#,
        slack.url(),
        pager.url(),
        github.url(),
        jira.url(),
        teams.url(),
        hook.url(),
        total.url(),
    );
    let notifiers = [
        slack.url(),
        pager.url(),
        github.url(),
        jira.url(),
        teams.url(),
        hook.url(),
    ];
    let secrets = ["slack", "pager", "github", "jira", "teams", "hook"];
    let grants =
        grant("notifiers", &notifiers, &secrets) + &grant("enrichers", &[total.url()], &["total"]);
    let place = Place::new(&policy, &grants);
    place.failures("mallory", "8.8.8.8", &[0, 5]);
    let mut service = place.serve();
    service.wait("first reports", || {
        slack.service().messages.len() == 1
            && pager.service().incidents.len() == 1
            && github.service().issues.len() == 1
            && jira.service().issues.len() == 1
            && !teams.service().cards.is_empty()
            && hook.service().reports.len() == 1
    });
    // What was found, and what is thought of it, comes into the same message.
    service.wait("the investigation", || {
        let slack = slack.service();
        slack.messages[0]
            .arguments
            .to_string()
            .contains("virustotal.verdict")
            && slack.messages[0].edits == 1
            && github.service().issues[0].edits > 0
            && jira.service().issues[0].edits > 0
            && pager
                .service()
                .incidents
                .values()
                .all(|incident| incident.payloads.len() > 1)
    });
    assert!(
        github.service().issues[0]
            .body
            .contains("An outside service holds it for malicious"),
        "{}",
        github.service().issues[0].body
    );
    // Time goes on: the provisional alert settles, with one event more.
    place.failures("mallory", "8.8.8.8", &[30]);
    place.failures("other", "203.0.113.9", &[600]);
    service.wait("the final alert", || {
        let slack = slack.service();
        slack.messages[0].edits >= 2 && slack.messages[0].arguments.to_string().contains("final")
    });
    service.wait("the other incident", || slack.service().messages.len() == 2);
    assert_eq!(github.service().issues.len(), 2);
    assert_eq!(jira.service().issues.len(), 2);
    assert_eq!(pager.service().incidents.len(), 2);

    let incidents = place.alerts(&["list"]);
    assert_eq!(incidents.len(), 2);
    let id = incidents
        .iter()
        .find(|incident| incident["title"] == "mallory failed")
        .and_then(|incident| incident["id"].as_str())
        .unwrap()
        .to_owned();
    let shown = &place.alerts(&["show", &id])[0];
    assert_eq!(shown["incident"]["severity"], "high");
    assert_eq!(shown["incident"]["verdict"], "malicious");
    assert_eq!(shown["deliveries"].as_array().unwrap().len(), 6);
    let calls = shown["calls"].to_string();
    assert!(calls.contains("/api/v3/ip_addresses/8.8.8.8"), "{calls}");
    // No secret stands anywhere: not in the record, not in the log, not in the file of alerts.
    let state = fs::read(place.0.path("state/alerts.db")).unwrap();
    let wal = fs::read(place.0.path("state/alerts.db-wal")).unwrap_or_default();
    let log = fs::read(place.0.path("serve.log")).unwrap();
    for name in ["slack", "pager", "github", "jira", "teams", "hook", "total"] {
        let key = format!("key-{name}");
        for (what, bytes) in [("store", &state), ("store's log", &wal), ("log", &log)] {
            let held = bytes
                .windows(key.len())
                .any(|window| window == key.as_bytes());
            assert!(!held, "{key} stands in the {what}");
        }
    }

    // What a human does, the tickets follow.
    place.alerts(&["close", &id, "--by", "ann", "--reason", "drill"]);
    service.wait("the closed tickets", || {
        let closed = |issue: &yagura_tests::services::github::Issue| issue.state == "closed";
        github.service().issues.iter().any(closed)
            && pager
                .service()
                .incidents
                .values()
                .any(|incident| incident.status == "resolved")
    });
}

fn hook_policy(url: &str, more: &str) -> String {
    format!(
        "[notifier.hook]\nplugin = \"notifiers/webhook.wasm\"\nconfig = {{ url = \"{url}/hook\", secret = \"hook\" }}\nevery = \"50ms\"\n[[route]]\nnotify = [\"hook\"]\n{more}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_late_events_take_back_closes_its_report_and_its_successor_follows() {
    let hook = Server::start(Webhook::new(Some("key-hook"))).await.unwrap();
    let place = Place::new(
        &hook_policy(&hook.url(), ""),
        &grant("notifiers", &[hook.url()], &["hook"]),
    );
    place.failures("u", "198.51.100.7", &[100, 110]);
    let mut service = place.serve();
    service.wait("the first report", || hook.service().reports.len() == 1);
    // Earlier: the window begins elsewhere, so the alert is another one, of the same incident.
    place.failures("u", "198.51.100.7", &[50]);
    service.wait("the update", || {
        let service = hook.service();
        let mut texts = service.reports.values().map(Value::to_string);
        texts.any(|text| text.contains("withdrawn"))
    });
    assert_eq!(told(&hook), 1);
    assert_eq!(place.alerts(&["list"]).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn troubles_of_a_server_delay_its_reports_and_nothing_else() {
    let slack = Server::start(Slack::new("key-slack")).await.unwrap();
    let hook = Server::start(Webhook::new(Some("key-hook"))).await.unwrap();
    let more = format!(
        "[notifier.slack]\nplugin = \"notifiers/slack.wasm\"\nconfig = {{ channel = \"C1\", secret = \"slack\", base_url = \"{}/api\" }}\nevery = \"50ms\"\n",
        slack.url()
    );
    let policy = hook_policy(&hook.url(), &more)
        .replace("notify = [\"hook\"]", "notify = [\"hook\", \"slack\"]");
    let place = Place::new(
        &policy,
        &grant("notifiers", &[hook.url(), slack.url()], &["hook", "slack"]),
    );
    // Each costs an attempt; what Slack did before its answer was lost must not be done twice.
    slack.fail(1, &Trouble::busy(1));
    slack.fail(1, &Trouble::status(500));
    slack.fail(1, &Trouble::Reset);
    slack.fail_after(1, &Trouble::Malformed);
    place.failures("u", "198.51.100.7", &[0]);
    let mut service = place.serve();
    service.wait("the healthy report", || hook.service().reports.len() == 1);
    service.wait("the other one", || {
        let incidents = place.alerts(&["list"]);
        incidents.len() == 1 && {
            let id = incidents[0]["id"].as_str().unwrap();
            let shown = &place.alerts(&["show", id])[0];
            let told = |delivery: &Value| delivery["told"].as_i64().unwrap() > 0;
            shown["deliveries"].as_array().unwrap().iter().all(told)
        }
    });
    assert_eq!(
        slack.service().messages.len(),
        1,
        "one message, whatever happened"
    );
    assert!(slack.requests().len() >= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_where_nothing_was_granted_gets_no_secret() {
    let inside = Server::start(Webhook::new(None)).await.unwrap();
    let hook = Server::start(Webhook::new(Some("key-hook"))).await.unwrap();
    let place = Place::new(
        &hook_policy(&hook.url(), ""),
        &grant("notifiers", &[hook.url()], &["hook"]),
    );
    hook.fail(3, &Trouble::redirect(&format!("{}/hook", inside.url())));
    place.failures("u", "198.51.100.7", &[0]);
    let mut service = place.serve();
    // A report that was sent elsewhere is not taken for told, and not tried again: its address has moved.
    service.wait("the dead letter", || place.dead().len() == 1);
    let error = place.dead()[0]["error"].to_string();
    assert!(error.contains("302"), "{error}");
    assert_eq!(hook.requests().len(), 1);
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(log.contains("yagura alerts resend"), "{log}");
    assert!(inside.requests().is_empty(), "the redirect was followed");
}

#[test]
fn what_is_not_granted_is_told_with_the_line_that_would_allow_it() {
    let place = Place::new(
        &hook_policy("http://127.0.0.1:9", "give_up = \"1s\"\n").replace(
            "[[route]]\nnotify = [\"hook\"]\ngive_up = \"1s\"\n",
            "give_up = \"1s\"\n[[route]]\nnotify = [\"hook\"]\n",
        ),
        "",
    );
    place.failures("u", "198.51.100.7", &[0]);
    let mut service = place.serve();
    service.wait("the dead letter", || place.dead().len() == 1);
    let dead = &place.dead()[0];
    let error = dead["error"].as_str().unwrap();
    assert!(error.contains("http = [\"http://127.0.0.1:9\"]"), "{error}");
    // Granted and restarted, it is sent again on request.
    service.kill();
    let resent = &place.alerts(&["resend", "--all"])[0];
    assert_eq!(resent["resent"], 1);
}

#[test]
fn files_of_a_granted_directory_are_lookup_tables_and_nothing_else_is() {
    let policy = r#"[[enrich]]
plugin = "inventory/assets.wasm"
config = { hosts = ["cmdb/hosts"], users = [] }
delays = ["0s"]
[[enrich]]
plugin = "inventory/assets.wasm"
config = { hosts = ["cmdb/../outside"], users = [] }
delays = ["0s"]
"#;
    let place = Place::new(policy, "");
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    place.0.write(
        "inventory/pack.toml",
        "[pack]\nname = \"inventory\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"assets.wasm\"\nworld = \"enricher\"\n[plugin.request]\ndirectories = [\"cmdb\"]\n",
    );
    fs::copy(
        plugins.join("enrichers/assets.wasm"),
        place.0.path("inventory/assets.wasm"),
    )
    .unwrap();
    let config = fs::read_to_string(place.config()).unwrap();
    let config = config.replace("packs = [", "packs = [\"inventory\", ");
    place.0.write("yagura.toml", &config);
    place
        .0
        .write("granted/cmdb/hosts.csv", "ip,os\n198.51.100.7,plan9\n");
    place
        .0
        .write("granted/outside.csv", "ip,os\n198.51.100.7,secret\n");
    let shown_grants = || yagura(&["grants", "--config", &place.config()]).must_work();
    let grants = shown_grants().stdout;
    assert!(
        grants.contains("read the files of the directory `cmdb`")
            && grants.contains("directories.cmdb = \"PATH\""),
        "{grants}"
    );
    let check = || {
        let ran = yagura(&[
            "check",
            "--policy",
            &place.0.path("policy.toml"),
            "--config",
            &place.config(),
        ]);
        format!("{}{}", ran.stdout, ran.stderr)
    };
    let told = check();
    assert!(
        told.contains("write `directories.cmdb = \"PATH\"` under `[pack.inventory]`"),
        "{told}"
    );
    place.0.write(
        "grants.toml",
        "[pack.inventory.directories]\ncmdb = \"granted/cmbd\"\n",
    );
    let told = check();
    assert!(
        told.contains("`directories.cmdb` of [pack.inventory] in the grants file")
            && told.contains("granted/cmbd"),
        "{told}"
    );
    place.0.write(
        "grants.toml",
        "[pack.inventory.directories]\ncmdb = \"granted/cmdb\"\n",
    );
    assert!(!check().contains("directories"), "{}", check());

    place.failures("u", "198.51.100.7", &[0]);
    let mut service = place.serve();
    service.wait("what the table says, and the refusal", || {
        let all = shown(&place.config());
        all.contains("plan9") && all.contains("outside.csv")
    });
    let all = shown(&place.config());
    assert!(all.contains("led outside"), "{all}");
    assert!(!all.contains("secret"), "{all}");
}

/// Returns how many incidents a receiver was told of: a final alert is told in another revision.
fn told(hook: &Server<Webhook>) -> usize {
    let service = hook.service();
    let incidents = service
        .reports
        .keys()
        .map(|key| key.rsplit_once('-').unwrap().0);
    incidents.collect::<BTreeSet<_>>().len()
}

/// SIGKILL again and again: every alert is told, and no ticket twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_alert_and_receipt_loses_no_report_and_opens_no_second_ticket() {
    const KILLS: usize = 40;
    let slack = Server::start(Slack::new("key-slack")).await.unwrap();
    let hook = Server::start(Webhook::new(Some("key-hook"))).await.unwrap();
    let more = format!(
        "[notifier.slack]\nplugin = \"notifiers/slack.wasm\"\nconfig = {{ channel = \"C1\", secret = \"slack\", base_url = \"{}/api\" }}\nevery = \"10ms\"\n[group]\nby = []\n[flood]\nincidents = 10000\nper = \"1h\"\n",
        slack.url()
    );
    let policy = hook_policy(&hook.url(), &more)
        .replace("notify = [\"hook\"]", "notify = [\"hook\", \"slack\"]");
    let place = Place::new(
        &policy,
        &grant("notifiers", &[hook.url(), slack.url()], &["hook", "slack"]),
    );
    let seed = std::env::var("YAGURA_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("YAGURA_SEED={seed}");
    let mut dice = Dice::new(seed);
    for kill in 0..KILLS {
        let second = i64::try_from(kill).unwrap() * 5;
        place.failures(&format!("u{kill}"), "198.51.100.7", &[second]);
        // Slow answers make the time between a deed and its receipt long.
        slack.fail_after(2, &Trouble::Slow(Duration::from_millis(dice.roll(150))));
        hook.fail_after(2, &Trouble::Slow(Duration::from_millis(dice.roll(150))));
        let service = place.serve();
        let before = slack.requests().len() + hook.requests().len();
        // Half of the kills come while a request is under way.
        let start = Instant::now();
        let patience = Duration::from_millis(200 + dice.roll(1_200));
        while start.elapsed() < patience {
            let now = slack.requests().len() + hook.requests().len();
            if dice.roll(2) == 0 && now > before {
                std::thread::sleep(Duration::from_millis(dice.roll(100)));
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        service.kill();
    }
    slack.heal();
    hook.heal();
    let mut service = place.serve();
    service.wait("all reports", || {
        let messages = slack.service().messages.len();
        told(&hook) >= KILLS && messages >= KILLS
    });
    // Nothing more comes.
    std::thread::sleep(Duration::from_secs(2));
    let incidents = place.alerts(&["list"]);
    assert_eq!(incidents.len(), KILLS, "{incidents:#?}");
    assert_eq!(slack.service().messages.len(), KILLS, "YAGURA_SEED={seed}");
    assert_eq!(told(&hook), KILLS, "YAGURA_SEED={seed}");
    assert!(place.dead().is_empty());
}

#[test]
fn the_example_service_has_a_policy_that_passes_its_cases() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/answering/service");
    let policy = dir.join("policy.toml");
    let ran = yagura(&[
        "test",
        "--policy",
        policy.to_str().unwrap(),
        "--format",
        "json",
    ]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 2);
    // A case that expects something else fails, and says what.
    let text = fs::read_to_string(&policy).unwrap();
    let place = Scratch::new();
    place.write(
        "policy.toml",
        &text.replace("outcome = \"suppressed\"", "outcome = \"reported\""),
    );
    let ran = yagura(&["test", "--policy", &place.path("policy.toml")]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("suppressed"), "{}", ran.stdout);
}

#[test]
fn a_policy_that_cannot_be_used_names_file_and_line() {
    let place = Place::new("[[route]]\nnotify = [\"nobody\"]\n", "");
    place.failures("u", "198.51.100.7", &[0]);
    let ran = yagura(&["serve", "--once", "--config", &place.config()]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("policy.toml:2"), "{}", ran.stderr);
    assert!(ran.stderr.contains("nobody"), "{}", ran.stderr);
}

#[test]
fn the_cases_of_answering_plugins_pass_without_a_network_and_can_fail() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    for (pack, cases) in [("enrichers", 4), ("notifiers", 2), ("reviewers", 2)] {
        let dir = plugins.join(pack);
        let ran = yagura(&["test", "--no-build", dir.to_str().unwrap()]).must_work();
        let tally = format!("{cases} cases: {cases} passed, 0 failed");
        assert!(ran.stdout.contains(&tally), "{}", ran.stdout);
    }
    let place = Scratch::new();
    place.write("pack/tests/platform/_keep", "");
    for file in ["pack.toml", "platform.wasm"] {
        let from = plugins.join("reviewers").join(file);
        fs::copy(from, place.path(&format!("pack/{file}"))).unwrap();
    }
    let case = "tests/platform/windows-threat-on-a-mac.json";
    let text = fs::read_to_string(plugins.join("reviewers").join(case)).unwrap();
    let other = text.replace("\"verdict\": \"suspicious\"", "\"verdict\": \"malicious\"");
    assert_ne!(text, other);
    place.write(&format!("pack/{case}"), &other);
    let ran = yagura(&["test", "--no-build", &place.path("pack")]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("+     \"verdict\": \"suspicious\""),
        "{}",
        ran.stdout
    );
}

#[test]
#[ignore = "needs YAGURA_TEST_POSTGRES, the address of a database (postgres://USER@HOST/DATABASE)"]
fn detection_goes_on_while_postgres_is_away() {
    let url = std::env::var("YAGURA_TEST_POSTGRES").unwrap();
    let own = Database::new(&url);
    let (gate, store) = Gate::to_database(&own.url);
    let place = Place::new("", "");
    let config = fs::read_to_string(place.config()).unwrap();
    fs::write(place.config(), format!("store = \"{store}\"\n{config}")).unwrap();
    let told = || fs::read_to_string(place.0.path("alerts.ndjson")).unwrap_or_default();
    place.failures("ann", "10.0.0.1", &[0]);
    let mut service = place.serve();
    service.wait("the first alert", || told().contains("ann failed"));
    service.wait("its record", || {
        place.alerts(&["list", "--alerts"]).len() == 1
    });
    gate.set(false);
    for (number, user) in ["bob", "cat", "dan"].into_iter().enumerate() {
        let second = 1_000 * (i64::try_from(number).unwrap() + 1);
        place.failures(user, "10.0.0.2", &[second]);
        service.wait(user, || told().contains(&format!("{user} failed")));
    }
    let log = service.log.clone();
    let log = || fs::read_to_string(&log).unwrap();
    service.wait("a word of it", || {
        log().contains("the store of alerts cannot be used")
    });
    let status = yagura(&["status", "--format", "json", "--config", &place.config()]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert!(status["undelivered"].as_i64().unwrap() >= 3, "{status}");
    gate.set(true);
    service.wait("the store again", || {
        log().contains("the store of alerts answers again")
    });
    service.wait("the other records", || {
        place.alerts(&["list", "--alerts"]).len() == 4
    });
    assert_eq!(
        log()
            .matches("the store of alerts cannot be used: ")
            .count(),
        1
    );
}
