//! Files that were rewritten: the rows of the content before leave the table.
//!
//! ```text
//! a file, read to its end ─▶ contents that it holds ──┐
//! ledger: contents that came from a file of its name ─┴▶ those that it holds no longer ─▶ their rows leave the objects
//! ```
//!
//! Each row of such a file names its part, in the column [`PART_COLUMN`]. The ledger knows of each part the file that it came from and
//! the objects that hold it. New rows are committed first. Then the old ones leave: an object is written anew without them, under the
//! next number (`part-x.parquet`, `part-x.r1.parquet`), which hides the one before in listings, and that one is deleted. `pending`
//! names the work, so a process that dies in between leaves it to the next.
//!
//! A content that another file holds too stays: its rows may be those of that file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::reader::ChunkReader;
use sha2::{Digest, Sha256};
use yagura_core::alert::hex;

use super::encode::properties;
use super::known::{ContentId, bytes};
use crate::definition::PART_COLUMN;

/// The name of a file, hashed.
pub(crate) type Origin = [u8; 8];

/// Returns the hash of a file's name.
pub(crate) fn origin_of(name: &str) -> Origin {
    let mut origin = Origin::default();
    origin.copy_from_slice(&Sha256::digest(name)[..8]);
    origin
}

/// What a file holds.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) name: String,
    /// All of its contents that are in the table, up to each place where a part ends.
    pub(crate) contents: BTreeSet<ContentId>,
    /// Whether it was read to its end, all of it. What was not replaces nothing.
    pub(crate) is_whole: bool,
}

impl Claim {
    pub(crate) fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            contents: BTreeSet::new(),
            is_whole: false,
        }
    }
}

/// What was replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplacedFiles {
    /// Files whose earlier rows left.
    pub(crate) files: Vec<String>,
    /// Files whose earlier rows stay, because others hold the same content.
    pub(crate) kept: Vec<String>,
}

/// Where the contents of a table came from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    held: HashMap<Origin, BTreeMap<ContentId, BTreeSet<String>>>,
    of_content: HashMap<ContentId, (u32, Origin)>,
    /// Contents whose rows left, with the number of the last time.
    gone: HashMap<ContentId, u32>,
    /// Contents that several files hold.
    shared: HashSet<ContentId>,
}

/// A line of the ledger about origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OriginLine {
    /// A content came from a file, the time with this number, and lies in these objects.
    Of(Origin, u32, ContentId, Vec<String>),
    /// The rows of a content left, for the time with this number and those before.
    Gone(u32, ContentId),
    /// Another file has the same content.
    Also(ContentId),
}

impl OriginLine {
    /// Says whether a line is one about origins.
    pub(crate) fn is_one(line: &str) -> bool {
        let mut starts = ["of ", "gone ", "also "].into_iter();
        starts.any(|start| line.starts_with(start))
    }

    pub(crate) fn to_line(&self) -> String {
        match self {
            Self::Of(origin, time, id, objects) => {
                format!(
                    "of {} {time} {} {}",
                    hex(origin),
                    id.name(),
                    objects.join(",")
                )
            }
            Self::Gone(time, id) => format!("gone {time} {}", id.name()),
            Self::Also(id) => format!("also {}", id.name()),
        }
    }

    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let read = match words.next()? {
            "of" => Self::Of(
                bytes(words.next()?)?,
                words.next()?.parse().ok()?,
                ContentId::of_name(words.next()?)?,
                objects_of(words.next()?),
            ),
            "gone" => Self::Gone(
                words.next()?.parse().ok()?,
                ContentId::of_name(words.next()?)?,
            ),
            "also" => Self::Also(ContentId::of_name(words.next()?)?),
            _ => return None,
        };
        words.next().is_none().then_some(read)
    }
}

fn objects_of(words: &str) -> Vec<String> {
    let objects = words.split(',').filter(|path| !path.is_empty());
    objects.map(str::to_owned).collect()
}

impl Origins {
    /// Takes in a line. Lines come in any order, each once or more often.
    pub(crate) fn insert(&mut self, line: OriginLine) {
        match line {
            OriginLine::Of(origin, time, id, objects) => {
                let newest = self.of_content.entry(id).or_insert((time, origin));
                if time >= newest.0 {
                    *newest = (time, origin);
                }
                let of_origin = self.held.entry(origin).or_default();
                of_origin.entry(id).or_default().extend(objects);
            }
            OriginLine::Gone(time, id) => {
                let last = self.gone.entry(id).or_insert(time);
                *last = time.max(*last);
            }
            OriginLine::Also(id) => {
                self.shared.insert(id);
            }
        }
    }

    /// Says whether the rows of a content are in the table, if they ever were.
    pub(crate) fn is_there(&self, id: ContentId) -> bool {
        match (self.gone.get(&id), self.of_content.get(&id)) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(gone), Some((time, _))) => time > gone,
        }
    }

    /// Says whether rows left the table that one of the files holds.
    pub(crate) fn have_left(&self, claims: &[Claim]) -> bool {
        let mut contents = claims.iter().flat_map(|claim| &claim.contents);
        contents.any(|id| !self.is_there(*id))
    }

    /// Returns the number of the next time that a content comes.
    pub(crate) fn next_time(&self, id: ContentId) -> u32 {
        self.gone.get(&id).map_or(0, |gone| gone + 1)
    }

    /// Finds what the claims replace.
    pub(crate) fn plan(&self, claims: &[Claim]) -> Plan {
        let mut plan = Plan::default();
        let mut shared = self.shared.clone();
        for claim in claims {
            let own = origin_of(&claim.name);
            for id in &claim.contents {
                let of = self.of_content.get(id).filter(|_| self.is_there(*id));
                if of.is_some_and(|(_, origin)| *origin != own) && shared.insert(*id) {
                    plan.lines.push(OriginLine::Also(*id));
                }
            }
        }
        for claim in claims.iter().filter(|claim| claim.is_whole) {
            let held = self.held.get(&origin_of(&claim.name));
            let mut is_replaced = false;
            let mut is_kept = false;
            for (id, objects) in held.into_iter().flatten() {
                if claim.contents.contains(id) || !self.is_there(*id) {
                    continue;
                }
                if shared.contains(id) {
                    is_kept = true;
                    continue;
                }
                is_replaced = true;
                let time = self.of_content.get(id).map_or(0, |(time, _)| *time);
                plan.lines.push(OriginLine::Gone(time, *id));
                plan.objects.extend(objects.iter().cloned());
            }
            if is_replaced {
                plan.replaced.files.push(claim.name.clone());
            }
            if is_kept {
                plan.replaced.kept.push(claim.name.clone());
            }
        }
        plan
    }
}

/// What leaves a table.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What the ledger says of it then.
    pub(crate) lines: Vec<OriginLine>,
    /// The objects that may hold rows of it, under their first names.
    pub(crate) objects: BTreeSet<String>,
    pub(crate) replaced: ReplacedFiles,
}

impl Plan {
    /// Returns the contents whose rows leave.
    pub(crate) fn gone(&self) -> HashSet<String> {
        let gone = self.lines.iter().filter_map(|line| match line {
            OriginLine::Gone(_, id) => Some(id.name()),
            _ => None,
        });
        gone.collect()
    }

    /// Writes it as lines of `pending`.
    pub(crate) fn to_text(&self) -> String {
        let lines = self.lines.iter().map(|line| line.to_line() + "\n");
        let objects = self.objects.iter().map(|path| format!("in {path}\n"));
        lines.chain(objects).collect()
    }

    /// Reads what [`Plan::to_text`] wrote; nothing of other text.
    pub(crate) fn of_text(lines: &[&str]) -> Option<Self> {
        let mut plan = Self::default();
        for line in lines {
            match line.strip_prefix("in ") {
                Some(path) => {
                    plan.objects.insert(path.to_owned());
                }
                None => plan.lines.push(OriginLine::of_line(line)?),
            }
        }
        (!plan.gone().is_empty()).then_some(plan)
    }
}

/// An object without some of its rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Without {
    /// It has none of them.
    Same,
    /// It has no others.
    Nothing,
    /// What is left.
    Rest(Vec<u8>),
}

/// Takes the rows of parts out of an object.
pub(crate) fn without(
    object: impl ChunkReader + 'static,
    gone: &HashSet<String>,
) -> Result<Without, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(object)?;
    let schema = builder.schema().clone();
    let Ok(column) = schema.index_of(PART_COLUMN) else {
        return Ok(Without::Same);
    };
    let mut rest = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut rest, schema, Some(properties([])?))?;
    let (mut kept, mut left) = (0, 0);
    for batch in builder.build()? {
        let batch = batch?;
        let names = cast(batch.column(column), &DataType::Utf8)?;
        let stays = names.as_string::<i32>().iter();
        let stays: BooleanArray = stays
            .map(|name| Some(name.is_none_or(|name| !gone.contains(name))))
            .collect();
        kept += stays.true_count();
        left += stays.len() - stays.true_count();
        writer.write(&filter_record_batch(&batch, &stays)?)?;
    }
    writer.close()?;
    Ok(match (kept, left) {
        (_, 0) => Without::Same,
        (0, _) => Without::Nothing,
        _ => Without::Rest(rest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ContentId {
        ContentId {
            digest: [number; 16],
            end: u64::from(number),
        }
    }

    fn claim(name: &str, contents: &[u8]) -> Claim {
        Claim {
            name: name.to_owned(),
            contents: contents.iter().map(|number| id(*number)).collect(),
            is_whole: true,
        }
    }

    fn of(name: &str, time: u32, number: u8) -> OriginLine {
        OriginLine::Of(origin_of(name), time, id(number), vec!["o".to_owned()])
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let lines = [
            of("a", 3, 7),
            OriginLine::Of(origin_of("a"), 0, id(1), Vec::new()),
            OriginLine::Gone(2, id(9)),
            OriginLine::Also(id(4)),
        ];
        for line in lines {
            let text = line.to_line();
            assert!(OriginLine::is_one(&text));
            assert_eq!(OriginLine::of_line(&text), Some(line), "{text}");
        }
        for wrong in ["of", "of x 0 y z", "gone 1", "also", "also x more"] {
            assert_eq!(OriginLine::of_line(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lines_may_come_in_any_order() {
        let lines = [of("a", 0, 1), OriginLine::Gone(0, id(1)), of("a", 1, 1)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut origins = Origins::default();
            for at in order {
                origins.insert(lines[at].clone());
            }
            assert!(origins.is_there(id(1)), "{order:?}");
            assert_eq!(origins.next_time(id(1)), 1);
            origins.insert(OriginLine::Gone(1, id(1)));
            assert!(!origins.is_there(id(1)), "{order:?}");
        }
    }

    #[test]
    fn what_a_file_holds_no_more_leaves_unless_another_holds_it() {
        let mut origins = Origins::default();
        for line in [of("a", 0, 1), of("a", 0, 2), of("b", 0, 3)] {
            origins.insert(line);
        }
        let plan = origins.plan(&[claim("a", &[1])]);
        assert_eq!(plan.lines, [OriginLine::Gone(0, id(2))]);
        assert_eq!(plan.replaced.files, ["a"]);
        let text = plan.to_text();
        let lines: Vec<&str> = text.lines().collect();
        let again = Plan::of_text(&lines).unwrap();
        assert_eq!((again.lines, again.objects), (plan.lines, plan.objects));
        // One that was not read to its end.
        let torn = Claim {
            is_whole: false,
            ..claim("a", &[])
        };
        assert!(origins.plan(&[torn]).lines.is_empty());
        // Another file has the content, in the same ingest or in one before.
        let plan = origins.plan(&[claim("a", &[1]), claim("c", &[2])]);
        assert_eq!(plan.lines, [OriginLine::Also(id(2))]);
        assert_eq!(plan.replaced.kept, ["a"]);
        origins.insert(OriginLine::Also(id(2)));
        assert!(origins.plan(&[claim("a", &[1])]).gone().is_empty());
        assert!(!origins.have_left(&[claim("a", &[1])]));
        origins.insert(OriginLine::Gone(0, id(1)));
        assert!(origins.have_left(&[claim("a", &[1])]));
    }
}
