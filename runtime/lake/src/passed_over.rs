//! Objects that a listing passed over, and what is said of them.

/// Objects of one kind that a listing passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedObjects {
    /// How many.
    pub count: u64,
    /// The name of one of them.
    pub first: Option<String>,
}

impl PassedObjects {
    /// Counts one, and keeps the name of the first.
    pub(crate) fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(name);
    }
}

/// What a listing passed over, hidden folders and objects apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// Objects of 0 bytes: markers, and files that are only begun.
    pub empty: PassedObjects,
    /// Objects whose names do not end in `.parquet`.
    pub other: PassedObjects,
    /// Objects in folders in which the table has none: copies, other tables, other partitions.
    pub stray: PassedObjects,
    /// Files and folders with names that no object can have: with control characters, or bytes that are not UTF-8.
    pub odd_names: PassedObjects,
}

impl PassedOver {
    /// Says of each kind what was passed over, where, and what to do.
    pub fn messages(&self, table: &str) -> Vec<String> {
        let message = |passed: &PassedObjects, one: &str, several: &str, why: &str| {
            let first = passed.first.as_ref()?;
            let count = names(passed.count, one, several);
            Some(format!(
                "table `{table}`: {count} {why}; for instance {first}"
            ))
        };
        let empty = message(
            &self.empty,
            "object is not read, because it has",
            "objects are not read, because they have",
            "0 bytes",
        );
        let stray = message(
            &self.stray,
            "object is left out, because it lies",
            "objects are left out, because they lie",
            "in a folder where the table has none; move what belongs to the table to where its other objects lie",
        );
        let odd_names = message(
            &self.odd_names,
            "file or folder is left out, because its name has",
            "files or folders are left out, because their names have",
            "control characters, an empty folder, `.` or `..`, or bytes that are not UTF-8; rename what belongs to the table",
        );
        let all = [empty, self.other_message(table), stray, odd_names];
        all.into_iter().flatten().collect()
    }

    /// Says which objects are not read because of the ends of their names.
    pub fn other_message(&self, table: &str) -> Option<String> {
        let first = self.other.first.as_ref()?;
        let count = names(
            self.other.count,
            "object is not read, because its name does",
            "objects are not read, because their names do",
        );
        Some(format!(
            "table `{table}`: {count} not end in `.parquet`; for instance {first}"
        ))
    }

    /// Says for an error that no data was found what there was instead.
    pub(crate) fn hint(&self) -> String {
        let mut hint = String::new();
        if let Some(first) = &self.other.first {
            hint.push_str(&format!(
                "; {} there do not end in `.parquet`, for instance {first}: give Parquet objects that ending, and bring logs of other formats in with `yagura ingest`",
                names(self.other.count, "object's name", "objects' names")
            ));
        }
        if let Some(first) = &self.empty.first {
            hint.push_str(&format!(
                "; {} 0 bytes, for instance {first}",
                names(self.empty.count, "object has", "objects have")
            ));
        }
        if let Some(first) = &self.stray.first {
            hint.push_str(&format!(
                "; {} in a stray folder, for instance {first}",
                names(self.stray.count, "object lies", "objects lie")
            ));
        }
        if let Some(first) = &self.odd_names.first {
            hint.push_str(&format!(
                "; {} that no object can have, for instance {first}",
                names(
                    self.odd_names.count,
                    "name there is one",
                    "names there are some"
                )
            ));
        }
        hint
    }
}

fn names(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
