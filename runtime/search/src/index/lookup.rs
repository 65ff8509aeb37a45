//! A query to the blocks of objects that may hold its hits, by the segments of a table's index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use datafusion::physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use yagura_core::FieldPath;
use yagura_lake::Location;
use yagura_lake::guard::Guarded;
use yagura_lake::table::{DataFile, Table, reason_of};

use super::keys::{Key, key_of, key_of_field, keys_of_word};
use super::segment::{
    BLOCK_ROWS, Blocks, Coverage, EXTENSION, FOLDER, SegmentRow, rows_of, schema,
};
use crate::kinds::Kind;
use crate::query::{Query, TermPlace, TermValue};

/// Segments that are read at once.
const SEGMENTS_AT_ONCE: usize = 16;

/// A segment as its footer describes it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) meta: ObjectMeta,
    /// How many rows it has.
    pub(crate) rows: u64,
    pub(crate) coverage: Arc<Coverage>,
}

/// The segments of a table's index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segments {
    pub(crate) all: Vec<Segment>,
    /// Segments that cannot be used, with the reason.
    pub(crate) unusable: Vec<(ObjectMeta, String)>,
}

impl Segments {
    /// Lists the segments of a table, and reads their footers.
    ///
    /// # Errors
    /// A store that fails.
    pub(crate) async fn open(
        location: &Location,
        cache: &Arc<FileMetadataCache>,
    ) -> Result<Self, object_store::Error> {
        let folder = location.join(FOLDER);
        let listed: Vec<ObjectMeta> = folder
            .store
            .list(Some(&folder.prefix))
            .try_collect()
            .await?;
        let is_segment = |meta: &ObjectMeta| meta.location.extension() == Some(EXTENSION);
        let read = stream::iter(listed.into_iter().filter(is_segment)).map(|meta| async {
            let footer = DFParquetMetadata::new(folder.store.as_ref(), &meta)
                .with_file_metadata_cache(Some(Arc::clone(cache)))
                .with_metadata_size_hint(Some(256 * 1024));
            let read = yagura_lake::guard::guarded(footer.fetch_metadata()).await;
            (meta, read)
        });
        let read: Vec<_> = read.buffered(SEGMENTS_AT_ONCE).collect().await;
        let mut segments = Self::default();
        for (meta, footer) in read {
            let coverage = footer
                .map_err(|error| reason_of(&error))
                .and_then(|footer| {
                    let metadata = footer.file_metadata();
                    let coverage = Coverage::read(metadata.key_value_metadata());
                    let coverage = coverage.ok_or_else(|| "it is of another version".to_owned())?;
                    Ok((coverage, metadata.num_rows().cast_unsigned()))
                });
            match coverage {
                Ok((coverage, rows)) => segments.all.push(Segment {
                    meta,
                    rows,
                    coverage: Arc::new(coverage),
                }),
                Err(reason) => segments.unusable.push((meta, reason)),
            }
        }
        Ok(segments)
    }
}

/// The path of an object below its table, by which segments know it.
pub(crate) fn path_of(location: &Location, file: &DataFile) -> String {
    let parts = file.meta.location.prefix_match(&location.prefix);
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|part| part.as_ref().to_owned())
        .collect();
    match parts.is_empty() {
        true => file.meta.location.to_string(),
        false => parts.join("/"),
    }
}

/// What a query asks of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    All(Vec<Self>),
    Any(Vec<Self>),
    Key(Key),
    /// No index knows.
    Unknown,
}

impl Asked {
    /// Returns what a query asks, where `fields` are the fields of each kind that the table has.
    pub(crate) fn of(
        query: &Query,
        fields: &[(Kind, Vec<FieldPath>)],
        configured: &BTreeMap<String, Vec<FieldPath>>,
    ) -> Self {
        let of = |part: &Query| Self::of(part, fields, configured);
        match query {
            Query::All(parts) => Self::All(parts.iter().map(of).collect()),
            Query::Any(parts) => Self::Any(parts.iter().map(of).collect()),
            Query::Not(_) => Self::Unknown,
            Query::Term(term) => {
                let key = match &term.place {
                    TermPlace::Kind(kind) if fields.iter().any(|(known, _)| known == kind) => {
                        key_of(*kind, &term.value)
                    }
                    // Such values are looked for in all text.
                    TermPlace::Kind(_) | TermPlace::Anywhere => {
                        let TermValue::Text(word) = &term.value else {
                            return Self::Unknown;
                        };
                        // Under one of them it is.
                        return keys_of_word(word).map_or(Self::Unknown, |keys| {
                            let has_kind = |key: &Key| {
                                let mut known = fields.iter().map(|(kind, _)| kind.name());
                                Kind::from_name(key.kind).is_none()
                                    || known.any(|kind| kind == key.kind)
                            };
                            Self::Any(keys.into_iter().filter(has_kind).map(Self::Key).collect())
                        });
                    }
                    // A kind of the operator's own is not indexed.
                    TermPlace::Field(path) if configured.contains_key(&path.to_string()) => None,
                    TermPlace::Field(path) => key_of_field(path, fields, &term.value),
                };
                key.map_or(Self::Unknown, Self::Key)
            }
        }
    }

    /// Adds the keys that are asked for.
    pub(crate) fn keys(&self, keys: &mut BTreeSet<Key>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.keys(keys)),
            Self::Key(key) => drop(keys.insert(key.clone())),
            Self::Unknown => {}
        }
    }

    /// Says whether an index that knows all keys leaves something out.
    pub(crate) fn is_narrow(&self) -> bool {
        self.blocks(&|_| Some(Blocks::default())).is_some()
    }

    /// Returns the blocks that may hold hits, of which `blocks` knows those of a key; nothing where all may.
    fn blocks(&self, blocks: &impl Fn(&Key) -> Option<Blocks>) -> Option<Blocks> {
        match self {
            Self::Unknown => None,
            Self::Key(key) => blocks(key),
            Self::All(parts) => parts
                .iter()
                .filter_map(|part| part.blocks(blocks))
                .reduce(|a, b| a.intersection(&b)),
            Self::Any(parts) => {
                let parts: Option<Vec<Blocks>> =
                    parts.iter().map(|part| part.blocks(blocks)).collect();
                parts?.into_iter().reduce(|a, b| a.union(&b))
            }
        }
    }
}

/// What an index says of a table's objects.
#[derive(Debug, Default)]
pub(crate) struct Narrowed {
    /// The objects that may hold hits.
    pub(crate) files: Vec<DataFile>,
    /// Of some of these, by their paths, the rows that may be hits.
    pub(crate) rows: HashMap<object_store::path::Path, RowSelection>,
    /// Objects that hold no hit.
    pub(crate) left_out: usize,
    /// Objects of which no segment says what the query asks.
    pub(crate) not_indexed: usize,
}

/// What segments say of an object.
#[derive(Debug, Default)]
struct KnownBlocks {
    /// How many rows it has.
    rows: Option<u64>,
    /// The blocks of the values that are asked for, by the kinds that its index has.
    kinds: HashMap<&'static str, HashMap<Box<str>, Blocks>>,
}

/// Leaves out what cannot hold hits of a query.
///
/// # Errors
/// A store that fails, or a segment that cannot be read.
pub(crate) async fn narrow(
    table: &Table,
    segments: &Segments,
    digests: &BTreeMap<String, String>,
    asked: &Asked,
    cache: &Arc<FileMetadataCache>,
) -> Result<Narrowed, DataFusionError> {
    let mut keys = BTreeSet::new();
    asked.keys(&mut keys);
    let versions: HashMap<String, (usize, String)> = table
        .files
        .iter()
        .enumerate()
        .map(|(at, file)| (path_of(&table.location, file), (at, file.version())))
        .collect();
    let mut known: Vec<KnownBlocks> = Vec::new();
    known.resize_with(table.files.len(), KnownBlocks::default);
    let mut wanted = Vec::new();
    for segment in &segments.all {
        let kinds: BTreeSet<&'static str> = keys
            .iter()
            .map(|key| key.kind)
            .filter(|kind| {
                let digest = segment.coverage.kinds.get(*kind);
                digest.is_some() && digest == digests.get(*kind)
            })
            .collect();
        if kinds.is_empty() {
            continue;
        }
        let mut places = HashMap::new();
        for (place, object) in segment.coverage.objects.iter().enumerate() {
            let file = versions
                .get(&object.path)
                .filter(|(_, version)| *version == object.version);
            if let Some((file, _)) = file {
                places.insert(place, *file);
                let known = &mut known[*file];
                known.rows = Some(object.rows);
                let lacks = |kind: &&&'static str| object.lacks.iter().any(|lacks| lacks == **kind);
                for kind in kinds.iter().filter(|kind| !lacks(kind)) {
                    known.kinds.entry(kind).or_default();
                }
            }
        }
        if !places.is_empty() {
            let keys: Vec<&Key> = keys.iter().filter(|key| kinds.contains(key.kind)).collect();
            wanted.push((segment, keys, places));
        }
    }
    let found = stream::iter(wanted)
        .map(|(segment, keys, places)| async move {
            let rows = look_up(&table.location, segment, Some(&keys), cache).await?;
            Ok::<_, DataFusionError>((rows, places))
        })
        .buffer_unordered(SEGMENTS_AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    for (rows, places) in found {
        for row in rows {
            let known = places
                .get(&(row.object as usize))
                .map(|file| &mut known[*file]);
            if let Some(blocks) = known.and_then(|known| known.kinds.get_mut(row.kind)) {
                let all = blocks.entry(row.value).or_default();
                *all = all.union(&row.entry.blocks);
            }
        }
    }
    let mut narrowed = Narrowed::default();
    for (file, known) in table.files.iter().zip(known) {
        let blocks = asked.blocks(&|key: &Key| {
            let found = known.kinds.get(key.kind)?;
            Some(found.get(&*key.value).cloned().unwrap_or_default())
        });
        match (blocks, known.rows) {
            (Some(blocks), Some(_)) if blocks.is_empty() => {
                narrowed.left_out += 1;
                continue;
            }
            (Some(blocks), Some(rows)) => {
                narrowed
                    .rows
                    .insert(file.meta.location.clone(), selection(&blocks, rows));
            }
            _ => narrowed.not_indexed += 1,
        }
        narrowed.files.push(file.clone());
    }
    Ok(narrowed)
}

/// Returns the rows of blocks.
fn selection(blocks: &Blocks, rows: u64) -> RowSelection {
    let of_block = |block: u64| {
        let count = BLOCK_ROWS.min(rows - block * BLOCK_ROWS);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match blocks.contains(block) {
            true => RowSelector::select(count),
            false => RowSelector::skip(count),
        }
    };
    (0..rows.div_ceil(BLOCK_ROWS)).map(of_block).collect()
}

/// Returns the rows of a segment that have one of these keys, or all.
///
/// # Errors
/// A store that fails, or a segment that cannot be read.
pub(crate) async fn look_up(
    location: &Location,
    segment: &Segment,
    keys: Option<&[&Key]>,
    cache: &Arc<FileMetadataCache>,
) -> Result<Vec<SegmentRow>, DataFusionError> {
    let session = SessionContext::new();
    let url = yagura_plan::location_url(location)?;
    session
        .runtime_env()
        .register_object_store(url.as_ref(), Arc::clone(&location.store));
    let reader =
        CachedParquetFileReaderFactory::new(Arc::clone(&location.store), Arc::clone(cache));
    let mut source = ParquetSource::new(schema())
        .with_pushdown_filters(true)
        .with_metadata_size_hint(256 * 1024)
        .with_parquet_file_reader_factory(Arc::new(reader));
    if let Some(keys) = keys {
        let state = session.state();
        let columns = DFSchema::try_from(schema())?;
        let predicate = state.create_physical_expr(any_of(keys), &columns)?;
        source = source.with_predicate(predicate);
    }
    let file = PartitionedFile::new_from_meta(segment.meta.clone());
    let config = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(vec![FileGroup::new(vec![file])])
        .build();
    let plan = DataSourceExec::from_data_source(config);
    let mut batches = Guarded::new(plan.execute(0, session.task_ctx())?);
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await {
        rows.extend(rows_of(&batch?));
    }
    // The reader may leave what a filter does not let through.
    rows.retain(|row| {
        let is_of = |key: &&&Key| key.kind == row.kind && *key.value == *row.value;
        keys.is_none_or(|keys| keys.iter().any(|key| is_of(&key)))
    });
    Ok(rows)
}

fn any_of(keys: &[&Key]) -> Expr {
    let mut kinds: BTreeMap<&str, Vec<Expr>> = BTreeMap::new();
    for key in keys {
        kinds
            .entry(key.kind)
            .or_default()
            .push(lit(key.value.clone()));
    }
    let of_kind = |(kind, values): (&str, Vec<Expr>)| {
        ident("kind")
            .eq(lit(kind))
            .and(ident("value").in_list(values, false))
    };
    let any = kinds.into_iter().map(of_kind).reduce(Expr::or);
    any.unwrap_or_else(|| lit(ScalarValue::Boolean(Some(false))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(of: &[u64]) -> Blocks {
        let mut blocks = Blocks::default();
        of.iter().for_each(|block| blocks.add(*block));
        blocks
    }

    #[test]
    fn parts_of_a_query_narrow_each_other() {
        let key = |value: &str| {
            Asked::Key(Key {
                kind: "ip",
                value: value.to_owned(),
            })
        };
        let known = |key: &Key| match key.value.as_str() {
            "a" => Some(blocks(&[0, 1])),
            "b" => Some(blocks(&[1, 2])),
            _ => None,
        };
        let of = |asked: Asked| asked.blocks(&known);
        assert_eq!(of(Asked::All(vec![key("a"), key("b")])), Some(blocks(&[1])));
        assert_eq!(
            of(Asked::Any(vec![key("a"), key("b")])),
            Some(blocks(&[0, 1, 2]))
        );
        let all = vec![key("a"), Asked::Unknown, key("not indexed")];
        assert_eq!(of(Asked::All(all)), Some(blocks(&[0, 1])));
        assert_eq!(of(Asked::Any(vec![key("a"), key("not indexed")])), None);
        assert_eq!(of(Asked::Any(vec![key("a"), Asked::Unknown])), None);
        assert_eq!(of(Asked::All(vec![Asked::Unknown])), None);
    }

    #[test]
    fn blocks_are_rows() {
        let selected = selection(&blocks(&[0, 2]), 3 * BLOCK_ROWS - 1);
        let selectors: Vec<RowSelector> = selected.into();
        let block = usize::try_from(BLOCK_ROWS).unwrap();
        assert_eq!(
            selectors,
            [
                RowSelector::select(block),
                RowSelector::skip(block),
                RowSelector::select(block - 1)
            ]
        );
    }
}
