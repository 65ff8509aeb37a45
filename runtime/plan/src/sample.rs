//! What a table really holds, from a few of its newest events: how often a column has a value, some of the values, and the keys
//! inside JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use yagura_core::json::{Cursor, Kind, is_container, text_of};
use yagura_lake::table::{DataFile, Table};
use yagura_rules::render_text;

use crate::scan::object_store_url;

/// Objects that are read: the newest.
const OBJECTS: usize = 8;
/// Events that are read in each.
const ROWS: usize = 500;
/// Different values that are kept of a column.
const VALUES: usize = 3;
/// Characters that are kept of a value.
const MAX_VALUE_CHARS: usize = 200;
/// Keys that are kept of a column, and how deep they lie at most.
const KEYS: usize = 2_000;
const DEPTH: usize = 6;

/// What some events of a table hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many events were read.
    pub events: usize,
    /// Columns of the table by name.
    pub columns: BTreeMap<String, ColumnSample>,
    /// Objects that could not be read, with the reason.
    pub unreadable: Vec<(String, String)>,
}

/// What some events hold in a column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnSample {
    /// Events with a value.
    pub present: usize,
    /// Some different values, as text.
    pub values: Vec<String>,
    /// Paths inside JSON, structs, lists and maps, with the number of events that have a value there.
    pub keys: BTreeMap<String, usize>,
}

impl Sample {
    /// Reads some events of the newest objects of a table.
    pub async fn of(table: &Table) -> Self {
        let mut newest: Vec<&DataFile> = table.files.iter().collect();
        newest.sort_by_key(|file| std::cmp::Reverse(file.meta.last_modified));
        let mut sample = Self::default();
        for field in table.schema().fields() {
            sample.columns.entry(field.name().clone()).or_default();
        }
        for file in newest.into_iter().take(OBJECTS) {
            match read(table, file).await {
                Ok(batches) => batches
                    .iter()
                    .for_each(|batch| sample.add(table, file, batch)),
                Err(error) => {
                    let name = table.location.name_of(&file.meta.location);
                    sample.unreadable.push((name, error.to_string()));
                }
            }
        }
        sample
    }

    /// Returns every path that an event of the sample has a value at: columns, and keys below them.
    pub fn paths(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        for (column, of) in &self.columns {
            paths.insert(column.clone());
            paths.extend(of.keys.keys().map(|key| format!("{column}.{key}")));
        }
        paths
    }

    fn add(&mut self, table: &Table, file: &DataFile, batch: &RecordBatch) {
        self.events += batch.num_rows();
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            if let Some(column) = self.columns.get_mut(field.name()) {
                column.add(array);
            }
        }
        for (name, value) in table.partitions.iter().zip(&file.partition_values) {
            if let (Some(column), Some(value)) = (self.columns.get_mut(name), value) {
                column.present += batch.num_rows();
                column.value(value);
            }
        }
    }
}

impl ColumnSample {
    fn add(&mut self, array: &ArrayRef) {
        // What cannot be written as text is counted all the same.
        let Ok(texts) = render_text(array) else {
            self.present += array.len() - array.logical_null_count();
            return;
        };
        let is_nested = array.data_type().is_nested() || is_text(array.data_type());
        for text in texts.as_string::<i32>().iter().flatten() {
            self.present += 1;
            self.value(text);
            if is_nested && is_container(text) {
                let mut keys = BTreeSet::new();
                walk(text, "", 0, &mut keys);
                for key in keys {
                    if self.keys.len() < KEYS || self.keys.contains_key(&key) {
                        *self.keys.entry(key).or_default() += 1;
                    }
                }
            }
        }
    }

    fn value(&mut self, text: &str) {
        if self.values.len() == VALUES || text.is_empty() {
            return;
        }
        let mut value: String = text.chars().take(MAX_VALUE_CHARS + 1).collect();
        if value.chars().count() > MAX_VALUE_CHARS {
            value.pop();
            value.push('…');
        }
        if !self.values.contains(&value) {
            self.values.push(value);
        }
    }
}

/// Adds the paths of all values in a JSON text that are not `null`; the members of a list share a path.
fn walk(text: &str, prefix: &str, depth: usize, keys: &mut BTreeSet<String>) {
    let mut cursor = Cursor::new(text);
    let Ok(kind) = cursor.kind() else { return };
    match kind {
        Kind::Object => {
            cursor.enter();
            while let Ok(Some(key)) = cursor.next_key() {
                let key = key.text();
                let path = match prefix {
                    "" => key.into_owned(),
                    prefix => format!("{prefix}.{key}"),
                };
                let Ok(value) = cursor.take() else { return };
                if value != "null" {
                    keys.insert(path.clone());
                }
                inside(value, &path, depth, keys);
            }
        }
        Kind::Array => {
            cursor.enter();
            while let Ok(true) = cursor.next_element() {
                let Ok(value) = cursor.take() else { return };
                inside(value, prefix, depth, keys);
            }
        }
        _ => {}
    }
}

/// Goes on below a value; a text that holds JSON is entered, as paths do.
fn inside(value: &str, path: &str, depth: usize, keys: &mut BTreeSet<String>) {
    if depth < DEPTH && keys.len() < KEYS {
        let text = text_of(value);
        if is_container(&text) {
            walk(&text, path, depth + 1, keys);
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_text(value),
        other => other.is_string(),
    }
}

/// Reads the first events of an object, its columns brought to the types of the table's.
async fn read(table: &Table, file: &DataFile) -> Result<Vec<RecordBatch>, DataFusionError> {
    let session = SessionContext::new();
    let url = object_store_url(table)?;
    session
        .runtime_env()
        .register_object_store(url.as_ref(), Arc::clone(&table.location.store));
    let schema = TableSchema::builder(Arc::clone(&table.file_schema)).build();
    let source = ParquetSource::new(schema).with_metadata_size_hint(64 * 1024);
    let object = PartitionedFile::new_from_meta(file.meta.clone());
    let scan = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(vec![FileGroup::new(vec![object])])
        .with_limit(Some(ROWS))
        .build();
    let scan = DataSourceExec::from_data_source(scan);
    let batches: Vec<RecordBatch> = scan.execute(0, session.task_ctx())?.try_collect().await?;
    let mut left = ROWS;
    let first = batches.into_iter().map(|batch| {
        let rows = batch.num_rows().min(left);
        left -= rows;
        batch.slice(0, rows)
    });
    Ok(first.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::StringArray;

    #[test]
    fn keys_are_found_where_paths_lead() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![
            Some(r#"{"a":{"b":1,"c":null},"l":[{"x":1},{"y":"\ud800"}],"s":"{\"in\":true}"}"#),
            Some(r#"{"a":{"b":9223372036854775808}}"#),
            Some("plain"),
            Some(r#"{"broken":1,"#),
            None,
        ]));
        let mut column = ColumnSample::default();
        column.add(&texts);
        let keys: Vec<(&str, usize)> = column.keys.iter().map(|(k, n)| (k.as_str(), *n)).collect();
        let wanted = [
            ("a", 2),
            ("a.b", 2),
            ("broken", 1),
            ("l", 1),
            ("l.x", 1),
            ("l.y", 1),
            ("s", 1),
            ("s.in", 1),
        ];
        assert_eq!(keys, wanted);
        assert_eq!(column.present, 4);
        assert_eq!(column.values.len(), VALUES);
    }
}
