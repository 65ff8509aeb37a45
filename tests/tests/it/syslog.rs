//! Syslog from sockets through the real binary: to alerts, over kills, with what is wrong named.

use std::fs;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use yagura_tests::command::{binary, yagura};
use yagura_tests::scratch::Scratch;

const DOOR: &str = r#"
[source]
name = "door"
title = "Door controllers"
format = "syslog"

[[class]]
name = "authentication"
where = "app_name = 'door'"

[class.columns]
metadata.product.name = "'Door'"
activity_id = "1"
status_id = "CASE WHEN parse_kv(message, 'result') = 'ok' THEN 1 ELSE 2 END"
user.name = "parse_kv(message, 'user')"
src_endpoint.ip = "split_part(received.peer, ':', 1)"
"#;

const REFUSED: &str = r#"
[rule]
id = "refused"
title = "{user.name} was refused at the door, from {src_endpoint.ip}"
class = "authentication"
where = "status_id = 2"
[rule.alert]
key = ["user.name"]
window = "1h"
"#;

struct Place(Scratch);

/// A command that runs; killed when it is dropped, also where its test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    fn new(listen: &str) -> Self {
        let place = Scratch::new();
        let pack = "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n";
        place.write("pack/pack.toml", pack);
        place.write("pack/rules/refused.toml", REFUSED);
        place.write("pack/sources/door.toml", DOOR);
        place.write("raw/.keep", "");
        place.write(
            "yagura.toml",
            &format!(
                "packs = [\"pack\"]\n[serve]\npoll = \"100ms\"\nfirst_load = \"100ms\"\nlateness = \"1s\"\n\
                 [lake]\nurl = \"lake\"\n[source.door]\nurl = \"raw\"\npoll = \"200ms\"\n\
                 [listen.edge]\nurl = \"raw\"\n{listen}"
            ),
        );
        Self(place)
    }

    fn config(&self) -> String {
        self.0.path("yagura.toml")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.0.path("err")).unwrap_or_default()
    }

    /// Starts a command, and waits until it listens on this transport; returns where.
    fn start(&self, command: &str, transport: &str) -> (Running, String) {
        let err = fs::File::create(self.0.path("err")).unwrap();
        let child = Command::new(binary())
            .args([command, "--config", &self.config()])
            .env_remove("YAGURA_LOG")
            .stdin(Stdio::null())
            .stderr(err)
            .spawn()
            .unwrap();
        let child = Running(child);
        let begin = format!("listener edge: {transport} ");
        let mut address = String::new();
        self.until("it does not listen", || {
            let said = self.said();
            let line = said.lines().find_map(|line| line.strip_prefix(&begin));
            address = line
                .and_then(|line| line.split(',').next())
                .unwrap_or_default()
                .to_owned();
            !address.is_empty()
        });
        (child, address)
    }

    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{what}: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the messages in all objects.
    fn messages(&self) -> Vec<String> {
        let mut messages = Vec::new();
        let Ok(days) = fs::read_dir(self.0.path("raw")) else {
            return messages;
        };
        for day in days.flatten().filter(|day| day.path().is_dir()) {
            for file in fs::read_dir(day.path()).unwrap().flatten() {
                let name = file.file_name().into_string().unwrap();
                // What is being written has another name.
                if !name.ends_with(".ndjson") {
                    continue;
                }
                let text = fs::read_to_string(file.path()).unwrap();
                assert!(text.ends_with('\n'), "{name} is not whole");
                for line in text.lines() {
                    let line: Value = serde_json::from_str(line).unwrap();
                    messages.push(line["message"].as_str().unwrap().to_owned());
                }
            }
        }
        messages
    }

    fn status(&self) -> Vec<Value> {
        let ran = yagura(&[
            "source",
            "status",
            "--format",
            "json",
            "--config",
            &self.config(),
        ]);
        let lines = ran.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn end(mut child: Running) -> Option<i32> {
    let id = child.0.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    child.0.wait().unwrap().code()
}

#[test]
fn a_service_turns_syslog_from_a_socket_into_an_alert() {
    let place = Place::new("udp = \"0\"\ntcp = \"127.0.0.1:0\"\nage = \"300ms\"\n");
    let (service, address) = place.start("serve", "udp");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for message in [
        "<38>door[7]: result=denied user=eve",
        "<38>door[7]: result=ok user=ann",
        "<38>lift: result=denied user=kim",
    ] {
        socket.send_to(message.as_bytes(), &address).unwrap();
    }
    let alerts = || fs::read_to_string(place.0.path("alerts.ndjson")).unwrap_or_default();
    place.until("no alert comes", || alerts().contains("eve"));
    let first: Value = serde_json::from_str(alerts().lines().next().unwrap()).unwrap();
    assert_eq!(
        first["alert"]["title"], "eve was refused at the door, from 127.0.0.1",
        "{first}"
    );
    let said = place.said();
    let tcp = said
        .lines()
        .find_map(|line| line.strip_prefix("listener edge: tcp "));
    let tcp = tcp.unwrap().split(',').next().unwrap().to_owned();
    let mut stream = TcpStream::connect(tcp).unwrap();
    // The same message twice, in objects of their own: both are events.
    for _ in 0..2 {
        stream
            .write_all(b"<38>door[7]: result=denied user=bob\n")
            .unwrap();
        std::thread::sleep(Duration::from_millis(800));
    }
    place.until("the events of bob do not come", || {
        place
            .status()
            .iter()
            .any(|of| of["source"] == "door" && of["events"] == 5)
    });
    // What is sent last is written at the end.
    stream
        .write_all(b"<38>door[7]: result=denied user=last\n")
        .unwrap();
    assert_eq!(end(service), Some(0), "{}", place.said());
    let status = place.status();
    let listener = status.iter().find(|of| of["listener"] == "edge").unwrap();
    assert_eq!(listener["received"], 6, "{listener}");
    assert_eq!(listener["written"], 6, "{listener}");
    let shown = yagura(&["source", "status", "--config", &place.config()]);
    assert!(shown.stdout.contains("LISTENER"), "{shown:?}");
    assert_eq!(shown.code, Some(0), "{shown:?}");
    // And collected by the next start.
    yagura(&["serve", "--once", "--config", &place.config()]).must_work();
    assert!(alerts().contains("\"last\""), "{}", alerts());
    let lines = alerts();
    let of_bob = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["alert"]["key"] == "bob");
    let counts: Vec<u64> = of_bob
        .map(|line| line["alert"]["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts.iter().max(), Some(&2), "{lines}");
}

#[test]
fn a_killed_listener_loses_only_what_was_not_written_and_its_objects_are_whole() {
    let place = Place::new("tcp = \"0\"\nage = \"100ms\"\ncompression = \"none\"\n");
    let mut sent = 0;
    let mut safe = 0;
    for round in 0..5 {
        let (mut listener, address) = place.start("listen", "tcp");
        let mut stream = TcpStream::connect(&address).unwrap();
        for _ in 0..400 {
            let message = format!("<38>door: {sent:06} user=u{sent}\n");
            stream.write_all(message.as_bytes()).unwrap();
            sent += 1;
            if sent % 20 == 0 {
                std::thread::sleep(Duration::from_millis(10 + round * 3));
            }
        }
        let before = place.messages();
        listener.0.kill().unwrap();
        listener.0.wait().unwrap();
        let after = place.messages();
        // What was written stays, and nothing comes twice.
        assert!(before.iter().all(|message| after.contains(message)));
        let mut distinct = after.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), after.len());
        assert!(after.len() > safe, "round {round} wrote nothing");
        safe = after.len();
    }
    // A graceful end writes the rest.
    let (listener, address) = place.start("listen", "tcp");
    let mut stream = TcpStream::connect(&address).unwrap();
    for number in 0..400 {
        let message = format!("<38>door: last {number:06}\n");
        stream.write_all(message.as_bytes()).unwrap();
    }
    assert_eq!(end(listener), Some(0), "{}", place.said());
    let messages = place.messages();
    let last = messages.iter().filter(|of| of.contains("last"));
    assert_eq!(last.count(), 400);
    assert_eq!(messages.len(), safe + 400);
    assert!(place.said().contains("400 messages received, 400 written"));
}

#[test]
fn what_is_wrong_with_a_listener_is_named() {
    let place = Place::new("");
    let ran = yagura(&["listen", "--config", &place.config()]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("[listen.edge]"), "{ran:?}");
    assert!(ran.stderr.contains("it listens nowhere"), "{ran:?}");
    let place = Place::new("udp = \"0\"\n");
    let config = fs::read_to_string(place.config()).unwrap();
    place.0.write(
        "yagura.toml",
        &config.replace(
            "[listen.edge]\nurl = \"raw\"",
            "[listen.edge]\nurl = \"lake/raw\"",
        ),
    );
    let ran = yagura(&["listen", "--config", &place.config()]);
    assert!(ran.stderr.contains("lies in the lake"), "{ran:?}");
    place.0.write("none.toml", "");
    let ran = yagura(&["listen", "--config", &place.0.path("none.toml")]);
    assert!(
        ran.stderr.contains("the configuration has no listener"),
        "{ran:?}"
    );
}
