//! Where events usually keep their time.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Place;
use crate::ingest::event::{Member, find, text_of};

/// Keys, best first: what names the moment of the event in UTC, then the same in local time, then when it was received or
/// stored. A key that is written otherwise (`TIMESTAMP`, `event-time`) counts like the first one that it resembles.
const KEYS: [&str; 106] = [
    "eventTime",
    "@timestamp",
    "timestamp",
    "ts",
    "time",
    "TimeCreated",
    "UtcTime",
    "Timestamp",
    "timeStamp",
    "TimeStamp",
    "_timestamp",
    "EventTime",
    "SystemTime",
    "_time",
    "datetime",
    "date_time",
    "Datetime",
    "event_time",
    "eventtime",
    "eventTimestamp",
    "EventTimestamp",
    "event_timestamp",
    "requestReceivedTimestamp",
    "stageTimestamp",
    "__REALTIME_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
    "TimeGenerated",
    "time_generated",
    "timeGenerated",
    "created_at",
    "createdAt",
    "CreatedAt",
    "CreationTime",
    "creationTime",
    "createdDateTime",
    "activityDateTime",
    "eventDateTime",
    "published",
    "occurred_at",
    "occurredAt",
    "isotime",
    "isotimestamp",
    "iso8601",
    "time_iso8601",
    "time_local",
    "TimeLocal",
    "StartUTC",
    "EdgeStartTimestamp",
    "ContextTimeStamp",
    "UTCTimestamp",
    "query_timestamp",
    "unixTime",
    "unix_time",
    "epoch",
    "epoch_ms",
    "timeMillis",
    "timeNano",
    "instant",
    "t",
    "rt",
    "start",
    "startTime",
    "start_time",
    "StartTime",
    "deviceReceiptTime",
    "device_timestamp",
    "deviceTime",
    "logged_at",
    "loggedAt",
    "log_time",
    "logTime",
    "LogTime",
    "log_timestamp",
    "messageTime",
    "clickTime",
    "accept_date",
    "calendarTime",
    "lastTimestamp",
    "firstTimestamp",
    "date_create",
    "created",
    "Created",
    "create_time",
    "createTime",
    "detected_at",
    "detectedAt",
    "first_seen",
    "firstSeen",
    "winlog.time_created",
    "event.created",
    "Event.System.TimeCreated.#attributes.SystemTime",
    "Event.System.TimeCreated.@SystemTime",
    "Event.System.TimeCreated.SystemTime",
    "System.TimeCreated.SystemTime",
    "System.TimeCreated",
    "EventReceivedTime",
    "receiveTimestamp",
    "received_at",
    "receivedAt",
    "receive_time",
    "ReceivedTime",
    "ingestionTime",
    "StorageTime",
    "updatedAt",
    "updated_at",
    "date",
];

/// Places below a key, best first, after all keys.
const PATHS: [&[&str]; 17] = [
    &["Event", "System", "TimeCreated"],
    &["System", "TimeCreated"],
    &["winlog", "time_created"],
    &["id", "time"],
    &["_source", "@timestamp"],
    &["fields", "@timestamp"],
    &["result", "_time"],
    &["detail", "eventTime"],
    &["attributes", "timestamp"],
    &["attributes", "time"],
    &["properties", "createdDateTime"],
    &["properties", "timestamp"],
    &["metadata", "eventCreationTime"],
    &["metadata", "timestamp"],
    &["protoPayload", "timestamp"],
    &["event", "created"],
    &["event", "timestamp"],
];

/// Ranks of the keys, by their length and first letter: most members of an event are none of them, which these nearly say.
static RANKS: LazyLock<Vec<Vec<(&str, usize)>>> = LazyLock::new(|| {
    let mut ranks = vec![Vec::new(); (LONGEST + 1) * LETTERS];
    for (rank, key) in KEYS.iter().enumerate() {
        if let Some(same) = place(key).and_then(|place| ranks.get_mut(place)) {
            same.push((*key, rank));
        }
    }
    ranks
});
/// Keys that are longer are looked for by [`LIKENESSES`] alone.
const LONGEST: usize = 47;
const LETTERS: usize = 32;

fn place(key: &str) -> Option<usize> {
    let first = *key.as_bytes().first()?;
    (key.len() <= LONGEST).then(|| key.len() * LETTERS + usize::from(first) % LETTERS)
}

fn rank(key: &str) -> Option<usize> {
    let alike = RANKS.get(place(key)?)?;
    let found = alike.iter().find(|(known, _)| *known == key)?;
    Some(found.1)
}

/// Gives the values at the usual places to `try_value`, best first, until it says that one will do. A date comes with the
/// time of day that stands in a member of its own.
pub(super) fn candidates<'a>(
    event: &[Member<'a>],
    mut try_value: impl FnMut(&'a str, Option<&'a str>, Place) -> bool,
) {
    let mut by_key: Vec<(usize, usize)> = Vec::new();
    for (at, (key, value)) in event.iter().enumerate() {
        if let Some(rank) = rank(key)
            && *value != "null"
        {
            by_key.push((rank, at));
        }
    }
    by_key.sort_unstable();
    for (_, at) in &by_key {
        let (key, value) = &event[*at];
        if try_value(value, clock_beside(event, key), Place::Member(*at)) {
            return;
        }
    }
    for path in PATHS {
        if let Some(value) = find(event, path)
            && try_value(value, None, Place::Path(path))
        {
            return;
        }
    }
    // Seldom reached: the event has none of the usual keys as they are usually written.
    let mut resembling: Vec<(usize, usize)> = Vec::new();
    for (at, (key, value)) in event.iter().enumerate() {
        if *value != "null"
            && key.len() <= 64
            && !by_key.iter().any(|(_, known)| *known == at)
            && let Some(rank) = LIKENESSES.get(&bare(key))
        {
            resembling.push((*rank, at));
        }
    }
    resembling.sort_unstable();
    for (_, at) in resembling {
        let (key, value) = &event[at];
        if try_value(value, clock_beside(event, key), Place::Member(at)) {
            return;
        }
    }
}

static LIKENESSES: LazyLock<HashMap<String, usize>> = LazyLock::new(|| {
    // Of keys that are alike the best one counts.
    let ranked = KEYS.iter().enumerate().rev();
    ranked.map(|(rank, key)| (bare(key), rank)).collect()
});

/// Returns a key without what writers differ in.
fn bare(key: &str) -> String {
    let kept = key.chars().filter(|c| c.is_ascii_alphanumeric());
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

/// Returns the time of day, and the zone, that stand beside a date: `"date": "2026-03-01", "time": "10:11:12"`.
pub(super) fn clock_beside<'a>(event: &[Member<'a>], key: &str) -> Option<&'a str> {
    if !key.eq_ignore_ascii_case("date") {
        return None;
    }
    let mut all = event.iter();
    let (_, clock) = all.find(|(key, _)| key.eq_ignore_ascii_case("time"))?;
    let text = text_of(clock);
    let is_clock =
        clock.starts_with('"') && (text.get(1..2) == Some(":") || text.get(2..3) == Some(":"));
    is_clock.then_some(clock)
}
