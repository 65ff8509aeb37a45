use yagura_core::EventRef;

use super::*;

fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    start.saturating_add(second * 1_000_000)
}

fn quarantine() -> Quarantine {
    let rules = [(4, "p/slow"), (7, "p/other")];
    let rules = rules.map(|(index, id)| (index, id.to_owned(), "code".to_owned()));
    Quarantine::new(rules.into_iter(), Some(Fairness::default()))
}

fn left_out(rows: u64, from: i64, to: i64) -> SkippedEvents {
    let event = |second| EventRef {
        time: at(second),
        object: "o".into(),
        row: 1,
    };
    SkippedEvents {
        rule: 4,
        rule_id: "p/slow".to_owned(),
        cause: SkipCause::Quarantine,
        reason: "the rule is quarantined".to_owned(),
        rows,
        wakes: 0,
        first: event(from),
        last: event(to),
    }
}

/// Makes a step in which the rule fails so often, and returns what is reported.
fn fail(quarantine: &Quarantine, now: Timestamp, faults: usize) -> Vec<String> {
    quarantine.begin_step(now, &BTreeSet::new());
    for _ in 0..faults {
        quarantine.add_fault(4, "it trapped");
    }
    quarantine.end_step(now, &[])
}

#[test]
fn a_rule_rests_after_three_faults_and_the_others_do_not() {
    let quarantine = quarantine();
    assert_eq!(fail(&quarantine, at(0), 2), Vec::<String>::new());
    assert!(!quarantine.is_quarantined(4));
    quarantine.begin_step(at(1), &BTreeSet::new());
    quarantine.add_fault(4, "it trapped");
    assert!(
        quarantine.is_quarantined(4),
        "at once, not with the next step"
    );
    assert!(!quarantine.is_quarantined(7));
    assert_eq!(
        quarantine.end_step(at(1), &[]),
        ["rule `p/slow` is quarantined for 1 minute: it trapped"]
    );
}

#[test]
fn rests_grow_with_each_relapse_up_to_an_hour() {
    let quarantine = quarantine();
    fail(&quarantine, at(0), 3);
    let mut now = at(0);
    let mut lengths = Vec::new();
    for _ in 0..8 {
        let until = quarantine.stored()[0].until;
        lengths.push((until.micros() - now.micros()) / 60_000_000);
        quarantine.begin_step(until.saturating_add(-1), &BTreeSet::new());
        assert!(quarantine.is_quarantined(4), "its time is not over");
        now = until;
        quarantine.begin_step(now, &BTreeSet::new());
        assert!(quarantine.is_retrying(4) && !quarantine.is_quarantined(4));
        // One fault is enough retried.
        quarantine.add_fault(4, "it trapped again");
        quarantine.end_step(now, &[]);
    }
    assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn what_was_left_out_is_told_when_the_rule_works_again() {
    let quarantine = quarantine();
    fail(&quarantine, at(0), 3);
    quarantine.begin_step(at(10), &BTreeSet::new());
    assert_eq!(
        quarantine.end_step(at(10), &[left_out(5, 3, 9)]),
        Vec::<String>::new()
    );
    quarantine.begin_step(at(20), &BTreeSet::new());
    quarantine.end_step(at(20), &[left_out(2, 1, 4)]);
    quarantine.begin_step(at(60), &BTreeSet::new());
    quarantine.add_success(4);
    assert_eq!(
        quarantine.end_step(at(60), &[]),
        [
            "rule `p/slow` works again; 7 events were not evaluated, which `yagura run --from 2026-03-01T00:00:01.000000Z --to 2026-03-01T00:00:09.000001Z` does"
        ]
    );
    let rest = &quarantine.stored()[0];
    assert!(!rest.is_quarantined, "{rest:?}");
    assert_eq!((rest.events, rest.first, rest.since), (0, None, None));
    // Three faults again, and a longer rest than the first.
    assert_eq!(fail(&quarantine, at(70), 2), Vec::<String>::new());
    assert_eq!(
        fail(&quarantine, at(71), 1),
        ["rule `p/slow` is quarantined for 2 minutes: it trapped"]
    );
}

#[test]
fn an_hour_of_work_without_a_fault_makes_good() {
    let quarantine = quarantine();
    fail(&quarantine, at(0), 2);
    assert_eq!(fail(&quarantine, at(3_600), 1), Vec::<String>::new());
    assert_eq!(fail(&quarantine, at(3_700), 2).len(), 1, "three within");
    quarantine.begin_step(at(4_000), &BTreeSet::new());
    quarantine.add_success(4);
    quarantine.end_step(at(4_000), &[]);
    assert_eq!(quarantine.stored()[0].repeats, 1);
    quarantine.begin_step(at(4_000 + 3_599), &BTreeSet::new());
    assert_eq!(quarantine.stored()[0].repeats, 1, "an hour of work");
    quarantine.begin_step(at(4_000 + 3_600), &BTreeSet::new());
    assert_eq!(quarantine.stored(), []);
}

#[test]
fn a_rule_that_takes_more_than_is_fair_is_background_events() {
    let quarantine = quarantine();
    let nobody = BTreeSet::new();
    quarantine.begin_step(at(0), &nobody);
    assert_eq!(
        quarantine.fair_time(10_000),
        Some(Duration::from_millis(200)),
        "a tenth of a second, and 10 µs an event"
    );
    assert!(quarantine.add_time(4, 1_000, Duration::from_millis(100)));
    // A rule with many events is not slow.
    assert!(quarantine.add_time(7, 1_000_000, Duration::from_secs(10)));
    assert!(!quarantine.add_time(4, 0, Duration::from_millis(11)));
    quarantine.move_to_background(4, "it is slow");
    assert!(
        quarantine.is_in_background(4)
            && !quarantine.is_quarantined(4)
            && !quarantine.is_in_background(7)
    );
    assert_eq!(
        quarantine.end_step(at(0), &[]),
        ["rule `p/slow` is evaluated in the background for a while: it is slow"]
    );
    quarantine.begin_step(at(59), &nobody);
    assert!(quarantine.is_in_background(4));
    quarantine.begin_step(at(60), &BTreeSet::from([4]));
    assert!(quarantine.is_in_background(4), "rows of it still wait");
    quarantine.begin_step(at(61), &nobody);
    assert!(!quarantine.is_in_background(4));
    assert!(
        quarantine.add_time(4, 1, Duration::from_millis(100)),
        "a new step"
    );
    // The next time it is for longer.
    quarantine.move_to_background(4, "it is slow");
    quarantine.end_step(at(62), &[]);
    quarantine.begin_step(at(62 + 119), &nobody);
    assert!(quarantine.is_in_background(4));
    quarantine.begin_step(at(62 + 120), &nobody);
    assert!(!quarantine.is_in_background(4));
}

#[test]
fn a_rule_with_state_rests_when_it_takes_many_times_what_is_fair() {
    let quarantine = quarantine();
    quarantine.begin_step(at(0), &BTreeSet::new());
    quarantine.add_time_with_state(4, 1_000, Duration::from_secs(11));
    assert!(!quarantine.is_quarantined(4));
    quarantine.add_time_with_state(4, 0, Duration::from_millis(101));
    assert!(quarantine.is_quarantined(4));
    assert_eq!(
        quarantine.end_step(at(0), &[]),
        [
            "rule `p/slow` is quarantined for 1 minute: it took 11.1 s for 1000 events of one step, where 10 s and 1 ms an event is the maximum that others wait for it"
        ]
    );
}

#[test]
fn a_single_run_has_no_share_of_time_and_no_end_of_rests() {
    let rules = [(4, "r".to_owned(), "code".to_owned())];
    let quarantine = Quarantine::new(rules.into_iter(), None);
    assert_eq!(quarantine.fair_time(1), None);
    assert!(quarantine.add_time(4, 1, Duration::from_secs(100_000)));
    quarantine.add_time_with_state(4, 1, Duration::from_secs(100_000));
    assert!(!quarantine.is_quarantined(4));
}

#[test]
fn a_rest_outlives_the_process_and_another_plugin_ends_it() {
    let before = quarantine();
    fail(&before, at(0), 3);
    before.begin_step(at(1), &BTreeSet::new());
    before.end_step(at(1), &[left_out(5, 0, 1)]);
    let stored = before.stored();

    let after = quarantine();
    assert_eq!(
        after.restore(&stored),
        ["rule `p/slow` is still quarantined, until 2026-03-01T00:01:00.000000Z: it trapped"]
    );
    assert!(after.is_quarantined(4));
    assert_eq!(after.stored(), stored);

    let rules = [(0, "p/slow".to_owned(), "other code".to_owned())];
    let mended = Quarantine::new(rules.into_iter(), Some(Fairness::default()));
    assert_eq!(
        mended.restore(&stored),
        [
            "rule `p/slow` has another plugin now and is tried again; 5 events were not evaluated, which `yagura run --from 2026-03-01T00:00:00.000000Z --to 2026-03-01T00:00:01.000001Z` does"
        ]
    );
    assert!(!mended.is_quarantined(0));
    assert_eq!(mended.stored(), []);
}

#[test]
fn a_person_ends_a_rest() {
    let quarantine = quarantine();
    assert_eq!(quarantine.clear("p/slow"), None, "it does not rest");
    fail(&quarantine, at(0), 3);
    assert_eq!(quarantine.clear("p/unknown"), None);
    assert_eq!(
        quarantine.clear("p/slow").as_deref(),
        Some("rule `p/slow` was cleared from quarantine")
    );
    assert!(!quarantine.is_quarantined(4) && !quarantine.is_retrying(4));
    assert_eq!(quarantine.stored(), []);
}
