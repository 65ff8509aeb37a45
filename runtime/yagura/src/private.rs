//! Who may read what a service writes.

/// Files that this process makes from now on are its user's alone: state, alerts and the evidence in them are nobody else's.
pub(crate) fn make_files_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}
