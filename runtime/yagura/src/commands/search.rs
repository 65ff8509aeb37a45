//! `yagura search`: events of all tables in one timeline.

mod print;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use yagura_core::names::did_you_mean;
use yagura_core::{TimeRange, TimeSpan, Timestamp};
use yagura_lake::table::OnProblem;
use yagura_search::{
    HitOrder, Query, Search, SearchOptions, SearchProgress, SearchTable, known_values,
};
use yagura_service::config::{Config, LakeSettings};

use super::block_on;
use crate::exit::{FAILED, INPUT};
use crate::output::{number, printable};
use crate::progress;
use print::HitPrinter;

/// Search the events of all tables
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// What to look for, such as `192.0.2.1` or `user:alice AND NOT ip:10.0.0.0/8`
    #[arg(required = true)]
    query: Vec<String>,
    #[command(flatten)]
    tables: Tables,
    /// Search events of this OCSF class alone, such as `authentication`
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Only events from this time on (RFC 3339 or a date, UTC)
    #[arg(long, value_name = "TIME", conflicts_with = "around")]
    from: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", conflicts_with = "around")]
    to: Option<Timestamp>,
    /// Only events near this one: a time, or OBJECT#ROW as `--format json` prints them
    #[arg(long, value_name = "EVENT")]
    around: Option<String>,
    /// How near: so long before and after it
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = within, requires = "around")]
    within: TimeSpan,
    /// Print the earliest events first, not the latest
    #[arg(long)]
    oldest_first: bool,
    /// Events to print; 0 for all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// Count the observables of all hits: what to search for next
    #[arg(long, conflicts_with_all = ["histogram", "limit", "output"])]
    pivot: bool,
    /// Count hits over time
    #[arg(long, conflicts_with_all = ["limit", "output"])]
    histogram: bool,
    /// Print what the indexes know of the query's values: events, objects, first and last time. No event is read
    #[arg(long, conflicts_with_all = ["histogram", "pivot", "limit", "output", "from", "to", "around", "class"])]
    prevalence: bool,
    /// Read all objects, as if tables had no index
    #[arg(long)]
    no_index: bool,
    /// How to print the events
    #[arg(long, value_enum, default_value = "text")]
    format: HitFormat,
    /// Print the source text of events too
    #[arg(long)]
    raw: bool,
    /// File to write to, which must not be there yet [default: stdout; Parquet needs a file]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
A query has terms with AND, OR, NOT and parentheses; AND may be left out.
  192.0.2.1            the word anywhere in an event; also a network such as 10.0.0.0/8
  \"two words\"          a text anywhere in an event, as it is written
  user:alice           an observable: ip, domain, host, user, email, hash, url, process, file, mac, port
  domain:*.example.org the same, with any text in place of *
  eventName:GetObject  a field of the tables
Upper and lower case are the same. Events go to stdout; everything else goes to stderr.
Exit code 0 whether or not there are events; 3 if tables or
objects could not be read, which are then named; 1 if it was stopped by Ctrl-C.";

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HitFormat {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
    /// Comma-separated values: time, table, object, row and the event as JSON.
    Csv,
    /// The same as a Parquet file.
    Parquet,
    /// CSV that Timesketch imports.
    Timesketch,
}

fn within(text: &str) -> Result<TimeSpan, String> {
    let text = text.trim_start_matches('±');
    text.parse()
        .map_err(|error: yagura_core::duration::NotADuration| error.to_string())
}

/// From so many seconds on a search says that there is no index.
const SLOW: f64 = 3.0;

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    block_on(search(arguments))
}

async fn search(arguments: Arguments) -> Result<u8> {
    if arguments.format == HitFormat::Parquet && arguments.output.is_none() {
        bail!("Parquet goes into a file: name one with --output");
    }
    let query = Query::parse(&arguments.query.join(" "))?;
    let tables = arguments.tables.open().await?;
    if arguments.prevalence {
        return prevalence(tables, &query, arguments.format).await;
    }
    let start = Instant::now();
    let range = match &arguments.around {
        Some(event) => around(event, arguments.within, &tables).await?,
        None => TimeRange::new(arguments.from, arguments.to)?,
    };
    let options = SearchOptions {
        range,
        order: match arguments.oldest_first {
            true => HitOrder::OldestFirst,
            false => HitOrder::NewestFirst,
        },
        // One more shows that there are more.
        limit: (arguments.limit > 0).then(|| arguments.limit.saturating_add(1)),
        with_raw: arguments.raw,
        use_index: !arguments.no_index,
        ..SearchOptions::default()
    };
    let search = Search::open(tables, &query, arguments.class.as_deref(), &options).await?;
    for note in search.notes() {
        writeln!(io::stderr(), "note: {}", printable(note))?;
    }
    let stopped = tokio::signal::ctrl_c();
    let found = tokio::select! {
        found = answer(&search, &arguments) => found?,
        _ = stopped => Answer::Stopped,
    };
    report(&search, &found, start, arguments.limit)
}

/// Prints what the indexes of tables know of the values of a query.
async fn prevalence(tables: Vec<SearchTable>, query: &Query, format: HitFormat) -> Result<u8> {
    let known = known_values(tables, query).await?;
    let mut out = BufWriter::new(io::stdout().lock());
    print::prevalence(&mut out, &known.rows, format)?;
    out.flush()?;
    let mut err = io::stderr();
    for (table, missing, all) in &known.not_covered {
        writeln!(
            err,
            "note: {} of {} objects of table `{}` are not in its index, so there may be more: `yagura table index` adds them",
            number(*missing as u64),
            number(*all as u64),
            printable(table)
        )?;
    }
    for (what, reason) in &known.unreadable {
        writeln!(
            err,
            "error: {} cannot be read: {}",
            printable(what),
            printable(reason)
        )?;
    }
    Ok(if known.unreadable.is_empty() {
        0
    } else {
        INPUT
    })
}

/// What a search has printed.
enum Answer {
    Hits { printed: u64, is_cut: bool },
    Counts,
    Stopped,
}

async fn answer(search: &Search, arguments: &Arguments) -> Result<Answer> {
    let spinner = progress::spinner();
    let shown = Arc::clone(&search.progress());
    let watched = async {
        loop {
            spinner.set_message(so_far(&shown));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let work = async {
        if arguments.histogram {
            let histogram = search.histogram().await?;
            spinner.finish_and_clear();
            let mut out = BufWriter::new(io::stdout().lock());
            print::histogram(&mut out, histogram, arguments.format)?;
            out.flush()?;
            return Ok(Answer::Counts);
        }
        if arguments.pivot {
            let pivot = search.pivot().await?;
            spinner.finish_and_clear();
            let mut out = BufWriter::new(io::stdout().lock());
            print::pivot(&mut out, &pivot, arguments.format)?;
            out.flush()?;
            return Ok(Answer::Counts);
        }
        hits(search, arguments, &spinner).await
    };
    tokio::select! {
        answer = work => answer,
        () = watched => Ok(Answer::Stopped),
    }
}

async fn hits(
    search: &Search,
    arguments: &Arguments,
    spinner: &indicatif::ProgressBar,
) -> Result<Answer> {
    let mut printer = HitPrinter::new(arguments.format, arguments.output.as_deref())?;
    let mut hits = search.hits();
    let (mut printed, mut is_cut) = (0_u64, false);
    while let Some(hit) = hits.next().await? {
        if arguments.limit > 0 && printed == arguments.limit as u64 {
            is_cut = true;
            break;
        }
        match spinner.is_hidden() {
            true => printer.print(&hit)?,
            false => spinner.suspend(|| printer.print(&hit))?,
        }
        printed += 1;
    }
    spinner.finish_and_clear();
    printer.finish()?;
    Ok(Answer::Hits { printed, is_cut })
}

/// Prints what the search did, and returns the exit code.
fn report(search: &Search, answer: &Answer, start: Instant, limit: usize) -> Result<u8> {
    let mut err = io::stderr();
    let progress = search.progress();
    let took = start.elapsed().as_secs_f64();
    let tables = count(search.tables() as u64, "table", "tables");
    let read = so_far(&progress);
    match answer {
        Answer::Hits { printed, is_cut } => {
            let events = count(*printed, "event", "events");
            writeln!(err, "{events} of {tables}; {read}; {took:.1} s")?;
            if *is_cut {
                writeln!(
                    err,
                    "There are more: these are the first {}. `--limit {}` prints more, `--limit 0` all.",
                    number(limit as u64),
                    limit.saturating_mul(10)
                )?;
            }
        }
        Answer::Counts => writeln!(err, "{tables}; {read}; {took:.1} s")?,
        Answer::Stopped => writeln!(
            err,
            "stopped: what was printed is not all; {tables}; {read}; {took:.1} s"
        )?,
    }
    if took > SLOW && !search.without_index().is_empty() {
        let tables = search.without_index();
        writeln!(
            err,
            "note: an index makes such a search quick, and {} has none: `yagura table index` makes it",
            printable(&tables.join(", "))
        )?;
    }
    let without_time = search.without_time();
    if without_time > 0 {
        let events = count(without_time, "event that fits has", "events that fit have");
        writeln!(
            err,
            "note: {events} no time, and so lies in no range of time: search without --from, --to and --around"
        )?;
    }
    let unreadable = progress.unreadable();
    for (object, reason) in &unreadable {
        writeln!(
            err,
            "error: {} cannot be read, so its events are missing: {}",
            printable(object),
            printable(reason)
        )?;
    }
    Ok(match answer {
        _ if !unreadable.is_empty() => INPUT,
        Answer::Stopped => FAILED,
        _ => 0,
    })
}

fn so_far(progress: &SearchProgress) -> String {
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let left_out = match of(&progress.left_out) {
        0 => String::new(),
        objects => format!(
            " (the index leaves out {})",
            count(objects, "object", "objects")
        ),
    };
    format!(
        "{} of {} objects{left_out}, {} of {} read in {}",
        number(of(&progress.objects_read)),
        number(of(&progress.objects)),
        mib(of(&progress.bytes_read)),
        mib(of(&progress.bytes)),
        count(of(&progress.requests), "request", "requests")
    )
}

fn count(number_of: u64, one: &str, several: &str) -> String {
    format!(
        "{} {}",
        number(number_of),
        if number_of == 1 { one } else { several }
    )
}

/// Which tables a command works on.
#[derive(Debug, clap::Args)]
pub(crate) struct Tables {
    /// Lake whose folders are the tables: a path or an object-store URL
    #[arg(long, value_name = "LAKE", conflicts_with = "config")]
    lake: Option<String>,
    /// Configuration file that names the tables [default: yagura.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take this table alone; may be given more than once
    #[arg(long, value_name = "NAME")]
    table: Vec<String>,
}

impl Tables {
    /// Returns the tables. What cannot be read of them is named, and hides nothing else.
    pub(crate) async fn open(&self) -> Result<Vec<SearchTable>> {
        const USUAL: &str = "yagura.toml";
        let mut config = match (&self.config, &self.lake) {
            (Some(file), _) => Config::read(file)?,
            (None, Some(_)) => Config::default(),
            (None, None) if PathBuf::from(USUAL).exists() => Config::read(USUAL.as_ref())?,
            (None, None) => bail!(
                "it is not known where the tables are: name a lake with --lake, or a configuration with --config"
            ),
        };
        if let Some(url) = &self.lake {
            config.lake = Some(LakeSettings {
                url: url.clone(),
                options: BTreeMap::new(),
            });
        }
        let mut tables = config.tables().await?;
        for name in &self.table {
            if !tables.iter().any(|table| table.name == *name) {
                let names = tables.iter().map(|table| table.name.as_str());
                bail!("there is no table `{name}`{}", did_you_mean(name, names));
            }
        }
        if !self.table.is_empty() {
            tables.retain(|table| self.table.contains(&table.name));
        }
        let tables = tables.into_iter().map(|mut table| {
            table.on_bad_file = OnProblem::Skip;
            let settings = config.table.get(&table.name);
            SearchTable {
                observables: settings.map_or_else(BTreeMap::new, |table| table.observables.clone()),
                config: table,
            }
        });
        Ok(tables.collect())
    }
}

/// Returns the range around an event, which is a time or an object and a row.
async fn around(event: &str, within: TimeSpan, tables: &[SearchTable]) -> Result<TimeRange> {
    let (event, within) = match event.split_once('±') {
        Some((event, span)) => (
            event.trim(),
            self::within(span.trim()).map_err(anyhow::Error::msg)?,
        ),
        None => (event, within),
    };
    let time = match event.rsplit_once('#') {
        None => event.parse::<Timestamp>().with_context(|| {
            format!("`{event}` is neither a time such as 2026-03-01T10:00:00Z nor an event as OBJECT#ROW")
        })?,
        Some((object, row)) => {
            let row = row.parse().with_context(|| format!("`{row}` is not the number of a row"))?;
            let everything = Query::All(Vec::new());
            let options = SearchOptions::default();
            let search = Search::open(tables.to_vec(), &everything, None, &options).await?;
            let found = search.time_of(object, row).await?;
            found.with_context(|| format!("no table has an event {event} with a time"))?
        }
    };
    let micros = within.micros();
    Ok(TimeRange::new(
        Some(time.saturating_add(-micros)),
        Some(time.saturating_add(micros.saturating_add(1))),
    )?)
}
