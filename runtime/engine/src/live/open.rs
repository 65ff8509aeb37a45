//! Opening a service: tables, rules, and what they remember.

use std::collections::BTreeMap;

use yagura_correlate::store::{StateStore, StepChanges};
use yagura_lake::table::TableError;

use super::committed::CommittedLine;
use super::error::LiveError;
use super::listing::OpenTable;
use super::options::LiveOptions;
use super::planned::{PlannedRules, plan_rules};
use super::report::OpenReport;
use super::table::LiveTable;
use super::task::wait_for_most;
use super::trouble::Troubles;
use super::unopened::UnopenedTable;
use super::{Live, POLL_BACKGROUND};
use crate::evidence::Hasher;
use crate::run::RunInput;

impl Live {
    /// Opens tables and rules and gives them back what they remember. `delivered` is the number of the last line that the
    /// outbox's reader has.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn open(
        input: RunInput,
        options: LiveOptions,
        store: StateStore,
        delivered: i64,
    ) -> Result<(Self, OpenReport), LiveError> {
        Self::open_with(input, options, store, delivered, None).await
    }

    /// Opens all, or again with tables that were opened already; others come later then.
    async fn open_with(
        input: RunInput,
        options: LiveOptions,
        mut store: StateStore,
        delivered: i64,
        again: Option<BTreeMap<String, OpenTable>>,
    ) -> Result<(Self, OpenReport), LiveError> {
        let is_first = again.is_none();
        let mut opened = again.unwrap_or_default();
        let mut open = Vec::new();
        let mut unopened: Vec<UnopenedTable> = Vec::new();
        for config in &input.tables {
            let is_named = input
                .rules
                .iter()
                .any(|source| source.rule.may_read(&config.name));
            if !is_named && input.sigma.load.rules.is_empty() {
                continue;
            }
            match opened.remove(&config.name) {
                Some(table) => open.push((config.clone(), table)),
                None => unopened.push(UnopenedTable::new(config, &store, options.run.range)?),
            }
        }
        if is_first {
            wait_for_most(|| unopened.iter().filter(|of| of.is_opening()).count()).await;
        }
        let mut still_absent = Vec::new();
        for mut of in unopened {
            // What is remembered of the rules of a table that was read before would be lost without it.
            let is_missed = is_first && of.status.objects > 0;
            while is_missed && of.is_opening() {
                tokio::time::sleep(POLL_BACKGROUND).await;
            }
            match of.end_open().await {
                Some(Ok(table)) => open.push((of.config, table)),
                Some(Err(error)) if is_missed => {
                    return Err(match error {
                        TableError::Empty {
                            table, location, ..
                        } => LiveError::Vanished { table, location },
                        error => error.into(),
                    });
                }
                _ => still_absent.push(of),
            }
        }
        let unopened = still_absent;
        // In the order in which they were given, whichever was opened first.
        open.sort_by_key(|(config, _)| {
            let mut tables = input.tables.iter();
            tables.position(|of| of.name == config.name)
        });
        // Rules that do not fit their tables are found before the state takes note of them.
        let PlannedRules {
            set,
            left_out,
            runs,
            mut correlations,
        } = plan_rules(&input, &open, &options)?;
        let (mut messages, withdrawn) = store.load(&mut correlations)?;
        messages.extend(unopened.iter().map(UnopenedTable::message));
        let mut live_tables = Vec::new();
        // Detectors may have half of the memory, and the tables the same parts of it.
        let keyed = runs.iter().filter(|(_, run)| !run.keyed().is_empty());
        let memory = store.memory() / 2 / keyed.count().max(1);
        for (config, run) in runs {
            let name = run.table.name.clone();
            let known = store.objects_of(&name)?;
            let status = store.table(&name)?;
            let kept = (&store, memory);
            let (made, told) = LiveTable::new(config, run, known, status, kept, &options)?;
            messages.extend(told);
            live_tables.push(made);
        }
        messages.extend(set.notes.iter().map(|note| format!("warning: {note}")));
        let opened = OpenReport {
            messages,
            not_run: set.not_run,
            rules: set.running,
        };
        let lines = CommittedLine::read_all(store.outbox(delivered, usize::MAX)?)?;
        let troubles = Troubles::new(options.report_trouble, store.own_alerts()?);
        let mut live = Self {
            input,
            options,
            troubles,
            tables: live_tables,
            unopened,
            opened: BTreeMap::new(),
            correlations,
            hasher: Hasher::default(),
            log: left_out,
            messages: Vec::new(),
            delivered,
            committed: 0,
            lines,
            store,
        };
        // Which rules do not run is shown by `status` at once.
        if !withdrawn.is_empty() || !live.log.is_empty() {
            live.commit(withdrawn, StepChanges::default()).await?;
        }
        Ok((live, opened))
    }

    /// Opens everything again, with the same state: a table has appeared or has other columns. No store of a table is asked.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn reopen(mut self) -> Result<(Self, OpenReport), LiveError> {
        self.store.flush()?;
        let (lines, delivered) = (std::mem::take(&mut self.lines), self.delivered);
        let troubles = std::mem::take(&mut self.troubles);
        let mut opened: BTreeMap<String, OpenTable> = self
            .tables
            .iter()
            .map(|table| (table.name().to_owned(), table.opened()))
            .collect();
        opened.append(&mut self.opened);
        drop(self.correlations);
        let (mut live, opened) = Self::open_with(
            self.input,
            self.options,
            self.store,
            delivered,
            Some(opened),
        )
        .await?;
        live.lines = lines.into_iter().chain(live.lines).collect();
        live.lines.sort_by_key(CommittedLine::seq);
        live.lines.dedup_by_key(|line| line.seq());
        live.troubles = troubles;
        Ok((live, opened))
    }
}
