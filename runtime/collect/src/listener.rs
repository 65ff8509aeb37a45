//! Listens to a queue and hands what it announces to the sources.
//!
//! ```text
//! receive ─▶ read ─▶ of a source: its collector ─object is in the ledger─▶ delete
//!                 ├▶ of none, or no announcement: parked in the ledger ───▶ delete
//!                 └▶ of another kind: counted ────────────────────────────▶ delete
//! ```
//!
//! A message is a hint; the listing is the truth. So lost messages cost time, and doubled or reordered ones a request each. A message
//! that is received and not deleted, because the process was killed or the object could not be read, comes again.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use object_store::path::Path;
use tokio::sync::mpsc;
use yagura_core::causes::causes;
use yagura_lake::Location;

use crate::ledger::{Ledger, LedgerError, Parked, QueueCounted};
use crate::notice::{Arrival, notice};
use crate::queue::{self, HIDDEN, Message, Queue, QueueError};

/// Messages that are received and not deleted, at most.
const MOST_IN_HAND: usize = 2_000;
/// How long to wait while there are so many.
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// How long receipts are gathered before their messages are deleted together.
const GATHER: Duration = Duration::from_millis(50);
/// Receipts that are deleted together at most.
const DELETED_TOGETHER: usize = 500;
/// The pauses after a failed request.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a message is tried to be deleted; then it comes again.
const ATTEMPTS: u32 = 3;
/// Characters of a parked message that are kept.
const KEPT: usize = 1_000;

/// A new object of a source, as a message announced it.
#[derive(Debug)]
pub struct Announced {
    pub(crate) key: Path,
    pub(crate) tag: Option<String>,
    pub(crate) queue: Arc<str>,
    ticket: Arc<Ticket>,
}

/// A message of which some objects are not in the ledger yet.
#[derive(Debug)]
struct Ticket {
    receipt: String,
    left: AtomicUsize,
    done: mpsc::UnboundedSender<String>,
}

impl Announced {
    /// Notes that the object is in the ledger, or gone. The message is deleted after the last of its objects.
    pub(crate) fn done(self) {
        if self.ticket.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Nobody deletes any more when the service ends: the message comes again.
            let _ = self.ticket.done.send(self.ticket.receipt.clone());
        }
    }

    #[cfg(test)]
    pub(crate) fn of_test(
        key: &str,
        tag: Option<&str>,
        done: &mpsc::UnboundedSender<String>,
    ) -> Self {
        let receipt = format!("receipt of {key}");
        let (left, done) = (AtomicUsize::new(1), done.clone());
        Self {
            key: Path::parse(key).unwrap_or_default(),
            tag: tag.map(str::to_owned),
            queue: "queue".into(),
            ticket: Arc::new(Ticket {
                receipt,
                left,
                done,
            }),
        }
    }
}

/// A source whose objects a queue announces.
#[derive(Debug)]
struct Route {
    from: Location,
    sender: mpsc::UnboundedSender<Announced>,
}

/// Listens to one queue for all sources that name it.
#[derive(Debug)]
pub struct Listener {
    name: Arc<str>,
    queue: Box<dyn Queue>,
    routes: Vec<Route>,
    ledger: Arc<Ledger>,
    in_hand: Mutex<HashMap<String, Instant>>,
}

impl Listener {
    /// Opens the queue that `events` of a source names, with the credentials of the store that holds `from`. Nothing is requested.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn open(
        events: &str,
        from: &Location,
        allow_http: bool,
        ledger: Arc<Ledger>,
    ) -> Result<Self, QueueError> {
        let queue = queue::open(events, from, allow_http)?;
        Ok(Self::with(events, queue, ledger))
    }

    fn with(name: &str, queue: Box<dyn Queue>, ledger: Arc<Ledger>) -> Self {
        Self {
            name: name.into(),
            queue,
            routes: Vec::new(),
            ledger,
            in_hand: Mutex::default(),
        }
    }

    /// Hands what is announced below `from` to the receiver that it returns.
    pub fn route(&mut self, from: &Location) -> mpsc::UnboundedReceiver<Announced> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.routes.push(Route {
            from: from.clone(),
            sender,
        });
        receiver
    }

    /// Listens until it is dropped. `say` gets what an operator should know, a line each.
    pub async fn run(self, say: impl Fn(String) + Sync) {
        let (done, ended) = mpsc::unbounded_channel();
        futures::join!(self.receive(&done, &say), self.delete(ended, &say));
    }

    async fn receive(&self, done: &mpsc::UnboundedSender<String>, say: &(impl Fn(String) + Sync)) {
        let mut pause = FIRST_PAUSE;
        let mut said = BTreeSet::new();
        // At first the ledger may have the trouble of an earlier process.
        let mut noted: Option<Option<String>> = None;
        loop {
            self.hand().retain(|_, since| since.elapsed() < HIDDEN);
            if self.hand().len() >= MOST_IN_HAND {
                tokio::time::sleep(FULL_PAUSE).await;
                continue;
            }
            let received = match self.queue.receive().await {
                Ok(messages) => self
                    .take(&messages, done, &mut said, say)
                    .map(|()| messages.is_empty())
                    .map_err(|error| causes(&error).join(": ")),
                Err(error) => Err(causes(&error).join(": ")),
            };
            let now = received.as_ref().err().cloned();
            if noted.as_ref() != Some(&now) {
                let was_away = matches!(noted, Some(Some(_)));
                match &now {
                    Some(text) => say(format!(
                        "warning: {text}; it is tried again, and the prefixes are listed meanwhile"
                    )),
                    None if was_away => say(format!("the queue {} answers again", self.name)),
                    None => {}
                }
                // A ledger that fails is said by who reads it too.
                let _ = self.ledger.note_queue_trouble(&self.name, now.as_deref());
                noted = Some(now);
            }
            match received {
                Ok(is_empty) => {
                    pause = FIRST_PAUSE;
                    if is_empty {
                        tokio::time::sleep(self.queue.pause()).await;
                    }
                }
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Sorts messages: to the sources, or into the ledger.
    fn take(
        &self,
        messages: &[Message],
        done: &mpsc::UnboundedSender<String>,
        said: &mut BTreeSet<&'static str>,
        say: &(impl Fn(String) + Sync),
    ) -> Result<(), LedgerError> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut counted = QueueCounted {
            messages: messages.len() as u64,
            ..QueueCounted::default()
        };
        let mut parked = Vec::new();
        let mut sorted = Vec::new();
        for message in messages {
            let targets = match notice(message) {
                Ok(notice) => {
                    counted.others += notice.others;
                    counted.arrivals += notice.arrivals.len() as u64;
                    let arrivals = notice.arrivals.into_iter();
                    arrivals
                        .flat_map(|arrival| self.targets(arrival, &mut parked))
                        .collect()
                }
                Err(reason) => {
                    counted.malformed += 1;
                    parked.push(Parked {
                        what: message.text.chars().take(KEPT).collect(),
                        reason,
                        is_malformed: true,
                    });
                    Vec::new()
                }
            };
            sorted.push((message, targets));
        }
        counted.parked = parked.iter().filter(|of| !of.is_malformed).count() as u64;
        // Before any of them is deleted.
        self.ledger.note_messages(&self.name, counted, &parked)?;
        for of in &parked {
            let kind = if of.is_malformed {
                "malformed"
            } else {
                "other"
            };
            if said.insert(kind) {
                say(format!(
                    "warning: queue {}: {}, and is parked: {}; more are counted by `yagura source status`",
                    self.name, of.reason, of.what
                ));
            }
        }
        for (message, targets) in sorted {
            self.hand_over(message, targets, done);
        }
        Ok(())
    }

    /// Returns the routes that an arrival takes; parks it where there is none.
    fn targets(&self, arrival: Arrival, parked: &mut Vec<Parked>) -> Vec<(usize, Path, Arrival)> {
        let name = format!("{}/{}", arrival.bucket, arrival.key);
        let mut park = |reason: &str| {
            parked.push(Parked {
                what: name.chars().take(KEPT).collect(),
                reason: reason.to_owned(),
                is_malformed: false,
            });
            Vec::new()
        };
        let Ok(key) = Path::parse(&arrival.key) else {
            return park("a message announces a name that no object can have");
        };
        let routes = self.routes.iter().enumerate();
        let routes = routes.filter(|(_, route)| {
            route.from.bucket() == Some(arrival.bucket.as_str())
                && key.prefix_matches(&route.from.prefix)
        });
        let found: Vec<_> = routes
            .map(|(number, _)| (number, key.clone(), arrival.clone()))
            .collect();
        match found.is_empty() {
            true => {
                park("a message announces an object below no `url` of a source with this queue")
            }
            false => found,
        }
    }

    fn hand_over(
        &self,
        message: &Message,
        targets: Vec<(usize, Path, Arrival)>,
        done: &mpsc::UnboundedSender<String>,
    ) {
        if targets.is_empty() {
            let _ = done.send(message.receipt.clone());
            return;
        }
        self.hand().insert(message.receipt.clone(), Instant::now());
        let ticket = Arc::new(Ticket {
            receipt: message.receipt.clone(),
            left: AtomicUsize::new(targets.len()),
            done: done.clone(),
        });
        for (number, key, arrival) in targets {
            let announced = Announced {
                key,
                tag: arrival.tag,
                queue: Arc::clone(&self.name),
                ticket: Arc::clone(&ticket),
            };
            if let Some(route) = self.routes.get(number) {
                // A source that has ended leaves the message to the next start.
                let _ = route.sender.send(announced);
            }
        }
    }

    /// Deletes the messages whose objects are in the ledger.
    async fn delete(
        &self,
        mut ended: mpsc::UnboundedReceiver<String>,
        say: &(impl Fn(String) + Sync),
    ) {
        let mut receipts = Vec::new();
        let mut is_said = false;
        loop {
            receipts.clear();
            if ended.recv_many(&mut receipts, DELETED_TOGETHER).await == 0 {
                return;
            }
            tokio::time::sleep(GATHER).await;
            while receipts.len() < DELETED_TOGETHER
                && let Ok(receipt) = ended.try_recv()
            {
                receipts.push(receipt);
            }
            let mut pause = FIRST_PAUSE;
            for attempt in 1..=ATTEMPTS {
                match self.queue.delete(&receipts).await {
                    Ok(()) => {
                        is_said = false;
                        break;
                    }
                    Err(error) if attempt == ATTEMPTS => {
                        if !std::mem::replace(&mut is_said, true) {
                            let causes = causes(&error).join(": ");
                            say(format!(
                                "warning: messages cannot be deleted, and come again: {causes}"
                            ));
                        }
                    }
                    Err(_) => {
                        tokio::time::sleep(pause).await;
                        pause *= 2;
                    }
                }
            }
            let mut hand = self.hand();
            for receipt in &receipts {
                hand.remove(receipt);
            }
        }
    }

    fn hand(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use futures::future::BoxFuture;

    use super::*;

    /// A queue in memory: what is received and not deleted comes again.
    #[derive(Debug, Default)]
    struct TestQueue {
        waiting: Arc<Mutex<VecDeque<Message>>>,
        deleted: Arc<Mutex<Vec<String>>>,
    }

    impl Queue for TestQueue {
        fn receive(&self) -> BoxFuture<'_, Result<Vec<Message>, QueueError>> {
            Box::pin(async { Ok(self.waiting.lock().unwrap().drain(..).collect()) })
        }

        fn delete<'q>(&'q self, receipts: &'q [String]) -> BoxFuture<'q, Result<(), QueueError>> {
            self.deleted.lock().unwrap().extend_from_slice(receipts);
            Box::pin(async { Ok(()) })
        }

        fn pause(&self) -> Duration {
            Duration::from_millis(1)
        }
    }

    fn s3(keys: &[&str], receipt: &str) -> Message {
        let records = keys.iter().map(|key| {
            serde_json::json!({"eventName": "ObjectCreated:Put", "s3": {
                "bucket": {"name": "raw"}, "object": {"key": key, "eTag": "t"}}})
        });
        Message {
            text: serde_json::json!({"Records": records.collect::<Vec<_>>()}).to_string(),
            receipt: receipt.to_owned(),
            ..Message::default()
        }
    }

    #[tokio::test]
    async fn a_message_is_deleted_after_the_last_of_its_objects() {
        let state = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(state.path()).unwrap());
        let queue = TestQueue::default();
        let deleted = Arc::clone(&queue.deleted);
        queue.waiting.lock().unwrap().extend([
            s3(&["web/1", "web/2"], "two"),
            s3(&["elsewhere/3"], "unknown"),
            s3(&["webs/3"], "like a prefix"),
            s3(&["web/a//b"], "odd"),
            Message {
                text: "no event".to_owned(),
                receipt: "malformed".to_owned(),
                ..Message::default()
            },
        ]);
        let mut listener = Listener::with("q", Box::new(queue), Arc::clone(&ledger));
        let from = Location::parse("memory://raw/web", &BTreeMap::new()).unwrap();
        let mut arrivals = listener.route(&from);
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&said);
        let task = tokio::spawn(async move {
            let say = |line| saying.lock().unwrap().push(line);
            listener.run(say).await;
        });
        let first = arrivals.recv().await.unwrap();
        let second = arrivals.recv().await.unwrap();
        assert_eq!(
            (first.key.as_ref(), second.key.as_ref()),
            ("web/1", "web/2")
        );
        let wait_for = async |count: usize| {
            for _ in 0..1_000 {
                if deleted.lock().unwrap().len() >= count {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut deleted = deleted.lock().unwrap().clone();
            deleted.sort();
            deleted
        };
        let parked = ["like a prefix", "malformed", "odd", "unknown"];
        assert_eq!(wait_for(4).await, parked);
        first.done();
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(wait_for(4).await, parked, "one of its objects is not read");
        second.done();
        assert_eq!(wait_for(5).await.len(), 5);
        task.abort();
        let queues = ledger.queues().unwrap();
        let of = &queues[0];
        assert_eq!((of.messages, of.arrivals), (5, 5));
        assert_eq!((of.parked, of.malformed), (3, 1));
        let kept: Vec<&str> = of.kept.iter().map(|of| of.what.as_str()).collect();
        assert!(
            kept.contains(&"raw/elsewhere/3") && kept.contains(&"no event"),
            "{kept:?}"
        );
        let said = said.lock().unwrap().join("\n");
        assert!(said.contains("raw/elsewhere/3"), "{said}");
        assert!(said.contains("not JSON"), "{said}");
    }
}
