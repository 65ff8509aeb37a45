//! The objects of a table that grows: those that were read, and those that wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use yagura_core::Timestamp;
use yagura_correlate::store::KnownObject;
use yagura_lake::ObjectTimes;
use yagura_lake::earlier_names;
use yagura_lake::table::DataFile;

/// How long others wait at first for an object of which something is wrong.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// An object that was read, or left out for good.
#[derive(Debug, Clone)]
pub(super) struct ReadObject {
    /// How it was; `None` where that was not noted.
    pub(super) version: Option<String>,
    /// Whether it was left out, because it could not be read.
    pub(super) is_bad: bool,
}

/// What was read or left out, by name.
pub(super) type ReadObjects = Arc<BTreeMap<String, ReadObject>>;

/// An object that is listed and not read.
#[derive(Debug, Clone)]
pub(super) struct WaitingObject {
    pub(super) file: DataFile,
    pub(super) name: String,
    pub(super) version: String,
    /// Which times its events have; nothing while that is not known.
    pub(super) times: Option<ObjectTimes>,
    /// Why it was not read, when it was tried.
    pub(super) trouble: Option<ReadFailure>,
}

/// Why an object could not be read.
#[derive(Debug, Clone)]
pub(super) struct ReadFailure {
    pub(super) since: Instant,
    pub(super) reason: String,
    /// The store failed, or something else that is no evidence about the object.
    is_passing: bool,
    /// How often it was tried.
    tries: u32,
    /// It is tried again.
    is_due: bool,
    /// Time goes on without it.
    is_passed_over: bool,
}

impl WaitingObject {
    /// Returns its earliest and latest event time, where they are known.
    pub(super) fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        self.times.as_ref()?.bounds
    }

    fn earliest(&self) -> Option<Timestamp> {
        self.bounds().map(|(earliest, _)| earliest)
    }

    /// Those of which little is known are read by themselves, so that they take no others with them.
    fn is_doubtful(&self) -> bool {
        self.trouble.is_some() || self.times.is_none()
    }

    /// Returns how long others wait for it; `None` for one of which nothing is wrong. It is twice as long each time, so that a
    /// slow store gives a large object in the end.
    pub(super) fn patience(&self) -> Option<Duration> {
        let tries = self.trouble.as_ref().map_or(0, |trouble| trouble.tries);
        let patience = FIRST_PATIENCE * 2_u32.pow(tries.min(7));
        self.is_doubtful().then_some(patience)
    }

    fn is_due(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.is_due)
    }
}

/// The objects of a table.
#[derive(Debug, Default)]
pub(super) struct TableObjects {
    known: ReadObjects,
    /// The earliest first.
    waiting: Vec<WaitingObject>,
    /// When an object was read last.
    read: Option<Instant>,
}

impl TableObjects {
    pub(super) fn new(stored: Vec<KnownObject>) -> Self {
        let known = stored.into_iter().map(|object| {
            let known = ReadObject {
                version: object.version,
                is_bad: object.is_bad,
            };
            (object.name, known)
        });
        Self {
            known: Arc::new(known.collect()),
            ..Self::default()
        }
    }

    pub(super) fn known(&self) -> &ReadObjects {
        &self.known
    }

    pub(super) fn waiting(&self) -> &[WaitingObject] {
        &self.waiting
    }

    /// Records that an object was read or left out.
    pub(super) fn note(&mut self, name: &str, version: Option<String>, is_bad: bool) {
        Arc::make_mut(&mut self.known).insert(name.to_owned(), ReadObject { version, is_bad });
    }

    /// Adds objects that wait, in place of others of the same names, and tries again those that could not be read.
    pub(super) fn add(&mut self, new: Vec<WaitingObject>) {
        for trouble in self.waiting.iter_mut().filter_map(|of| of.trouble.as_mut()) {
            trouble.is_due = true;
        }
        if new.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.waiting).into_iter();
        let mut by_name: BTreeMap<String, WaitingObject> =
            before.map(|of| (of.name.clone(), of)).collect();
        for mut of in new {
            let before = by_name.remove(&of.name);
            // The same object, looked at once more.
            if let Some(before) = before.filter(|before| before.version == of.version) {
                of.trouble = before.trouble;
                of.times = of.times.or(before.times);
            }
            by_name.insert(of.name.clone(), of);
        }
        self.waiting = by_name.into_values().collect();
        self.waiting
            .sort_by(|a, b| (a.earliest(), &a.name).cmp(&(b.earliest(), &b.name)));
    }

    /// Takes off those that wait what was written anew without some of its rows after it had been read: whatever it holds was read.
    pub(super) fn take_rewritten(&mut self) -> Vec<KnownObject> {
        let known = Arc::clone(&self.known);
        let was_read = |of: &mut WaitingObject| {
            let mut earlier = earlier_names(&of.name).into_iter();
            earlier.any(|name| known.get(&name).is_some_and(|known| !known.is_bad))
        };
        let taken: Vec<WaitingObject> = self.waiting.extract_if(.., was_read).collect();
        drop(known);
        let noted = taken.into_iter().map(|of| {
            self.note(&of.name, Some(of.version.clone()), false);
            KnownObject {
                name: of.name,
                version: Some(of.version),
                is_bad: false,
            }
        });
        noted.collect()
    }

    /// Takes an object off those that wait.
    pub(super) fn take(&mut self, name: &str) -> Option<WaitingObject> {
        let at = self.waiting.iter().position(|of| of.name == name)?;
        Some(self.waiting.remove(at))
    }

    /// Returns the objects that are read next: the earliest ones of which nothing is wrong, else one that may be.
    pub(super) fn next(&self, most: usize, bytes: u64) -> Vec<WaitingObject> {
        let mut size = 0;
        let mut next = Vec::new();
        let sound = self.waiting.iter().filter(|of| !of.is_doubtful());
        for waiting in sound.take(most.max(1)) {
            size += waiting.file.meta.size;
            if !next.is_empty() && size > bytes {
                break;
            }
            next.push(waiting.clone());
        }
        if next.is_empty() {
            let doubtful = self.waiting.iter().find(|of| of.is_due());
            next.extend(doubtful.cloned());
        }
        next
    }

    /// Records that an object was read.
    pub(super) fn was_read(&mut self) {
        self.read = Some(Instant::now());
    }

    /// Records that an object could not be read. Returns whether it is the first time, or the reason is another.
    pub(super) fn was_in_trouble(&mut self, name: &str, reason: &str, is_passing: bool) -> bool {
        let Some(waiting) = self.waiting.iter_mut().find(|of| of.name == name) else {
            return false;
        };
        let before = waiting.trouble.take();
        let is_new = before
            .as_ref()
            .is_none_or(|before| before.reason != reason || before.is_passing != is_passing);
        waiting.trouble = Some(ReadFailure {
            since: before
                .as_ref()
                .map_or_else(Instant::now, |before| before.since),
            reason: reason.to_owned(),
            is_passing,
            tries: before.as_ref().map_or(0, |before| before.tries) + 1,
            is_due: false,
            is_passed_over: before.is_some_and(|before| before.is_passed_over),
        });
        is_new
    }

    /// Finds those that could not be read for `patience`. Returns the names of bad ones, which are left out from now on, with the
    /// reasons; and those that the store does not give though it gives others: the watermark advances without them, and they are tried
    /// again.
    pub(super) fn give_up(
        &mut self,
        patience: Duration,
    ) -> (Vec<WaitingObject>, Vec<(String, String)>) {
        let (mut bad, mut passed_over) = (Vec::new(), Vec::new());
        let read = self.read;
        self.waiting.retain_mut(|of| {
            let Some(trouble) = &mut of.trouble else {
                return true;
            };
            if trouble.since.elapsed() < patience {
                return true;
            }
            if !trouble.is_passing {
                bad.push(of.clone());
                return false;
            }
            if !trouble.is_passed_over && read.is_some_and(|read| read > trouble.since) {
                trouble.is_passed_over = true;
                passed_over.push((of.name.clone(), trouble.reason.clone()));
            }
            true
        });
        (bad, passed_over)
    }

    /// Returns the first trouble there is: object and reason.
    pub(super) fn trouble(&self) -> Option<(&str, &str)> {
        let mut troubles = self
            .waiting
            .iter()
            .filter_map(|of| Some((of.name.as_str(), of.trouble.as_ref()?.reason.as_str())));
        troubles.next()
    }

    /// Returns the time that nothing passes before it is read: that of the earliest event of what waits.
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        let counts = |of: &&WaitingObject| {
            let mut trouble = of.trouble.iter();
            !trouble.any(|trouble| trouble.is_passed_over)
        };
        let waiting = self.waiting.iter().filter(counts);
        let earliest = waiting.map(|of| of.earliest().unwrap_or(Timestamp::clamped(i64::MIN)));
        earliest.min()
    }
}

#[cfg(test)]
mod tests {
    use yagura_lake::table::DataFile;

    use super::*;

    fn waiting(name: &str, earliest: Option<i64>) -> WaitingObject {
        let meta = datafusion::object_store::ObjectMeta {
            location: name.into(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 10,
            e_tag: None,
            version: None,
        };
        let file = DataFile {
            meta,
            partition_values: Vec::new(),
        };
        let bounds = earliest.map(|at| (Timestamp::clamped(at), Timestamp::clamped(at + 1)));
        WaitingObject {
            version: file.version(),
            file,
            name: name.to_owned(),
            times: earliest.map(|_| ObjectTimes {
                bounds,
                ..ObjectTimes::default()
            }),
            trouble: None,
        }
    }

    fn names(next: &[WaitingObject]) -> Vec<&str> {
        next.iter().map(|of| of.name.as_str()).collect()
    }

    #[test]
    fn a_bad_object_holds_time_but_no_other_object() {
        let mut objects = TableObjects::default();
        objects.add(vec![
            waiting("b", Some(20)),
            waiting("a", Some(10)),
            waiting("c", Some(30)),
        ]);
        assert_eq!(names(&objects.next(2, 1_000)), ["a", "b"]);
        assert_eq!(names(&objects.next(9, 15)), ["a"]);
        assert!(objects.was_in_trouble("a", "cut", false));
        assert!(!objects.was_in_trouble("a", "cut", false), "said already");
        // The good ones go on; the bad one is tried again, by itself, when it is looked again.
        assert_eq!(names(&objects.next(9, 1_000)), ["b", "c"]);
        objects.take("b").unwrap();
        objects.take("c").unwrap();
        assert_eq!(names(&objects.next(9, 1_000)), [] as [&str; 0]);
        objects.add(Vec::new());
        assert_eq!(names(&objects.next(9, 1_000)), ["a"]);
        assert_eq!(objects.earliest(), Some(Timestamp::clamped(10)));
        assert!(objects.give_up(Duration::from_secs(9)).0.is_empty());
        let (bad, _) = objects.give_up(Duration::ZERO);
        assert_eq!(names(&bad), ["a"]);
        assert_eq!(objects.earliest(), None);
    }

    #[test]
    fn time_passes_what_the_store_withholds_only_while_it_gives_others() {
        let mut objects = TableObjects::default();
        objects.add(vec![waiting("a", Some(10)), waiting("b", Some(20))]);
        objects.was_in_trouble("a", "403", true);
        let (bad, passed_over) = objects.give_up(Duration::ZERO);
        assert!(
            bad.is_empty() && passed_over.is_empty(),
            "the store may be down"
        );
        objects.take("b").unwrap();
        objects.was_read();
        let (bad, passed_over) = objects.give_up(Duration::ZERO);
        assert!(bad.is_empty());
        assert_eq!(passed_over, [("a".to_owned(), "403".to_owned())]);
        assert_eq!(objects.earliest(), None);
        // It is tried on.
        objects.add(Vec::new());
        assert_eq!(names(&objects.next(9, 1_000)), ["a"]);
        assert!(objects.give_up(Duration::ZERO).1.is_empty(), "said once");
    }

    #[test]
    fn an_object_without_some_of_its_rows_is_not_read_again() {
        let folder = "s3://b/t/date=2026-01-01";
        let name = |form: &str| format!("{folder}/part-0123456789abcdef{form}.parquet");
        let mut objects = TableObjects::default();
        objects.add(vec![waiting(&name(".r1"), Some(10))]);
        assert!(objects.take_rewritten().is_empty());
        objects.note(&name(""), None, false);
        let taken = objects.take_rewritten();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].name, name(".r1"));
        assert!(objects.waiting().is_empty());
        // The next form follows from the one that was not read either.
        objects.add(vec![waiting(&name(".r2"), Some(10))]);
        assert_eq!(objects.take_rewritten().len(), 1);
    }

    #[test]
    fn an_object_that_changed_takes_the_place_of_the_one_before() {
        let mut objects = TableObjects::default();
        objects.add(vec![waiting("a", Some(10)), waiting("b", None)]);
        objects.was_in_trouble("a", "cut", false);
        // Listed at once more it is the same, and in the same trouble; another one is not.
        objects.add(vec![waiting("a", None)]);
        assert_eq!(objects.trouble().map(|(name, _)| name), Some("a"));
        let mut other = waiting("a", Some(5));
        other.version.push('2');
        objects.add(vec![other]);
        assert_eq!(names(objects.waiting()), ["b", "a"]);
        assert!(objects.trouble().is_none());
        // What is not known comes by itself, and holds time.
        assert_eq!(names(&objects.next(9, 1_000)), ["a"]);
        assert_eq!(objects.earliest(), Some(Timestamp::clamped(i64::MIN)));
        objects.take("a").unwrap();
        assert_eq!(names(&objects.next(9, 1_000)), ["b"]);
    }
}
