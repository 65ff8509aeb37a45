//! Lines to objects: gathered, compressed, and written whole.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzEncoder;
use object_store::ObjectStoreExt;
use object_store::PutPayload;
use object_store::path::Path;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use yagura_core::Timestamp;
use yagura_core::causes::causes;

use crate::counts::{Count, Counters};
use crate::options::{Compression, ListenOptions};
use crate::queue::Chunk;
use crate::record::now;

/// Pauses between attempts to write an object.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Writes objects.
pub(crate) struct Objects {
    options: Arc<ListenOptions>,
    counters: Arc<Counters>,
    chunks: mpsc::UnboundedReceiver<Chunk>,
    /// Keeps the names of this run apart from those of others.
    run: u32,
    number: u64,
}

/// An object that is being gathered.
struct Gathered {
    bytes: Compressed,
    /// Its bytes before compression.
    size: usize,
    messages: u64,
    started: Timestamp,
    due: Instant,
}

impl Objects {
    pub(crate) fn new(
        options: Arc<ListenOptions>,
        counters: Arc<Counters>,
        chunks: mpsc::UnboundedReceiver<Chunk>,
        run: u32,
    ) -> Self {
        Self {
            options,
            counters,
            chunks,
            run,
            number: 0,
        }
    }

    /// Writes what comes in until nothing can come any more.
    pub(crate) async fn run(mut self) {
        let mut open: Option<Gathered> = None;
        loop {
            let due = open.as_ref().map(|object| object.due);
            let chunk = tokio::select! {
                biased;
                chunk = self.chunks.recv() => chunk,
                () = until(due) => {
                    self.write(open.take()).await;
                    continue;
                }
            };
            let Some(chunk) = chunk else {
                break;
            };
            let object = open.get_or_insert_with(|| self.object());
            object.add(&chunk);
            drop(chunk);
            let is_full = object.size >= self.options.limits.object_bytes;
            if is_full || object.due <= Instant::now() {
                self.write(open.take()).await;
            }
        }
        self.write(open).await;
    }

    fn object(&self) -> Gathered {
        Gathered {
            bytes: Compressed::new(self.options.compression),
            size: 0,
            messages: 0,
            started: now(),
            due: Instant::now() + self.options.limits.age,
        }
    }

    /// Writes an object, however often that must be tried. An attempt whose answer was lost is repeated under the same name.
    async fn write(&mut self, object: Option<Gathered>) {
        let Some(object) = object else {
            return;
        };
        self.number += 1;
        let path = self.path(object.started);
        let bytes = match object.bytes.finish() {
            Ok(bytes) => PutPayload::from(bytes),
            Err(error) => {
                // Memory takes all of it: this does not happen. If it does, the count of what waits shows it.
                self.counters
                    .set_trouble(Some(format!("cannot compress {path}: {error}")));
                return;
            }
        };
        let size = bytes.content_length() as u64;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.options.store.put(&path, bytes.clone()).await {
                Ok(_) => break,
                Err(error) => {
                    let why = causes(&error).join(": ");
                    self.counters
                        .set_trouble(Some(format!("cannot write {path}: {why}")));
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.counters.set_trouble(None);
        self.counters.add(Count::Written, object.messages);
        self.counters.add(Count::Objects, 1);
        self.counters.add(Count::ObjectBytes, size);
    }

    /// Returns the name of an object: its day, and the time of its first message.
    fn path(&self, started: Timestamp) -> Path {
        let time = started.to_string();
        let (day, clock) = time.split_once('T').unwrap_or((&time, ""));
        let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
        let file = format!(
            "{}-{}T{}Z-{:08x}-{:06}.{}",
            self.options.name,
            digits(day),
            digits(clock),
            self.run,
            self.number,
            self.options.compression.suffix()
        );
        self.options.prefix.clone().join(day).join(file)
    }
}

impl Gathered {
    fn add(&mut self, chunk: &Chunk) {
        // Memory takes all of it.
        let _ = self.bytes.write_all(&chunk.lines);
        self.size += chunk.lines.len();
        self.messages += chunk.messages;
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Bytes in memory, compressed as they come.
enum Compressed {
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
    None(Vec<u8>),
}

impl Compressed {
    fn new(compression: Compression) -> Self {
        const LEVEL: i32 = 3;
        match compression {
            Compression::Zstd => match zstd::Encoder::new(Vec::new(), LEVEL) {
                Ok(encoder) => Self::Zstd(encoder),
                // The level is right and memory is there; a plain object under this name is read all the same.
                Err(_) => Self::None(Vec::new()),
            },
            Compression::Gzip => {
                Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default()))
            }
            Compression::None => Self::None(Vec::new()),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::None(all) => all.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::None(all) => Ok(all),
        }
    }
}
