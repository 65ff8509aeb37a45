//! Which times the events of an object have, as its writer says or its column, and objects that have none.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::{ArrowWriter, ProjectionMask, parquet_to_arrow_schema};
use datafusion::parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use yagura_core::Timestamp;

use crate::epoch_unit::EpochUnit;
use crate::guard::guarded;
use crate::table::{DataFile, Table};
use crate::{Location, TableDefinition};

/// Microseconds of 1990-01-01, before which few logs were written: an earlier time is most often a counter, or a zero.
const YEAR_1990: i64 = 631_152_000_000_000;

/// Which times the events of an object have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectTimes {
    /// The earliest and the latest; nothing if no event has a time.
    pub bounds: Option<(Timestamp, Timestamp)>,
    /// Events whose times are not what one expects.
    pub odd: OddTimes,
}

/// Events whose times are not what one expects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OddTimes {
    /// Events without a time, or with one that cannot be read.
    pub without: OddEvents,
    /// Events after the limit that was asked for.
    pub future: OddEvents,
    /// Events before 1990.
    pub old: OddEvents,
}

/// How many events there are of a kind, and one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OddEvents {
    /// How many.
    pub count: u64,
    /// Object, row and time of one.
    pub example: Option<(String, u64, Option<Timestamp>)>,
    /// What the example says of where it comes from, such as ``Computer` `ws-7``: of events whose clock is wrong.
    pub source: Option<String>,
}

impl OddEvents {
    fn add(&mut self, row: u64, time: Option<Timestamp>) {
        self.count += 1;
        self.example
            .get_or_insert_with(|| (String::new(), row, time));
    }

    fn join(&mut self, more: Self) {
        self.count += more.count;
        if self.example.is_none() {
            self.example = more.example;
            self.source = more.source;
        }
    }

    fn name(&mut self, object: &str) {
        if let Some((name, ..)) = &mut self.example {
            object.clone_into(name);
        }
    }
}

impl OddTimes {
    /// Adds the events of another object.
    pub fn join(&mut self, more: Self) {
        self.without.join(more.without);
        self.future.join(more.future);
        self.old.join(more.old);
    }

    fn add(&mut self, row: u64, time: Option<Timestamp>, limit: Timestamp) {
        match time {
            None => self.without.add(row, None),
            Some(at) if at > limit => self.future.add(row, time),
            Some(at) if at.micros() < YEAR_1990 => self.old.add(row, time),
            Some(_) => {}
        }
    }
}

/// What an object's statistics say of its time column.
struct Told {
    bounds: Option<(Timestamp, Timestamp)>,
    /// Whether an event may be without a time.
    may_lack: bool,
}

impl Table {
    /// Returns the earliest and the latest event time of an object by its footer's statistics, and where these are missing by
    /// its time column; nothing if no event has a time. The footer goes into `cache`.
    ///
    /// # Errors
    /// When the footer or the time column cannot be read.
    pub async fn times_of(
        &self,
        file: &DataFile,
        cache: Arc<FileMetadataCache>,
    ) -> Result<Option<(Timestamp, Timestamp)>, DataFusionError> {
        guarded(async {
            match self.told_times(file, cache).await? {
                Some(told) => Ok(told.bounds),
                None => Ok(self.times_in(file, Timestamp::MAX).await?.bounds),
            }
        })
        .await
    }

    /// Returns the same, and the events whose times are odd; `limit` is the latest time that is not. The time column itself is
    /// read only where the statistics do not rule such events out.
    ///
    /// # Errors
    /// As [`Table::times_of`].
    pub async fn look_at_times(
        &self,
        file: &DataFile,
        cache: Arc<FileMetadataCache>,
        limit: Timestamp,
    ) -> Result<ObjectTimes, DataFusionError> {
        let is_odd = |(earliest, latest): (Timestamp, Timestamp)| {
            latest > limit || earliest.micros() < YEAR_1990
        };
        guarded(async {
            match self.told_times(file, cache).await? {
                Some(told) if !told.may_lack && !told.bounds.is_some_and(is_odd) => {
                    Ok(ObjectTimes {
                        bounds: told.bounds,
                        odd: OddTimes::default(),
                    })
                }
                _ => {
                    let mut times = self.times_in(file, limit).await?;
                    if let Some((_, row, _)) = &times.odd.future.example {
                        times.odd.future.source = self.source_of(file, *row).await;
                    }
                    Ok(times)
                }
            }
        })
        .await
    }

    /// Returns nothing where the time column has to be read.
    async fn told_times(
        &self,
        file: &DataFile,
        cache: Arc<FileMetadataCache>,
    ) -> Result<Option<Told>, DataFusionError> {
        let metadata = DFParquetMetadata::new(self.location.store.as_ref(), &file.meta)
            .with_file_metadata_cache(Some(cache))
            .with_metadata_size_hint(Some(64 * 1024))
            // Statistics of row groups are enough: the scan fetches the page index when it needs it.
            .with_page_index_policy(Some(PageIndexPolicy::Skip))
            .fetch_metadata()
            .await?;
        let descriptor = metadata.file_metadata().schema_descr();
        let schema =
            parquet_to_arrow_schema(descriptor, metadata.file_metadata().key_value_metadata())?;
        let rows = metadata.file_metadata().num_rows();
        let Ok(converter) = StatisticsConverter::try_new(&self.time, &schema, descriptor) else {
            return Ok((rows == 0).then_some(Told {
                bounds: None,
                may_lack: false,
            }));
        };
        let groups = metadata.row_groups();
        let is_required = converter
            .parquet_column_index()
            .is_some_and(|index| descriptor.column(index).max_def_level() == 0);
        let (earliest, latest) = (
            converter.row_group_mins(groups)?,
            converter.row_group_maxes(groups)?,
        );
        if !self.is_in_order(&earliest, &latest)? {
            return Ok(None);
        }
        let (earliest, latest) = (self.event_times(&earliest)?, self.event_times(&latest)?);
        let mut told = Told {
            bounds: None,
            may_lack: false,
        };
        for ((first, last), group) in earliest.into_iter().zip(latest).zip(groups) {
            if group.num_rows() == 0 {
                continue;
            }
            match (first, last) {
                (Some(first), Some(last)) => {
                    let (earliest, latest) = told.bounds.unwrap_or((first, last));
                    told.bounds = Some((earliest.min(first), latest.max(last)));
                    told.may_lack |= !is_required && nulls(&converter, group) != Some(0);
                }
                // A group of NULLs alone holds no event with a time; one without statistics may hold anything.
                _ if nulls(&converter, group) == u64::try_from(group.num_rows()).ok() => {
                    told.may_lack = true;
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(told))
    }

    /// Says whether the least and the greatest values of a column are its earliest and its latest times.
    fn is_in_order(&self, least: &ArrayRef, greatest: &ArrayRef) -> Result<bool, DataFusionError> {
        use datafusion::arrow::array::AsArray;
        use datafusion::arrow::compute::cast;
        use datafusion::arrow::datatypes::Int64Type;
        match least.data_type() {
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Ok(true),
            other if other.is_integer() && self.time_unit.is_some() => Ok(true),
            // As long as all numbers count in one unit.
            other if other.is_integer() => {
                let (least, greatest) = (
                    cast(least, &DataType::Int64)?,
                    cast(greatest, &DataType::Int64)?,
                );
                let both = [least, greatest];
                let mut numbers = both
                    .iter()
                    .flat_map(|of| of.as_primitive::<Int64Type>().iter().flatten());
                let Some(first) = numbers.next() else {
                    return Ok(true);
                };
                let unit = EpochUnit::by_size(first);
                Ok(first >= 0
                    && numbers.all(|number| number >= 0 && EpochUnit::by_size(number) == unit))
            }
            _ => Ok(false),
        }
    }

    /// Reads an object's time column.
    async fn times_in(
        &self,
        file: &DataFile,
        limit: Timestamp,
    ) -> Result<ObjectTimes, DataFusionError> {
        let object = self.location.name_of(&file.meta.location);
        let builder = self.bytes_of(file).await?;
        let mut times = ObjectTimes::default();
        let mut row = 0;
        if builder.schema().index_of(&self.time).is_err() {
            let rows = builder.metadata().file_metadata().num_rows();
            times.odd.without = OddEvents {
                count: u64::try_from(rows).unwrap_or_default(),
                example: (rows > 0).then_some((object, 0, None)),
                source: None,
            };
            return Ok(times);
        }
        let mask = ProjectionMask::columns(builder.parquet_schema(), [self.time.as_str()]);
        let mut batches = builder.with_projection(mask).build()?;
        while let Some(batch) = batches.try_next().await? {
            for time in self.event_times(&readable(batch.column(0)))? {
                times.odd.add(row, time, limit);
                row += 1;
                if let Some(time) = time {
                    let (earliest, latest) = times.bounds.unwrap_or((time, time));
                    times.bounds = Some((earliest.min(time), latest.max(time)));
                }
            }
        }
        for odd in [
            &mut times.odd.without,
            &mut times.odd.future,
            &mut times.odd.old,
        ] {
            odd.name(&object);
        }
        Ok(times)
    }
}

/// Returns text that was read as bytes as text again; what is not UTF-8 is not a time.
fn readable(array: &ArrayRef) -> ArrayRef {
    use datafusion::arrow::array::{AsArray, StringArray};
    match array.data_type() {
        DataType::Binary => {
            let values = array.as_binary::<i32>().iter();
            let text = |bytes| std::str::from_utf8(bytes).ok();
            Arc::new(
                values
                    .map(|value| value.and_then(text))
                    .collect::<StringArray>(),
            )
        }
        _ => Arc::clone(array),
    }
}

impl TableDefinition {
    /// Writes an object without events, so that a table in which nothing happened is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write_empty_object(&self, table: &Location) -> Result<(), DataFusionError> {
        let mut bytes = Vec::new();
        ArrowWriter::try_new(&mut bytes, self.arrow_schema(), None)?.close()?;
        let path = table.join("empty.parquet").prefix;
        table.store.put(&path, bytes.into()).await?;
        Ok(())
    }
}

fn nulls(converter: &StatisticsConverter<'_>, group: &RowGroupMetaData) -> Option<u64> {
    let nulls = converter.row_group_null_counts([group]).ok()?;
    nulls.iter().flatten().next()
}
