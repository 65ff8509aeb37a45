//! What comes into a table: listed objects, and what was read from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::{NaiveDate, TimeDelta};
use yagura_correlate::store::KnownObject;
use yagura_lake::earlier_names;
use yagura_lake::table::OnProblem;

use super::{LiveTable, now};
use crate::error::EngineError;
use crate::live::listing::{ListingInput, ListingResult, OpenTable};
use crate::live::messages::problem;
use crate::live::objects::WaitingObject;
use crate::live::options::{LiveOptions, Replaced};
use crate::live::read::{ReadResult, read};
use crate::live::task::BackgroundTask;
use crate::scan_output::ScanOutput;

/// A table of at most so many objects is listed whole each time.
const LISTED_WHOLE: usize = 10_000;

/// How far ahead of the clock an event is before somebody hears of it, in microseconds: clocks differ a little.
const AHEAD: i64 = 60_000_000;

impl LiveTable {
    /// Begins to list what is there, unless it is being listed.
    pub(in crate::live) fn start_listing(&mut self, options: &LiveOptions) {
        if self.listing.is_some() {
            return;
        }
        let is_due = self.all <= LISTED_WHOLE
            || self
                .listed_all
                .is_none_or(|at| at.elapsed() >= options.list_all);
        let waiting = self.objects.waiting().iter();
        let look = ListingInput {
            config: self.config.clone(),
            range: options.run.range,
            table: self.table(),
            cache: Arc::clone(&self.cache),
            known: Arc::clone(self.objects.known()),
            waiting: waiting
                .map(|of| {
                    // One whose footer was not read is listed again.
                    let version = of.times.is_some().then(|| of.version.clone());
                    (of.name.clone(), version)
                })
                .collect(),
            since: self.first_day().filter(|_| !is_due),
            limit: now().saturating_add(AHEAD),
        };
        self.listing = Some(BackgroundTask::start(look.run()));
    }

    /// Notes that objects were written: a listing that is under way may have missed them.
    pub(in crate::live) fn expect_objects(&mut self) {
        self.list_again = self.listing.is_some();
    }

    /// Returns the first day that events of now may lie in.
    fn first_day(&self) -> Option<NaiveDate> {
        let lateness = TimeDelta::microseconds(self.lateness);
        let from = self.status.watermark?.day() - TimeDelta::days(1);
        Some(from - TimeDelta::days(lateness.num_days()))
    }

    /// Returns whether it is being listed.
    pub(in crate::live) fn is_listing(&self) -> bool {
        self.listing.as_ref().is_some_and(|task| !task.has_ended())
    }

    /// Takes in what was listed, if that has ended. Returns the table as it is now where it has other columns than before.
    pub(in crate::live) async fn end_listing(
        &mut self,
        options: &LiveOptions,
    ) -> Option<OpenTable> {
        if self.is_listing() {
            return None;
        }
        let other = match self.listing.take()?.end().await? {
            Ok(listed) => self.take_in(listed, options),
            Err(error) => {
                let reason = problem(&error);
                if self.list_problem.as_deref() != Some(&reason) {
                    tracing::warn!(table = self.name(), reason, "cannot look for new objects");
                }
                self.list_problem = Some(reason);
                None
            }
        };
        if std::mem::take(&mut self.list_again) {
            self.start_listing(options);
        }
        other
    }

    fn take_in(&mut self, listed: ListingResult, options: &LiveOptions) -> Option<OpenTable> {
        self.list_problem = listed.problem;
        if let Some(all) = listed.all {
            self.listed_all = Some(Instant::now());
            self.all = all;
        }
        if listed.other.is_some() {
            return listed.other;
        }
        self.notes.note_empty(listed.empty);
        self.notes.note_left_out(&listed.strays, &listed.odd_names);
        let is_rewritten: BTreeSet<String> = listed
            .new
            .iter()
            .flat_map(|of| earlier_names(&of.name))
            .collect();
        for name in listed.gone {
            // Its next form takes its place.
            if is_rewritten.contains(&name) {
                self.objects.take(&name);
            }
            if self.objects.take(&name).is_some() {
                self.notes
                    .push(format!("{name} was deleted before it was read"));
            }
        }
        for (name, version) in listed.adopted {
            self.objects.note(&name, Some(version), false);
        }
        let mut new = listed.new;
        new.extend(self.take_replaced(listed.replaced, options));
        // What was read since the look began is known by now.
        new.retain(|of| {
            let known = self.objects.known().get(&of.name);
            known.is_none_or(|known| known.version.as_ref() != Some(&of.version))
        });
        let is_before = |of: &WaitingObject| {
            let latest = of.bounds().map(|(_, latest)| latest);
            options
                .from
                .zip(latest)
                .is_some_and(|(from, latest)| latest < from)
        };
        for before in new.extract_if(.., |of| is_before(of)) {
            self.objects.note(&before.name, Some(before.version), false);
        }
        let mended = new.iter().filter(|of| {
            let known = self.objects.known().get(&of.name);
            known.is_some_and(|known| known.is_bad)
        });
        self.notes.extend(mended.map(|of| {
            format!(
                "{} was replaced after it was left out, and is read now",
                of.name
            )
        }));
        if !new.is_empty() {
            self.seen = Instant::now();
            // What is listed is read before time passes it.
            self.status.is_idle = false;
            self.status.seen = Some(now());
        }
        self.objects.add(new);
        self.noted.extend(self.objects.take_rewritten());
        self.give_up(options);
        self.end_loading(options);
        self.has_listed = true;
        None
    }

    /// Records objects that were replaced after they had been read, and returns those that are evaluated again.
    fn take_replaced(
        &mut self,
        replaced: Vec<WaitingObject>,
        options: &LiveOptions,
    ) -> Vec<WaitingObject> {
        let Some(first) = replaced.first() else {
            return Vec::new();
        };
        self.status.replaced += replaced.len() as u64;
        let what = match options.on_replaced {
            Replaced::Keep => {
                "the alerts of the one before stay, and the events of the new one are not evaluated"
            }
            Replaced::Evaluate => "it is evaluated too",
        };
        self.notes.push(match replaced.len() {
            1 => format!("{} was replaced after it was read: {what}", first.name),
            count => format!(
                "{count} objects, for instance {}, were replaced after they were read: of each {what}",
                first.name
            ),
        });
        match options.on_replaced {
            Replaced::Evaluate => replaced,
            Replaced::Keep => {
                for of in replaced {
                    self.objects.note(&of.name, Some(of.version.clone()), false);
                    self.noted.push(KnownObject {
                        name: of.name,
                        version: Some(of.version),
                        is_bad: false,
                    });
                }
                Vec::new()
            }
        }
    }

    /// Leaves out what could not be read for long enough.
    fn give_up(&mut self, options: &LiveOptions) {
        let (bad, passed_over) = self.objects.give_up(options.patience);
        for of in bad {
            let reason = of.trouble.map(|trouble| trouble.reason).unwrap_or_default();
            self.leave_out(&of.name, of.version, &reason);
        }
        for (name, reason) in passed_over {
            self.notes.push(format!(
                "the watermark no longer waits for {name}: {reason}; it is read again at every poll, and its events are late then"
            ));
        }
    }

    fn leave_out(&mut self, name: &str, version: String, reason: &str) {
        self.status.bad += 1;
        self.notes.push(format!(
            "{name} was left out, it cannot be read: {reason}; mend or remove it, a replaced object is read"
        ));
        self.objects.note(name, Some(version.clone()), true);
        self.noted.push(KnownObject {
            name: name.to_owned(),
            version: Some(version),
            is_bad: true,
        });
    }

    /// A table's first load is at its end when nothing waits and nothing new has come for a while.
    fn end_loading(&mut self, options: &LiveOptions) {
        let quiet = options.first_load.unwrap_or_default();
        if self.status.objects > 0
            && self.objects.waiting().is_empty()
            && self.seen.elapsed() >= quiet
        {
            self.status.is_loading = false;
        }
    }

    /// Begins to read what comes next, unless something is being read.
    pub(in crate::live) fn start_read(&mut self, options: &LiveOptions) {
        if self.run.is_none() {
            return;
        }
        // What was read since it was listed may be what they were before.
        self.noted.extend(self.objects.take_rewritten());
        let objects = self.objects.next(self.take, options.step_bytes);
        if !objects.is_empty()
            && let Some(run) = self.run.take()
        {
            let limit = now().saturating_add(AHEAD);
            self.reading = Some(BackgroundTask::start(read(run, objects, limit)));
        }
    }

    /// Returns whether objects are being read.
    pub(in crate::live) fn is_reading(&self) -> bool {
        self.reading.as_ref().is_some_and(|task| !task.has_ended())
    }

    /// Returns whether a look or a read has ended whose results were not taken.
    pub(in crate::live) fn has_news(&self) -> bool {
        let look = self.listing.as_ref().is_some_and(BackgroundTask::has_ended);
        look || self.reading.as_ref().is_some_and(BackgroundTask::has_ended)
    }

    /// Returns what was read, if a read has ended: what came of it, and the objects. A read that failed is in the status.
    pub(in crate::live) async fn end_read(
        &mut self,
        options: &LiveOptions,
    ) -> Option<(ScanOutput, Vec<KnownObject>)> {
        if self.is_reading() {
            return None;
        }
        let ReadResult {
            run,
            tried,
            asked,
            result,
        } = self.reading.take()?.end().await?;
        self.run = Some(run);
        if tried.len() < asked {
            self.take = tried.len().max(1);
        }
        let scanned = match result {
            Ok(Some(scanned)) => scanned,
            Ok(None) => {
                for of in tried {
                    let reason = "it has columns that the table is not opened with yet";
                    self.objects.was_in_trouble(&of.name, reason, true);
                }
                return None;
            }
            Err(error) => {
                self.fail(tried, &error);
                return None;
            }
        };
        self.read_problem = None;
        let bad: BTreeMap<&str, &str> = scanned
            .bad_files
            .iter()
            .map(|(name, reason)| (name.as_str(), reason.as_str()))
            .collect();
        let mut known = Vec::new();
        for of in tried {
            match bad.get(of.name.as_str()) {
                None => known.push(self.was_read(of, options)),
                Some(reason) if self.config.on_bad_file == OnProblem::Skip => {
                    self.objects.take(&of.name);
                    self.leave_out(&of.name, of.version, reason);
                }
                Some(reason) => {
                    if self.objects.was_in_trouble(&of.name, reason, false) {
                        tracing::warn!(object = of.name, reason, "cannot be read");
                    }
                }
            }
        }
        if !known.is_empty() {
            self.objects.was_read();
            self.take = (self.take * 2).min(options.step_objects.max(1));
        }
        self.status.objects += known.len() as u64;
        if let Some(run) = &mut self.run {
            self.notes.extend(run.take_messages());
        }
        if let Some(keyed) = &mut self.keyed {
            keyed.note_dropped(&scanned.dropped);
        }
        for (rule, count) in &scanned.over {
            let rule = self.run.as_ref().map_or("", |run| run.rule_id(*rule));
            self.notes.push(format!(
                "rule `{rule}` found more in {} than one rule may hold: {count} further findings are counted and not reported; make its `where` narrower",
                known.first().map_or("an object", |of| &of.name),
            ));
        }
        self.notes.note_converted(&self.table, &scanned.converted);
        Some((scanned, known))
    }

    /// Records an object that was read.
    fn was_read(&mut self, of: WaitingObject, options: &LiveOptions) -> KnownObject {
        self.objects.take(&of.name);
        self.objects.note(&of.name, Some(of.version.clone()), false);
        let times = of.times.unwrap_or_default();
        if let Some((earliest, latest)) = times.bounds {
            let limit = now().saturating_add(options.future);
            let mut passed = latest;
            if latest > limit {
                self.status.future += 1;
                // The object's events in between are not known, but its earliest is one.
                passed = earliest;
            }
            if passed <= limit {
                self.status.latest = self.status.latest.max(Some(passed));
            }
        }
        self.notes.note_odd_times(&self.table, times.odd);
        KnownObject {
            name: of.name,
            version: Some(of.version),
            is_bad: false,
        }
    }

    /// Records that objects cannot be read now, for a reason that is not known to be theirs.
    fn fail(&mut self, tried: Vec<WaitingObject>, error: &EngineError) {
        let reason = problem(error);
        match (&tried[..], error) {
            ([one], EngineError::Scan { .. }) => {
                self.objects.was_in_trouble(&one.name, &reason, true);
            }
            _ => self.read_problem = Some(reason),
        }
    }
}
