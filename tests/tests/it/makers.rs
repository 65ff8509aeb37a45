//! Raw logs of several makers, through their first-party sources and rules for classes, to one alert: `examples/makers`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use yagura_tests::command::{binary, yagura};
use yagura_tests::scratch::Scratch;
use yagura_tests::services::Server;
use yagura_tests::services::webhook::Webhook;

/// The sources of the pack's logs.
const LOGS: [(&str, &str); 8] = [
    ("squid", "squid.log"),
    ("paloalto", "paloalto.log"),
    ("windows", "windows.xml"),
    ("sshd", "sshd.log"),
    ("kea_dhcp", "kea.log"),
    ("entra_sign_in", "entra.ndjson"),
    ("guardduty", "guardduty.ndjson"),
    ("cylance", "cylance.log"),
];

fn pack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/makers")
}

fn log(name: &str) -> String {
    fs::read_to_string(pack().join("logs").join(name)).unwrap()
}

/// A lake of raw logs, each changed as the test wants.
struct Makers(Scratch);

impl Makers {
    fn new(change: impl Fn(&str, String) -> String) -> Self {
        let place = Scratch::new();
        for (source, name) in LOGS {
            place.write(&format!("raw/{name}"), &change(source, log(name)));
            let (lake, raw) = (place.path("lake"), place.path(&format!("raw/{name}")));
            let ran = yagura(&["ingest", "--source", source, "--to", &lake, &raw]).must_work();
            assert!(!ran.stderr.contains("is not an event"), "{source}: {ran:?}");
        }
        Self(place)
    }

    fn alerts(&self, rule: &str) -> Vec<Value> {
        let (lake, pack) = (self.0.path("lake"), pack());
        let pack = pack.to_str().unwrap();
        let ran = yagura(&["run", "--lake", &lake, "--pack", pack, "--format", "json"]).must_work();
        let all = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let of_rule = |alert: &Value| {
            let name = alert["rule"].as_str().unwrap_or_default();
            name == rule || name.starts_with(&format!("{rule}."))
        };
        all.filter(of_rule).collect()
    }

    fn titles(&self, rule: &str) -> Vec<String> {
        let alerts = self.alerts(rule);
        let titles = alerts
            .iter()
            .map(|alert| alert["title"].as_str().unwrap_or_default().to_owned());
        let mut titles: Vec<String> = titles.collect();
        titles.sort();
        titles
    }
}

fn as_it_is(_: &str, log: String) -> String {
    log
}

#[test]
fn the_rules_of_the_pack_pass_their_tests() {
    let dir = pack();
    let dir = dir.to_str().unwrap();
    yagura(&["test", dir]).must_work();
    yagura(&["check", "--strict", "--pack", dir]).must_work();
}

/// Blacklist contact in a proxy or firewall log, a Windows file share, a refused Unix login.
#[test]
fn one_machine_on_its_way_through_three_makers_is_one_alert() {
    let makers = Makers::new(as_it_is);
    let story = "blacklisted server, then files, then a refused Unix login";
    // By a proxy, and by a firewall; the third machine was on no blacklist.
    let expected = ["192.0.2.50", "192.0.2.60"].map(|machine| format!("{machine}: {story}"));
    assert_eq!(makers.titles("blacklist-to-unix"), expected);
    let alerts = makers.alerts("blacklist-to-unix");
    for alert in &alerts {
        assert_eq!(alert["severity"], "critical", "{alert}");
        let evidence = alert.to_string();
        for table in ["windows", "sshd"] {
            assert!(
                evidence.contains(&format!("/{table}/")),
                "{table}: {evidence}"
            );
        }
    }
    let of = |machine: &str| {
        let mut alerts = alerts.iter().map(Value::to_string);
        alerts.find(|alert| alert.contains(machine)).unwrap()
    };
    assert!(of("192.0.2.50").contains("/squid/"), "{}", of("192.0.2.50"));
    assert!(
        of("192.0.2.60").contains("/paloalto/"),
        "{}",
        of("192.0.2.60")
    );
    // Without one of the steps, or in another order, it is none.
    let without = Makers::new(|source, log| match source {
        "windows" => log.replace("192.0.2.50", "192.0.2.99"),
        "sshd" => log.replace("2026-03-02T02:40:00Z", "2026-03-02T01:40:00Z"),
        _ => log,
    });
    assert_eq!(without.titles("blacklist-to-unix"), [""; 0]);
}

/// An office login by sshd, whose address Kea leased, and a login of Entra ID from another city.
#[test]
fn one_user_in_two_cities_is_one_alert() {
    let makers = Makers::new(as_it_is);
    let titles = makers.titles("two-cities");
    assert_eq!(titles.len(), 1, "{titles:?}");
    assert!(
        titles[0].starts_with("kim@example.com logged in from two cities, at "),
        "{titles:?}"
    );
    let alert = makers.alerts("two-cities").remove(0).to_string();
    for part in ["/sshd/", "/entra_sign_in/", "192.0.2.80", "198.51.100.9"] {
        assert!(alert.contains(part), "{part}: {alert}");
    }
    // The office's address is that of a lease.
    let leases = yagura(&["table", "--lake", &makers.0.path("lake"), "kea_dhcp"]).must_work();
    assert!(leases.stdout.contains("192.0.2.80"), "{leases:?}");
    // A day later there was time to fly.
    let later = Makers::new(|source, log| match source {
        "entra_sign_in" => log.replace("2026-03-02T08:3", "2026-03-03T07:0"),
        _ => log,
    });
    assert_eq!(later.titles("two-cities"), [""; 0]);
}

#[test]
fn findings_of_three_makers_have_one_form() {
    let makers = Makers::new(as_it_is);
    let alerts = makers.alerts("finding");
    let mut rules: Vec<&str> = alerts
        .iter()
        .map(|alert| alert["rule"].as_str().unwrap())
        .collect();
    rules.sort_unstable();
    assert_eq!(
        rules,
        ["finding.cylance", "finding.guardduty", "finding.paloalto"]
    );
    let keys = |alert: &Value| {
        let mut keys: Vec<String> = alert.as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        keys
    };
    for alert in &alerts {
        assert_eq!(keys(alert), keys(&alerts[0]), "{alert}");
        assert_eq!(alert["severity"], "high", "{alert}");
        assert!(alert["title"].as_str().unwrap().contains(": "), "{alert}");
    }
}

/// A running service; killed when it is dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_of_three_makers_reach_one_notifier_in_one_form() {
    let hook = Server::start(Webhook::new(Some("key-hook"))).await.unwrap();
    let makers = Makers::new(as_it_is);
    let place = &makers.0;
    let notifiers = pack().join("../../plugins/notifiers");
    place.write(
        "pack/pack.toml",
        "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
    );
    let rule = fs::read_to_string(pack().join("rules/finding.toml")).unwrap();
    place.write("pack/rules/finding.toml", &rule);
    place.write("secrets/hook", "key-hook\n");
    let config = format!(
        "packs = [\"pack\", {notifiers:?}]\npolicy = \"policy.toml\"\ngrants = \"grants.toml\"\n[lake]\nurl = \"lake\"\n\
         [serve]\nlateness = \"1m\"\npoll = \"100ms\"\nfirst_load = \"100ms\"\n[secret.hook]\nfile = \"secrets/hook\"\n"
    );
    place.write("yagura.toml", &config);
    let url = hook.url();
    place.write(
        "policy.toml",
        &format!(
            "[notifier.hook]\nplugin = \"notifiers/webhook.wasm\"\nconfig = {{ url = \"{url}/hook\", secret = \"hook\" }}\nevery = \"100ms\"\n\
             [[route]]\nnotify = [\"hook\"]\n"
        ),
    );
    place.write(
        "grants.toml",
        &format!(
            "[pack.notifiers]\nhttp = [\"{url}\"]\nnetworks = [\"127.0.0.0/8\"]\nsecrets = {{ hook = [\"127.0.0.1\"] }}\n"
        ),
    );
    let log = fs::File::create(place.path("serve.log")).unwrap();
    let child = Command::new(binary())
        .args(["serve", "--config", &place.path("yagura.toml")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let mut service = Service(child.unwrap());
    let start = Instant::now();
    let products = ["CylancePROTECT", "GuardDuty", "PAN-OS"];
    let reports = loop {
        let reports: Vec<Value> = hook.service().reports.values().cloned().collect();
        let has = |product: &str| {
            reports
                .iter()
                .any(|report| report.to_string().contains(&format!("{product}: ")))
        };
        if products.into_iter().all(has) {
            break reports;
        }
        let log = || fs::read_to_string(place.path("serve.log")).unwrap_or_default();
        assert!(
            service.0.try_wait().unwrap().is_none(),
            "the service ended:\n{}",
            log()
        );
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{reports:?}\n{}",
            log()
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    let shape = |report: &Value| {
        let mut keys: Vec<String> = report.as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        keys
    };
    for report in &reports {
        assert_eq!(shape(report), shape(&reports[0]), "{report}");
    }
}
