//! The integration tests, one binary so that everything is linked once.
//!
//! * `aws_pack` – the first-party CloudTrail pack on its recorded events.
//! * `answering` – from alert to answer: every service told, updated, and not twice, whatever goes wrong.
//! * `arrivals` – objects that a queue announces: each record once, whatever happens to messages and the service.
//! * `authors` – new packs in every language: what an author types and reads.
//! * `backups` – backups of a service that runs, what comes back, and starts beside what does not fit or answer.
//! * `bad_input` – objects and rows that are not as they should be.
//! * `chaos` – a service under faults of every kind at random: every honest alert is there, once, and soon.
//! * `commands` – the real binary: what a user types and what it prints.
//! * `compiled_code` – the cache of compiled plugins: kept, taken, and refused when changed or swapped.
//! * `crash` – SIGKILL at hundreds of points over an S3 server loses no alert and doubles none.
//! * `crowd` – a hundred plugins, ten of them hostile, over a table that grows.
//! * `documents` – every link, path and test that the documents name exists.
//! * `diagnostics` – what is wrong with files: their lines underlined, JSON and SARIF.
//! * `faults` – plugins that fail in the middle of a run.
//! * `full_disk` – a service whose disk is full says so, keeps what it has, and goes on when there is room.
//! * `hostile_guests` – plugins that loop, hoard, flood, crash and lie.
//! * `hostile_languages` – the same in Go and Python.
//! * `ingest_identity` – `yagura ingest` at once, killed and repeated: each event once, no column lost.
//! * `keyed_detectors` – detectors that remember, over tables: the same whatever the objects, partitions, batches and steps.
//! * `keyed_state` – detectors that remember something of each partition key, and what is left of it when they fail.
//! * `live_identity` – tables that grow in random steps settle the alerts of one run over all of them.
//! * `live_stores` – stores that are slow or fail while a service reads from them.
//! * `live_tables` – late days, mended and replaced objects, new columns, wrong clocks, huge values.
//! * `makers` – raw logs of several makers, through their sources and rules for classes, to one alert.
//! * `malformed` – raw logs in every form, cut, split, wrongly encoded, odd and huge: nothing is lost, memory is bounded.
//! * `normalizers` – plugins that parse raw logs: each line a row or kept with the reason, whatever a plugin does.
//! * `object_store` – runs over a real S3 server, and what they ask of it.
//! * `pack_tests` – `yagura test`: what passes, what fails, and what is said of it.
//! * `prefilter_sigma` – Sigma in the prefilter against rsigma, and a golden case for each construct.
//! * `prefilter_sql` – the prefilter against DataFusion evaluating each rule alone.
//! * `quarantine` – rules that fail or are slow in a service: their quarantine is shown, lasts over a crash, and ends.
//! * `real_forms` – SigmaHQ's rules over real Windows events in every form in which tools write them, against rsigma.
//! * `real_logs` – real logs, which are not part of the project: none lost, none invented.
//! * `real_sigma` – SigmaHQ's rules over real Windows events, which are not part of the project, against rsigma.
//! * `real_sources` – first-party sources over real logs: each record is a row or rejected.
//! * `same_answer` – the same bytes whatever the partitions and batches.
//! * `searches` – events by observable and time.
//! * `serve` – the live mode through the real binary: late and far events, restarts, changed rules, status.
//! * `shapes` – the same events in every shape in which tools write them give the same alerts.
//! * `sigma_commands` – Sigma through the real binary: run, check, explain, coverage.
//! * `sigma_rules` – files of Sigma rules as people keep them, and correlations as the specification writes them.
//! * `source_times` – what a source declares of its times and repetitions: zones, years, time of ingest, messages as one row.
//! * `sources` – raw logs of several makers under one set of names, collected once, masked, read by one rule.
//! * `sql_types` – SQL over columns of other types than were thought of; `check`, `table` and `explain` on what a lake holds.
//! * `stories` – correlations as rule authors use them: the packs of `examples/stories`, and wrong ones.
//! * `syslog` – syslog from sockets to alerts, over kills, with what is wrong named.
//! * `terminal` – tables that fit their terminal, wide letters, colours only where they are wanted.
//! * `three_languages` – the same detectors in Rust, Go and Python say the same.
//! * `types` – every Arrow type under every kind of rule, objects that differ, text that is not UTF-8, hashes.
//! * `words` – documents and messages use the words of the field, in sentences of at most thirty words.
//! * `wrong_files` – files that are no detectors: core modules, other worlds, forbidden imports, cut files.

#[cfg(test)]
mod answering;
#[cfg(test)]
mod arrivals;
#[cfg(test)]
mod authors;
#[cfg(test)]
mod aws_pack;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod compiled_code;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod diagnostics;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod hostile_guests;
#[cfg(test)]
mod hostile_languages;
#[cfg(test)]
mod ingest_identity;
#[cfg(test)]
mod keyed_detectors;
#[cfg(test)]
mod keyed_state;
#[cfg(test)]
mod live_identity;
#[cfg(test)]
mod live_stores;
#[cfg(test)]
mod live_tables;
#[cfg(test)]
mod makers;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod normalizers;
#[cfg(test)]
mod object_store;
#[cfg(test)]
mod pack_tests;
#[cfg(test)]
mod packs;
#[cfg(test)]
mod prefilter_sigma;
#[cfg(test)]
mod prefilter_sql;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod real_forms;
#[cfg(test)]
mod real_logs;
#[cfg(test)]
mod real_sigma;
#[cfg(test)]
mod real_sources;
#[cfg(test)]
mod same_answer;
#[cfg(test)]
mod search;
mod search_index;
#[cfg(test)]
mod searches;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod shapes;
#[cfg(test)]
mod sigma_commands;
#[cfg(test)]
mod sigma_rules;
#[cfg(test)]
mod source_times;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod sql_types;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod syslog;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod three_languages;
#[cfg(test)]
mod types;
#[cfg(test)]
mod words;
#[cfg(test)]
mod wrong_files;
