//! Which lines a store takes: gaps, lines that it has, and other states.

use yagura_alerts::triage::{Feed, FeedPosition};
use yagura_alerts::{Triage, TriageError};
use yagura_core::report::AlertState;

use crate::support::{Hands, Lines, SIMPLE, alert, became, memory, policy};

#[tokio::test]
async fn lines_that_are_missing_are_an_error_and_old_ones_are_passed_over() {
    let mut lines = Lines::default();
    for n in 0..4 {
        lines.provisional(&alert("a", n, &[("process", "sh")]));
    }
    let store = memory(&Hands::new()).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    assert_eq!(triage.take(&lines.0[..2]).await.unwrap().lines, 2);
    let error = triage.take(&lines.0[3..]).await.unwrap_err();
    assert!(
        matches!(error, TriageError::Gap { taken: 2, found: 4 }),
        "{error}"
    );
    let taken = triage.take(&lines.0).await.unwrap();
    assert_eq!((taken.seq, taken.lines, taken.reported), (4, 2, 2));
    assert_eq!(triage.take(&lines.0).await.unwrap().lines, 0);
    assert_eq!(triage.last().await.unwrap(), 4);
}

#[tokio::test]
async fn a_store_continues_with_another_state_and_takes_all_its_lines() {
    let mut lines = Lines::default();
    for n in 0..4 {
        lines.provisional(&alert("a", n, &[("process", "sh")]));
    }
    let store = memory(&Hands::new()).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    let feed = |state: i64, delivered: i64, last: i64| Feed {
        state,
        delivered,
        last,
    };
    assert_eq!(
        triage.follow(feed(7, 0, 0)).await.unwrap(),
        FeedPosition::On
    );
    triage.take(&lines.0).await.unwrap();
    // The same state again, which has more lines by now.
    assert_eq!(
        triage.follow(feed(7, 3, 9)).await.unwrap(),
        FeedPosition::On
    );
    assert_eq!(triage.last().await.unwrap(), 4);
    // It has no more what the store lacks.
    let error = triage.follow(feed(7, 6, 9)).await.unwrap_err();
    assert!(
        matches!(error, TriageError::Gap { taken: 4, found: 7 }),
        "{error}"
    );
    // A new state has one alert that is known, and one that is not. Both are heard, one as what it is.
    let followed = triage.follow(feed(8, 0, 0)).await.unwrap();
    assert_eq!(followed, FeedPosition::Anew { taken: 4, next: 1 });
    assert_eq!(triage.last().await.unwrap(), 0);
    let mut again = Lines::default();
    again.finalise(&alert("a", 3, &[("process", "sh")]));
    again.provisional(&alert("a", 9, &[("process", "sh")]));
    let taken = triage.take(&again.0).await.unwrap();
    assert_eq!((taken.seq, taken.lines, taken.reported), (2, 2, 1));
    let known = became(&triage, &lines.0[3].alert).await;
    assert_eq!(known.alert.state, AlertState::Final);
    assert_eq!(triage.last().await.unwrap(), 2);
    // The same state as it was when it had one line: what it finds now comes after all that is known.
    let followed = triage.follow(feed(8, 1, 1)).await.unwrap();
    assert_eq!(followed, FeedPosition::Anew { taken: 6, next: 2 });
    let mut later = Lines::default();
    later.finalise(&alert("a", 3, &[("process", "sh")]));
    later.finalise(&alert("a", 9, &[("process", "sh")]));
    let taken = triage.take(&later.0).await.unwrap();
    assert_eq!((taken.seq, taken.lines, taken.reported), (2, 1, 0));
    // An empty store leaves out what others have read.
    let store = memory(&Hands::new()).await;
    let triage = Triage::open(&store, policy(SIMPLE), &[]).await.unwrap();
    assert_eq!(
        triage.follow(feed(8, 5, 6)).await.unwrap(),
        FeedPosition::On
    );
    assert_eq!(triage.last().await.unwrap(), 5);
}
