//! Records of several lines: which lines belong together.
//!
//! ```text
//! line ──Gather::line──▶ Alone: a record by itself │ Waits: more lines are needed │ Records: whole ones, in the order of their first lines
//! ```
//!
//! Lines wait in memory only, up to [`MOST_LINES`] and [`MOST_BYTES`]. Where records are given out, none before them waits: so a
//! file can be read on from there.

/// How many lines wait for others.
pub const MOST_LINES: usize = 2_000;
/// How much text waits for other lines, in bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// Lines that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The lines, with line ends between them.
    pub text: String,
    /// The number of its first line.
    pub line: u64,
}

impl Record {
    /// Returns its lines as records of their own, without blank ones.
    pub fn lines(&self) -> Vec<Self> {
        let lines = (self.line..).zip(self.text.split('\n'));
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(line, text)| Self {
                text: text.to_owned(),
                line,
            })
            .collect()
    }
}

/// What a line completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The line is a record by itself, and no other waits.
    Alone,
    /// The line and those since the last record wait for more.
    Waits,
    /// Records that are whole.
    Records {
        /// In the order of their first lines.
        records: Vec<Record>,
        /// The number of the first line that is in none of them and waits.
        waits: Option<u64>,
    },
}

/// What is left at the end of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    /// Records that may be whole, in the order of their first lines. What is written of them later is a record of its own.
    pub records: Vec<Record>,
    /// A record behind them that is not whole; the number of its first line.
    pub open: Option<u64>,
}

/// Puts the lines of one file together to records.
pub trait Gather: Send {
    /// Takes a line, without its line end, and its number. Numbers that are left out are blank lines.
    fn line(&mut self, line: &str, number: u64) -> Taken;

    /// Ends the file, or the part of it that was read before. No line waits afterwards.
    fn end(&mut self) -> Rest;

    /// Says whether each line of a record that is not an event may be one by itself.
    fn may_split(&self) -> bool {
        false
    }
}
