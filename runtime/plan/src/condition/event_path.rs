//! A path below a column, as a DataFusion function: `request_parameters.policy.Statement` in a `where`.

use std::hash::{Hash, Hasher};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use yagura_core::FieldPath;
use yagura_rules::Resolved;

/// Takes the resolved column and returns the values that its path leads to.
///
/// One function a path, because the type of the values depends on the path.
#[derive(Debug)]
pub(crate) struct EventPath {
    name: String,
    path: FieldPath,
    resolved: Resolved,
    signature: Signature,
}

impl EventPath {
    /// Returns the expression that reads `resolved`, which is where `path` leads below `column`.
    pub(crate) fn below(column: &str, resolved: Resolved, path: &FieldPath) -> Expr {
        let function = ScalarUDF::new_from_impl(Self {
            name: format!("path({path})"),
            path: path.clone(),
            resolved,
            signature: Signature::new(TypeSignature::Any(1), Volatility::Immutable),
        });
        function.call(vec![Expr::Column(datafusion::common::Column::from_name(
            column,
        ))])
    }

    /// Returns the path that a call reads and where it leads, if it is one of this kind.
    pub(crate) fn of(call: &ScalarFunction) -> Option<(&FieldPath, &Resolved)> {
        let path = call.func.inner().downcast_ref::<Self>()?;
        Some((&path.path, &path.resolved))
    }
}

impl PartialEq for EventPath {
    fn eq(&self, other: &Self) -> bool {
        self.resolved == other.resolved
    }
}

impl Eq for EventPath {}

impl Hash for EventPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.resolved.hash(state);
    }
}

impl ScalarUDFImpl for EventPath {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.resolved.data_type.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(self.resolved.values_below(&column)?))
    }
}
