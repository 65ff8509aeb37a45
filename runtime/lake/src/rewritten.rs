//! Objects that ingest writes anew without some of their rows: the next one hides those before.

/// Splits a file name into what all objects have in common that took each other's place, and how many came before; nothing for objects
/// that ingest does not name.
pub(crate) fn generation(file_name: &str) -> Option<(&str, u32)> {
    let name = file_name.strip_suffix(".parquet")?;
    let (stem, number) = match name.split_once(".r") {
        Some((stem, number)) => (stem, number.parse().ok()?),
        None => (name, 0),
    };
    let digits = stem.strip_prefix("part-")?;
    let is_ours = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then_some((stem, number))
}

/// Returns the names that an object had before rows left it, the newest first; none for most objects.
///
/// `name` is a path or URL. Whoever has read one of these has read all rows of the object.
pub fn earlier_names(name: &str) -> Vec<String> {
    let (folder, file_name) = name.rsplit_once('/').unwrap_or(("", name));
    let Some((stem, number)) = generation(file_name) else {
        return Vec::new();
    };
    let named = |number| match number {
        0 => format!("{folder}/{stem}.parquet"),
        number => format!("{folder}/{stem}.r{number}.parquet"),
    };
    (0..number).rev().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_those_before() {
        assert_eq!(
            earlier_names("s3://b/t/date=2026-01-01/part-0123456789abcdef.r2.parquet"),
            [
                "s3://b/t/date=2026-01-01/part-0123456789abcdef.r1.parquet",
                "s3://b/t/date=2026-01-01/part-0123456789abcdef.parquet",
            ]
        );
        for other in [
            "/t/part-0123456789abcdef.parquet",
            "/t/part-0123.r1.parquet",
            "/t/part-0123456789abcdef.rx.parquet",
            "/t/part-0123456789abcdef.r1.txt",
            "x.r1.parquet",
        ] {
            assert!(earlier_names(other).is_empty(), "{other}");
        }
    }
}
