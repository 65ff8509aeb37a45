//! Ten plugins that are hostile in ten ways, beside ninety that are not. What it costs these is measured by the benchmark of
//! the same name.

use std::time::Duration;

use yagura_core::pack::Limits;
use yagura_tests::crowd::{Crowd, FAULTY, HOSTILE, MEMORY, Ten};

#[tokio::test(flavor = "multi_thread")]
async fn ninety_of_a_hundred_find_what_they_find_alone_and_every_fault_has_a_name() {
    let limits = Limits {
        time: "300ms".parse().unwrap(),
        memory_mib: 64,
        output_mib: 4,
        log_lines: 10,
        ..Limits::default()
    };
    let crowd = Crowd::new(8, 20_000, limits).unwrap();
    let alone = crowd.watch(Ten::Absent, Duration::ZERO).await.unwrap();
    let beside = crowd.watch(Ten::Hostile, Duration::ZERO).await.unwrap();
    assert!(alone.settled.len() > 50, "{:?}", alone.settled.keys());
    assert_eq!(alone.messages, Vec::<String>::new());
    for (rule, alerts) in &alone.settled {
        assert_eq!(beside.settled.get(rule), Some(alerts), "{rule}");
    }
    for rule in FAULTY {
        let named = format!("rule `{rule}` ");
        assert!(
            beside
                .messages
                .iter()
                .any(|message| message.starts_with(&named)),
            "nothing is said of {rule}: {:#?}",
            beside.messages
        );
    }
    // Nobody is blamed for what another did.
    for message in &beside.messages {
        let is_named = |rule: &&str| message.contains(&format!("rule `{rule}` "));
        assert!(HOSTILE.iter().any(is_named), "{message}");
    }
    for rule in ["log-flood-rare", "slow-rare"] {
        assert!(beside.settled.contains_key(rule), "{rule} did find things");
    }
    let most = beside.plugin_memory.iter().max();
    assert!(most.is_some_and(|most| *most < MEMORY), "{most:?}");
}
