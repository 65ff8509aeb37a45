//! `yagura listen`: syslog from sockets, as raw objects.

use std::io;
use std::path::PathBuf;

use anyhow::Result;
use yagura_service::listen::listen;

use super::block_on;
use crate::output::{Shown, Unfailing};
use crate::private::make_files_private;

/// Receive syslog over UDP, TCP and TLS as raw objects that a source collects
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Configuration file with [listen.NAME]
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

const AFTER_HELP: &str = "\
`yagura serve` runs the listeners of its configuration too. Use this command to receive on another host, or to go on receiving
while the service is upgraded. A message is safe when its object is in the store: every minute, or every 8 MiB. Syslog has no
acknowledgement, so SIGKILL loses what was received since. SIGTERM and Ctrl-C write it first. `yagura source status` shows the
counts. See docs/operators/syslog.md.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    make_files_private();
    block_on(listen(&arguments.config, Shown(Unfailing(io::stderr()))))?;
    Ok(0)
}
