//! Progress on stderr, only where a person watches on a terminal that takes escape sequences.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::takes_escapes;

/// Returns a line with a spinner, drawn at most ten times a second and only on a terminal.
pub(crate) fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target());
    bar.set_style(style("{spinner} {elapsed}  {wide_msg}"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Returns a bar over `bytes` bytes, drawn only on a terminal.
pub(crate) fn bytes(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), target());
    bar.set_style(style(
        "{bar:30} {bytes}/{total_bytes} ({elapsed}, {eta} left)  {wide_msg}",
    ));
    bar
}

fn target() -> ProgressDrawTarget {
    match takes_escapes(&std::io::stderr()) {
        true => ProgressDrawTarget::stderr_with_hz(10),
        false => ProgressDrawTarget::hidden(),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
