//! How hits are printed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use yagura_core::Timestamp;
use yagura_search::{Histogram, HitsFile, KnownValue, Pivot, SearchHit};

use super::HitFormat;
use crate::output::{Shown, cut, number, printable, table, width};

/// Prints hits one by one.
pub(super) struct HitPrinter {
    form: Form,
    file: Option<UnfinishedFile>,
}

/// A file that has its name only when it is whole.
struct UnfinishedFile {
    path: PathBuf,
    partial: PathBuf,
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        // Where it is whole, it has its name already.
        let _ = std::fs::remove_file(&self.partial);
    }
}

enum Form {
    Text(Box<dyn Write>, Option<usize>),
    Json(Box<dyn Write>),
    Csv(Box<csv::Writer<Box<dyn Write>>>, Columns),
    Parquet(Box<HitsFile>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    Plain,
    Timesketch,
}

/// A hit as JSON.
#[derive(Serialize)]
struct HitView<'a> {
    time: Option<String>,
    table: &'a str,
    object: &'a str,
    row: u64,
    event: Box<RawValue>,
}

impl HitPrinter {
    pub(super) fn new(format: HitFormat, output: Option<&Path>) -> Result<Self> {
        let mut file = None;
        if let Some(path) = output {
            if path.exists() {
                bail!(
                    "{} is there already: choose another name, or remove it",
                    path.display()
                );
            }
            let mut partial = path.as_os_str().to_owned();
            partial.push(".partial");
            file = Some(UnfinishedFile {
                path: path.to_owned(),
                partial: partial.into(),
            });
        }
        let created = match &file {
            Some(UnfinishedFile { partial, .. }) => {
                let created = File::create(partial);
                Some(created.with_context(|| format!("cannot write {}", partial.display()))?)
            }
            None => None,
        };
        if format == HitFormat::Parquet {
            let Some(created) = created else {
                bail!("Parquet goes into a file: name one with --output");
            };
            let form = Form::Parquet(Box::new(HitsFile::new(created)?));
            return Ok(Self { form, file });
        }
        let to_file = created.is_some();
        let out: Box<dyn Write> = match created {
            Some(file) => Box::new(BufWriter::new(file)),
            // A terminal acts upon some characters; programs read JSON and CSV as they are.
            None if format == HitFormat::Json => Box::new(BufWriter::new(Shown(io::stdout()))),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let mut form = match format {
            HitFormat::Json => Form::Json(out),
            HitFormat::Csv => Form::Csv(Box::new(csv::Writer::from_writer(out)), Columns::Plain),
            HitFormat::Timesketch => {
                Form::Csv(Box::new(csv::Writer::from_writer(out)), Columns::Timesketch)
            }
            HitFormat::Text | HitFormat::Parquet => {
                Form::Text(out, width().filter(|_| !to_file).map(usize::from))
            }
        };
        if let Form::Csv(writer, columns) = &mut form {
            match columns {
                Columns::Plain => {
                    writer.write_record(["time", "table", "object", "row", "event"])?
                }
                Columns::Timesketch => writer.write_record([
                    "message",
                    "timestamp",
                    "datetime",
                    "timestamp_desc",
                    "data_type",
                    "object",
                    "row",
                    "event",
                ])?,
            }
        }
        Ok(Self { form, file })
    }

    pub(super) fn print(&mut self, hit: &SearchHit) -> Result<()> {
        let time = hit.time.map(|time| time.to_string());
        match &mut self.form {
            Form::Text(out, width) => {
                let time = time.as_deref().unwrap_or("(no time)");
                let line = format!(
                    "{time:<27} {:<18} {}",
                    printable(&hit.table),
                    summary(&hit.event)
                );
                match width {
                    Some(width) => writeln!(out, "{}", cut(&line, *width))?,
                    None => writeln!(out, "{line}")?,
                }
                // Whoever watches sees each as it comes.
                out.flush()?;
            }
            Form::Json(out) => {
                let view = HitView {
                    time,
                    table: &hit.table,
                    object: &hit.object,
                    row: hit.row,
                    event: match serde_json::from_str(&hit.event) {
                        Ok(event) => event,
                        Err(_) => serde_json::value::to_raw_value(&hit.event)?,
                    },
                };
                serde_json::to_writer(&mut *out, &view)?;
                out.write_all(b"\n")?;
            }
            Form::Csv(writer, Columns::Plain) => writer.write_record([
                time.as_deref().unwrap_or_default(),
                &hit.table,
                &hit.object,
                &hit.row.to_string(),
                &hit.event,
            ])?,
            Form::Csv(writer, Columns::Timesketch) => {
                // Timesketch takes no row without a time: those without one begin at 1970.
                let moment = hit.time.unwrap_or(Timestamp::clamped(0));
                writer.write_record([
                    summary(&hit.event).as_str(),
                    &moment.micros().to_string(),
                    &moment.to_string(),
                    if hit.time.is_some() {
                        "Event Time"
                    } else {
                        "No Time"
                    },
                    &*hit.table,
                    &hit.object,
                    &hit.row.to_string(),
                    &hit.event,
                ])?;
            }
            Form::Parquet(file) => file.push(hit)?,
        }
        Ok(())
    }

    /// Writes what is left, and gives the file its name.
    pub(super) fn finish(self) -> Result<()> {
        match self.form {
            Form::Text(mut out, _) | Form::Json(mut out) => out.flush()?,
            Form::Csv(mut writer, _) => writer.flush()?,
            Form::Parquet(file) => file.finish()?,
        }
        if let Some(UnfinishedFile { path, partial }) = &self.file {
            std::fs::rename(partial, path)
                .with_context(|| format!("cannot name {} {}", partial.display(), path.display()))?;
        }
        Ok(())
    }
}

/// Members that say in words what happened.
const MESSAGES: [&str; 5] = ["message", "msg", "Message", "line", "raw"];
/// Members that say who, what and where, in the order in which they are shown.
const SHOWN_FIRST: [&str; 16] = [
    "actor.user.name",
    "user.name",
    "user",
    "src_endpoint.ip",
    "dst_endpoint.ip",
    "device.hostname",
    "activity_name",
    "api.operation",
    "eventName",
    "sourceIPAddress",
    "query.hostname",
    "process.name",
    "http_request.url.url_string",
    "file.name",
    "status",
    "severity",
];
/// Characters of an event that are shown on a line.
const MAX_SHOWN: usize = 2_000;

/// Returns an event on one line: who, what and where first, then its text or all else that it has.
fn summary(event: &str) -> String {
    let Ok(members) = serde_json::from_str::<Map<String, Value>>(event) else {
        return printable(event);
    };
    let written = |(name, value): (&str, &Value)| match value {
        Value::String(text) if text.contains(' ') || text.is_empty() => format!("{name}={text:?}"),
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    };
    let first = SHOWN_FIRST
        .iter()
        .filter_map(|name| Some((*name, members.get(*name)?)));
    let mut parts: Vec<String> = first.map(written).collect();
    let message = MESSAGES
        .iter()
        .find_map(|name| members.get(*name)?.as_str());
    match message {
        Some(message) => parts.insert(0, message.to_owned()),
        None => {
            let others = members.iter().filter(|(name, _)| {
                !SHOWN_FIRST.contains(&name.as_str()) && !name.ends_with("time")
            });
            parts.extend(others.map(|(name, value)| written((name, value))));
        }
    }
    let line: String = parts.join(" ").chars().take(MAX_SHOWN).collect();
    printable(&line)
}

/// Prints counts over time.
pub(super) fn histogram(
    out: &mut impl Write,
    histogram: Histogram,
    format: HitFormat,
) -> Result<()> {
    const STRETCHES: usize = 60;
    const BAR: u64 = 50;
    let without_time = histogram.without_time;
    let (seconds, stretches) = histogram.stretches(STRETCHES);
    let hits = stretches.iter().map(|(_, count)| count).sum::<u64>() + without_time;
    let most = stretches
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or_default()
        .max(1);
    for (start, count) in &stretches {
        let start = Timestamp::clamped(start.saturating_mul(1_000_000)).to_string();
        match format {
            HitFormat::Text => {
                let eighths = (count * BAR * 8).div_ceil(most);
                let bar = "█".repeat(usize::try_from(eighths / 8).unwrap_or_default());
                let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][(eighths % 8) as usize];
                writeln!(
                    out,
                    "{:<20} {:>12}  {bar}{part}",
                    start.get(..19).unwrap_or(&start),
                    number(*count)
                )?;
            }
            HitFormat::Json => {
                writeln!(
                    out,
                    "{}",
                    serde_json::json!({ "from": start, "seconds": seconds, "count": count })
                )?;
            }
            HitFormat::Csv => writeln!(out, "{start},{seconds},{count}")?,
            HitFormat::Parquet | HitFormat::Timesketch => {
                bail!("--histogram prints text, json or csv: choose one with --format");
            }
        }
    }
    if format == HitFormat::Text {
        let events = if hits == 1 { "event" } else { "events" };
        writeln!(
            out,
            "{} {events}, a line for each {}",
            number(hits),
            span(seconds)
        )?;
        if without_time > 0 {
            writeln!(out, "{} of them without a time", number(without_time))?;
        }
    }
    Ok(())
}

fn span(seconds: i64) -> String {
    let micros = seconds.saturating_mul(1_000_000);
    yagura_core::TimeSpan::clamped(micros).to_string()
}

/// Prints what indexes know of values.
pub(super) fn prevalence(
    out: &mut impl Write,
    known: &[KnownValue],
    format: HitFormat,
) -> Result<()> {
    let times = |one: &KnownValue| match one.times {
        Some((first, last)) => [first.to_string(), last.to_string()],
        None => [String::new(), String::new()],
    };
    match format {
        HitFormat::Text if known.is_empty() => writeln!(out, "no table knows it")?,
        HitFormat::Text => {
            let head = [
                "TABLE", "KIND", "VALUE", "EVENTS", "OBJECTS", "FIRST", "LAST",
            ];
            let mut rows = table(head);
            for one in known {
                let [first, last] = times(one);
                rows.add_row([
                    crate::output::cell(&one.table),
                    one.kind.to_owned(),
                    crate::output::cell(&one.value),
                    number(one.events),
                    number(one.objects as u64),
                    first,
                    last,
                ]);
            }
            rows.align_right(3);
            rows.align_right(4);
            writeln!(out, "{rows}")?;
        }
        HitFormat::Json => {
            for one in known {
                let (first, last) = one.times.unzip();
                let view = serde_json::json!({
                    "table": one.table, "kind": one.kind, "value": one.value, "events": one.events,
                    "objects": one.objects, "first": first, "last": last,
                });
                writeln!(out, "{view}")?;
            }
        }
        HitFormat::Csv => {
            let mut writer = csv::Writer::from_writer(&mut *out);
            writer.write_record([
                "table", "kind", "value", "events", "objects", "first", "last",
            ])?;
            for one in known {
                let [first, last] = times(one);
                let (events, objects) = (one.events.to_string(), one.objects.to_string());
                writer.write_record([
                    one.table.as_str(),
                    one.kind,
                    one.value.as_str(),
                    events.as_str(),
                    objects.as_str(),
                    first.as_str(),
                    last.as_str(),
                ])?;
            }
            writer.flush()?;
        }
        HitFormat::Parquet | HitFormat::Timesketch => {
            bail!("--prevalence prints text, json or csv: choose one with --format");
        }
    }
    Ok(())
}

/// Prints the most frequent observables of each kind.
pub(super) fn pivot(out: &mut impl Write, pivot: &Pivot, format: HitFormat) -> Result<()> {
    const SHOWN: usize = 10;
    let all = pivot.most_frequent(if format == HitFormat::Text {
        SHOWN
    } else {
        usize::MAX
    });
    match format {
        HitFormat::Text => {
            let mut rows = table(["KIND", "EVENTS", "VALUE"]);
            for (kind, different, values) in &all {
                for one in values {
                    rows.add_row([
                        kind.name().to_owned(),
                        number(one.count),
                        crate::output::cell(&one.value),
                    ]);
                }
                if *different > values.len() {
                    let more = number((different - values.len()) as u64);
                    rows.add_row([
                        kind.name().to_owned(),
                        String::new(),
                        format!("({more} more)"),
                    ]);
                }
            }
            rows.align_right(1);
            match all.is_empty() {
                true => writeln!(out, "no observables")?,
                false => writeln!(out, "{rows}")?,
            }
        }
        HitFormat::Json => {
            for one in all.iter().flat_map(|(_, _, values)| values) {
                let view = serde_json::json!({ "kind": one.kind.name(), "value": one.value, "count": one.count });
                writeln!(out, "{view}")?;
            }
        }
        HitFormat::Csv => {
            let mut writer = csv::Writer::from_writer(&mut *out);
            writer.write_record(["kind", "value", "count"])?;
            for one in all.iter().flat_map(|(_, _, values)| values) {
                writer.write_record([one.kind.name(), &one.value, &one.count.to_string()])?;
            }
            writer.flush()?;
        }
        HitFormat::Parquet | HitFormat::Timesketch => {
            bail!("--pivot prints text, json or csv: choose one with --format");
        }
    }
    if pivot.not_counted > 0 {
        writeln!(
            io::stderr(),
            "note: there were more than a million different observables; {} occurrences of further ones are not counted: search a shorter time",
            number(pivot.not_counted)
        )?;
    }
    Ok(())
}
