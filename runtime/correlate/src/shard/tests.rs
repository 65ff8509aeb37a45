use super::*;
use crate::operator::measure::{Measure, What};
use crate::operator::testing;
use yagura_core::correlation::{Condition, Window};

fn operator() -> Measure {
    Measure {
        what: What::Count,
        window: Window::Sliding,
        within: 10 << BUCKET_BITS,
        gap: 0,
        condition: Condition {
            gte: Some(2.0),
            ..Condition::default()
        },
        at_close: false,
    }
}

fn hits(keys: &[&str], second: i64) -> Vec<(String, Hit)> {
    let hit = |key: &&str| {
        let mut hit = testing::hit(second);
        hit.time = second << BUCKET_BITS;
        hit.kept.time = hit.time;
        ((*key).to_owned(), hit)
    };
    keys.iter().map(hit).collect()
}

fn take_spilled<S>(group: &mut Shard<S>, key: &str) -> bool
where
    S: Clone + Default + serde::Serialize + serde::de::DeserializeOwned,
{
    let hash = group.hash(key);
    group.take_spilled(hash)
}

fn count(spoken: &Spoken) -> usize {
    spoken.said.len()
}

#[test]
fn worthless_states_are_dropped_and_their_slots_used_again() {
    let operator = operator();
    let mut group = Shard::new(Hashing::random());
    group.push(&operator, hits(&["a", "b"], 0), 0, 1);
    group.push(&operator, hits(&["b"], 5), 0, 2);
    let mut keys = Vec::new();
    group.advance(&operator, 11 << BUCKET_BITS, 0, &mut keys);
    assert_eq!((group.len(), keys), (1, vec!["a".to_owned()]));
    group.push(&operator, hits(&["c"], 12), 0, 3);
    assert_eq!((group.len(), group.slots.len()), (2, 2));
    group.advance(&operator, 99 << BUCKET_BITS, 0, &mut Vec::new());
    assert_eq!((group.len(), group.heap), (0, 0));
    assert!(group.timers.is_empty());
}

#[test]
fn deltas_give_the_same_states_back() {
    let operator = operator();
    let mut group = Shard::new(Hashing::random());
    let mut deltas = Vec::new();
    for second in 0..20 {
        let of: [&[&str]; 3] = [&["a", "b"], &["c"], &["b", "d"]];
        let at = usize::try_from(second).unwrap() % 3;
        group.push(&operator, hits(of[at], second * 2), 0, 1);
        group.advance(&operator, (second * 2) << BUCKET_BITS, 0, &mut Vec::new());
        deltas.extend(group.delta());
    }
    assert_eq!(group.delta(), None);
    let mut restored = Shard::new(Hashing::random());
    for delta in &deltas {
        restored.restore(&operator, delta, &|_| true).unwrap();
    }
    let sorted = |group: &Shard<_>| {
        let mut keys: Vec<String> = group
            .slots
            .iter()
            .filter(|slot| slot.state.is_some())
            .map(|slot| format!("{}={:?}", slot.key, slot.state))
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(sorted(&restored), sorted(&group));
    let mut whole = Shard::new(Hashing::random());
    let joined = join(&deltas.concat()).unwrap();
    assert!(joined.len() * 2 < deltas.concat().len());
    whole.restore(&operator, &joined, &|_| true).unwrap();
    assert_eq!(sorted(&whole), sorted(&group));
    let next = hits(&["a", "b", "c", "d"], 41);
    let said = group.push(&operator, next.clone(), 0, 1);
    assert_eq!(count(&restored.push(&operator, next, 0, 1)), count(&said));
    assert!(restored.restore(&operator, &[9, 9, 9], &|_| true).is_err());
}

#[test]
fn keys_on_disk_come_back_when_they_are_hit_or_due() {
    let operator = operator();
    let mut group = Shard::new(Hashing::random());
    group.push(&operator, hits(&["old"], 0), 0, 1);
    group.push(&operator, hits(&["new"], 1), 0, 2);
    let moved = group.evict(&operator, 1);
    assert_eq!(moved.len(), 1);
    assert_eq!(&*moved[0].key, "old");
    // The delta says that it is gone from memory, and still has the other.
    let mut stored = Shard::new(Hashing::random());
    stored
        .restore(&operator, &group.delta().unwrap(), &|_| true)
        .unwrap();
    assert_eq!(stored.len(), 1);
    assert!(!take_spilled(&mut group, "new"));
    assert!(group.take_due(0).is_empty());
    assert_eq!(group.take_due(11 << BUCKET_BITS), [moved[0].hash]);
    group.warm(&operator, moved, 3).unwrap();
    let said = group.push(&operator, hits(&["old"], 2), 0, 3);
    assert_eq!(count(&said), 1, "the hit before it was moved counts");
    group.advance(&operator, 13 << BUCKET_BITS, 0, &mut Vec::new());
    assert_eq!(group.len(), 0);
}

#[test]
fn a_key_that_the_disk_forgot_does_not_hide_its_next_time() {
    let operator = operator();
    let mut group = Shard::new(Hashing::random());
    for (second, by_hit) in [(0, false), (20, true), (40, false)] {
        group.push(&operator, hits(&["key"], second), 0, 1);
        assert_eq!(group.evict(&operator, 1).len(), 1);
        assert_eq!(group.spilled_len(), 1);
        // What is asked for now is not there: too many keys were on disk.
        if by_hit {
            assert!(take_spilled(&mut group, "key"));
        } else {
            let now = (second + 11) << BUCKET_BITS;
            assert_eq!(group.take_due(now), [group.hash("key")], "{second}");
        }
        assert!(!take_spilled(&mut group, "key"));
        assert_eq!(group.spilled_len(), 0);
    }
}

#[test]
fn keys_that_come_and_go_leave_no_times_behind() {
    let operator = operator();
    let mut group = Shard::new(Hashing::random());
    for second in 0..5_000 {
        group.push(&operator, hits(&["key"], second), 0, 1);
        let moved = group.evict(&operator, 1);
        assert!(take_spilled(&mut group, "key"));
        group.warm(&operator, moved, 1).unwrap();
        group.advance(&operator, second << BUCKET_BITS, 0, &mut Vec::new());
    }
    assert!(
        group.spilled_due.len() < 2_000,
        "{}",
        group.spilled_due.len()
    );
    assert!(group.take_due(i64::MAX).is_empty());
}
