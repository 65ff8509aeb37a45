use super::*;
use crate::operator::testing;
use crate::operator::{Aggregate, Measure};
use yagura_core::correlation::{Condition, Window};

fn operator() -> Measure {
    Measure {
        what: Aggregate::Count,
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

fn take_spilled<S>(shard: &mut Shard<S>, key: &str) -> bool
where
    S: Clone + Default + serde::Serialize + serde::de::DeserializeOwned,
{
    let hash = shard.hash(key);
    shard.take_spilled(hash)
}

fn count(output: &ShardOutput) -> usize {
    output.findings.len()
}

#[test]
fn worthless_states_are_dropped_and_their_slots_used_again() {
    let operator = operator();
    let mut shard = Shard::new(Hashing::random());
    shard.push(&operator, hits(&["a", "b"], 0), 0, 1);
    shard.push(&operator, hits(&["b"], 5), 0, 2);
    let mut keys = Vec::new();
    shard.advance(&operator, 11 << BUCKET_BITS, 0, &mut keys);
    assert_eq!((shard.len(), keys), (1, vec!["a".to_owned()]));
    shard.push(&operator, hits(&["c"], 12), 0, 3);
    assert_eq!((shard.len(), shard.slots.len()), (2, 2));
    shard.advance(&operator, 99 << BUCKET_BITS, 0, &mut Vec::new());
    assert_eq!((shard.len(), shard.heap), (0, 0));
    assert!(shard.timers.is_empty());
}

#[test]
fn deltas_give_the_same_states_back() {
    let operator = operator();
    let mut shard = Shard::new(Hashing::random());
    let mut deltas = Vec::new();
    for second in 0..20 {
        let of: [&[&str]; 3] = [&["a", "b"], &["c"], &["b", "d"]];
        let at = usize::try_from(second).unwrap() % 3;
        shard.push(&operator, hits(of[at], second * 2), 0, 1);
        shard.advance(&operator, (second * 2) << BUCKET_BITS, 0, &mut Vec::new());
        deltas.extend(shard.delta());
    }
    assert_eq!(shard.delta(), None);
    let mut restored = Shard::new(Hashing::random());
    for delta in &deltas {
        restored.restore(&operator, delta, &|_| true).unwrap();
    }
    let sorted = |shard: &Shard<_>| {
        let mut keys: Vec<String> = shard
            .slots
            .iter()
            .filter(|slot| slot.state.is_some())
            .map(|slot| format!("{}={:?}", slot.key, slot.state))
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(sorted(&restored), sorted(&shard));
    let mut whole = Shard::new(Hashing::random());
    let joined = join(&deltas.concat()).unwrap();
    assert!(joined.len() * 2 < deltas.concat().len());
    whole.restore(&operator, &joined, &|_| true).unwrap();
    assert_eq!(sorted(&whole), sorted(&shard));
    let next = hits(&["a", "b", "c", "d"], 41);
    let finding = shard.push(&operator, next.clone(), 0, 1);
    assert_eq!(
        count(&restored.push(&operator, next, 0, 1)),
        count(&finding)
    );
    assert!(restored.restore(&operator, &[9, 9, 9], &|_| true).is_err());
}

#[test]
fn keys_on_disk_come_back_when_they_are_hit_or_due() {
    let operator = operator();
    let mut shard = Shard::new(Hashing::random());
    shard.push(&operator, hits(&["old"], 0), 0, 1);
    shard.push(&operator, hits(&["new"], 1), 0, 2);
    let moved = shard.evict(&operator, 1);
    assert_eq!(moved.len(), 1);
    assert_eq!(&*moved[0].key, "old");
    // The changelog has that it is gone from memory, and still has the other.
    let mut stored = Shard::new(Hashing::random());
    stored
        .restore(&operator, &shard.delta().unwrap(), &|_| true)
        .unwrap();
    assert_eq!(stored.len(), 1);
    assert!(!take_spilled(&mut shard, "new"));
    assert!(shard.take_due(0).is_empty());
    assert_eq!(shard.take_due(11 << BUCKET_BITS), [moved[0].hash]);
    shard.load_spilled(&operator, moved, 3).unwrap();
    let finding = shard.push(&operator, hits(&["old"], 2), 0, 3);
    assert_eq!(count(&finding), 1, "the hit before it was moved counts");
    shard.advance(&operator, 13 << BUCKET_BITS, 0, &mut Vec::new());
    assert_eq!(shard.len(), 0);
}

#[test]
fn a_key_that_the_disk_forgot_does_not_hide_its_next_time() {
    let operator = operator();
    let mut shard = Shard::new(Hashing::random());
    for (second, by_hit) in [(0, false), (20, true), (40, false)] {
        shard.push(&operator, hits(&["key"], second), 0, 1);
        assert_eq!(shard.evict(&operator, 1).len(), 1);
        assert_eq!(shard.spilled_len(), 1);
        // What is asked for now is not there: too many keys were on disk.
        if by_hit {
            assert!(take_spilled(&mut shard, "key"));
        } else {
            let now = (second + 11) << BUCKET_BITS;
            assert_eq!(shard.take_due(now), [shard.hash("key")], "{second}");
        }
        assert!(!take_spilled(&mut shard, "key"));
        assert_eq!(shard.spilled_len(), 0);
    }
}

#[test]
fn keys_that_come_and_go_leave_no_times_behind() {
    let operator = operator();
    let mut shard = Shard::new(Hashing::random());
    for second in 0..5_000 {
        shard.push(&operator, hits(&["key"], second), 0, 1);
        let moved = shard.evict(&operator, 1);
        assert!(take_spilled(&mut shard, "key"));
        shard.load_spilled(&operator, moved, 1).unwrap();
        shard.advance(&operator, second << BUCKET_BITS, 0, &mut Vec::new());
    }
    assert!(
        shard.spilled_due.len() < 2_000,
        "{}",
        shard.spilled_due.len()
    );
    assert!(shard.take_due(i64::MAX).is_empty());
}
