//! Logs that arrive late and out of order, and rules that correlate them.

use std::fmt::Write;

use crate::scratch::Scratch;

/// An event of one of two tables.
#[derive(Debug, Clone)]
pub struct StreamEvent {
    /// `logins` or `flows`.
    pub table: &'static str,
    /// Second of event time.
    pub second: i64,
    /// Its line of JSON.
    pub line: String,
}

/// A generator of small random numbers, the same for the same seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Returns dice with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// Returns a number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }
}

/// Makes events of some seconds, in order of time.
pub fn events(dice: &mut Dice, count: u64, seconds: u64) -> Vec<StreamEvent> {
    let mut events: Vec<StreamEvent> = (0..count)
        .map(|_| {
            let second = i64::try_from(dice.roll(seconds)).unwrap_or_default();
            let (user, host) = (dice.roll(6), dice.roll(5));
            let time = time(second);
            if dice.roll(3) == 0 {
                let bytes = dice.roll(1_000);
                StreamEvent {
                    table: "flows",
                    second,
                    line: format!(
                        "{{\"time\":\"{time}\",\"client\":\"10.0.0.{host}\",\"user\":\"u{user}\",\"bytes\":{bytes}}}"
                    ),
                }
            } else {
                let outcome = ["failure", "failure", "success"][usize::try_from(dice.roll(3)).unwrap_or(0)];
                StreamEvent {
                    table: "logins",
                    second,
                    line: format!(
                        "{{\"time\":\"{time}\",\"ip\":\"10.0.0.{host}\",\"user\":\"u{user}\",\"outcome\":\"{outcome}\"}}"
                    ),
                }
            }
        })
        .collect();
    events.sort_by_key(|event| event.second);
    events
}

/// Returns a second of the stream as a time of day of 2026-03-01.
pub fn time(second: i64) -> String {
    let (hour, minute, rest) = (second / 3_600, second / 60 % 60, second % 60);
    format!(
        "2026-03-{:02}T{:02}:{minute:02}:{rest:02}Z",
        1 + hour / 24,
        hour % 24
    )
}

/// Writes a pack whose rules count, order, miss and chain the events of both tables.
pub fn write_pack(place: &Scratch, dir: &str) {
    place.write(
        &format!("{dir}/pack.toml"),
        "[pack]\nname = \"stream\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
    );
    let rule = |id: &str, text: &str| {
        let mut whole = String::new();
        let _ = write!(
            whole,
            "[rule]\nid = \"{id}\"\ntitle = \"{id} of {{user}}\"\n{text}"
        );
        place.write(&format!("{dir}/rules/{id}.toml"), &whole);
    };
    let part = "[rule.alert]\nreport = \"none\"\n";
    rule(
        "failed",
        &format!("table = \"logins\"\nwhere = \"outcome = 'failure'\"\n{part}"),
    );
    rule(
        "entered",
        "table = \"logins\"\nwhere = \"outcome = 'success'\"\nobservables = { user = [\"user\"] }\n[rule.alert]\nkey = [\"user\"]\nwindow = \"3m\"\nthreshold = 2\n",
    );
    rule(
        "heavy",
        &format!("table = \"flows\"\nwhere = \"bytes > 500\"\n{part}"),
    );
    rule(
        "many-failed",
        "[rule.correlation]\ntype = \"count\"\nrules = [\"failed\"]\nby = [\"user\"]\nwithin = \"90s\"\ncondition = { gte = 4 }\n[rule.alert]\nwindow = \"5m\"\n",
    );
    rule(
        "failed-then-in",
        "[rule.correlation]\ntype = \"sequence\"\nrules = [\"failed\", \"entered\", \"heavy\"]\nby = [\"user\"]\nwithin = \"4m\"\n[rule.alert]\nwindow = \"2m\"\n",
    );
    rule(
        "silent",
        "[rule.correlation]\ntype = \"absence\"\nrules = [\"entered\"]\nby = [\"user\"]\nwithin = \"2m\"\n[rule.alert]\nwindow = \"10m\"\n",
    );
    rule(
        "both",
        "[rule.correlation]\ntype = \"any-order\"\nrules = [\"many-failed\", \"heavy\"]\nby = [\"user\"]\nwithin = \"3m\"\n[rule.alert]\nwindow = \"1m\"\n",
    );
    rule(
        "spread",
        "[rule.correlation]\ntype = \"distinct\"\nfield = \"ip\"\naliases = { ip = { heavy = \"client\" } }\nrules = [\"failed\", \"heavy\"]\nby = [\"user\"]\nwithin = \"1m\"\nwindow = \"tumbling\"\ncondition = { gte = 3 }\n",
    );
}
