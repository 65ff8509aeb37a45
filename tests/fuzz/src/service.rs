//! What a service reads back, and what it reports.

use yagura_alerts::format::{AlertRecord, ocsf};
use yagura_alerts::render;

pub(crate) fn alert(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let line = render::line(text, 80);
    assert!(line.chars().count() <= 80, "{line}");
    let Ok(record) = AlertRecord::read(text) else {
        return;
    };
    let line = record.into_line(1);
    let _ = ocsf::alert(&line, true, line.alert.first_time);
}
