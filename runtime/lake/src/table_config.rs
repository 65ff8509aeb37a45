//! What the operator says about a table.

use crate::Location;
use crate::definition::OnNullTime as OnProblem;
use crate::epoch_unit::EpochUnit;

/// What the operator says about a table; everything else is found out.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// Name that rules refer to.
    pub name: String,
    /// Where its objects lie.
    pub location: Location,
    /// The time column, if it is not the definition's or the only one that can be meant.
    pub time: Option<String>,
    /// What the numbers of the time column count, if it holds integers; absent: as their size says.
    pub time_unit: Option<EpochUnit>,
    /// Hive partition that holds the event time's UTC day, and its form (`%Y-%m-%d`), so that days can be left out.
    pub day_partition: Option<(String, String)>,
    /// What to do with a row without a usable time; absent: as the definition says, else fail.
    pub on_null_time: Option<OnProblem>,
    /// What to do with an object that cannot be read.
    pub on_bad_file: OnProblem,
}

impl TableConfig {
    /// Returns a table of which nothing is said but its place. An object that cannot be read is left out.
    pub fn new(name: &str, location: Location) -> Self {
        Self {
            name: name.to_owned(),
            location,
            time: None,
            time_unit: None,
            day_partition: None,
            on_null_time: None,
            on_bad_file: OnProblem::Skip,
        }
    }
}
