//! One file a command: arguments as they are typed, then what they come to.

pub(crate) mod alerts;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod coverage;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod grants;
pub(crate) mod ingest;
pub(crate) mod inspect;
pub(crate) mod keygen;
pub(crate) mod listen;
pub(crate) mod load;
pub(crate) mod new;
pub(crate) mod pack;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod quarantine;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod test;
pub(crate) mod verify;

use std::future::Future;

use anyhow::{Context, Result};

/// Runs async work on every core.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Plugins run on these threads, with up to a mebibyte of stack of their own.
        .thread_stack_size(4 << 20)
        .build()
        .context("cannot start the async runtime")?
        .block_on(work)
}
