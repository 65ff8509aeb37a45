//! The prefilter inside the scan: rows that no rule matches are not decoded further.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use yagura_lake::guard::catch;
use yagura_rules::{PrefilterState, Program};

/// True where any rule matches. It reads the columns that the program reads, and no others.
///
/// What it answers only narrows the scan: the rows that are left are evaluated again, rule by rule.
pub(crate) struct PrefilterExpr {
    program: Arc<Program>,
    /// The columns that the program reads, by their index in its schema.
    columns: Arc<Vec<usize>>,
    children: Vec<Arc<dyn PhysicalExpr>>,
    /// States that no partition works with at the moment.
    states: Arc<Mutex<Vec<PrefilterState>>>,
}

impl PrefilterExpr {
    /// Returns the expression over batches of `scan`, the schema that the program was compiled for.
    pub(crate) fn new(program: Arc<Program>, scan: &Schema) -> Self {
        let columns = program.columns();
        let children = columns
            .iter()
            .map(|index| {
                Arc::new(Column::new(scan.field(*index).name(), *index)) as Arc<dyn PhysicalExpr>
            })
            .collect();
        Self {
            program,
            columns: Arc::new(columns),
            children,
            states: Arc::default(),
        }
    }
}

impl PhysicalExpr for PrefilterExpr {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let arrays = self
            .children
            .iter()
            .map(|child| child.evaluate(batch)?.into_array(rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let column = |index: usize| -> ArrayRef {
            let at = self.columns.binary_search(&index).unwrap_or_default();
            Arc::clone(&arrays[at])
        };
        let free = || self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let known = free().pop();
        let mut state = known.unwrap_or_else(|| PrefilterState::new(&self.program));
        // What a rule does to a batch is not the object's matter: all rows are left for the rules themselves to evaluate.
        let any = match catch(|| self.program.evaluate_any(&mut state, rows, &column)) {
            Ok(Ok(any)) => {
                free().push(state);
                any
            }
            Ok(Err(_)) | Err(_) => BooleanBuffer::new_set(rows),
        };
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(any, None))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.children.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        if children.len() != self.children.len() {
            return Err(internal_datafusion_err!("a prefilter keeps its columns"));
        }
        Ok(Arc::new(Self {
            program: Arc::clone(&self.program),
            columns: Arc::clone(&self.columns),
            children,
            states: Arc::clone(&self.states),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for PrefilterExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "prefilter({} rules, {} atoms)",
            self.program.rules(),
            self.program.atoms()
        )
    }
}

impl fmt::Debug for PrefilterExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for PrefilterExpr {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.program, &other.program) && self.children == other.children
    }
}

impl Eq for PrefilterExpr {}

impl Hash for PrefilterExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.program).hash(state);
        self.children.hash(state);
    }
}
