//! Signals to a service: end, or open the files again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

/// Returns when the process is asked to open its files again, by SIGHUP. The signal counts from now on.
pub(crate) fn asked_to_reopen() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let hangup = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).ok()
    };
    async move {
        #[cfg(unix)]
        if let Some(mut hangup) = hangup {
            hangup.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Notices that the process is asked to end, by SIGTERM or Ctrl-C, from the first moment on.
pub(crate) struct Stop {
    has_started: Arc<AtomicBool>,
    asked: oneshot::Receiver<()>,
}

impl Stop {
    /// Begins to watch. While the service starts, a signal ends the process at once: nothing was begun that it could not do again.
    pub(crate) fn watch() -> Self {
        let has_started = Arc::new(AtomicBool::new(false));
        let (sender, asked) = oneshot::channel();
        let signal = stopped();
        let flag = Arc::clone(&has_started);
        tokio::spawn(async move {
            signal.await;
            if !flag.load(Ordering::SeqCst) {
                // The start may be busy on its thread for long.
                let _ = writeln!(io::stderr(), "asked to end before the start was complete");
                std::process::exit(0);
            }
            let _ = sender.send(());
        });
        Self { has_started, asked }
    }

    /// Ends the start: from now on the caller ends the process.
    pub(crate) fn end_start(self) -> StopRequest {
        self.has_started.store(true, Ordering::SeqCst);
        StopRequest(StopState::Open(self.asked))
    }
}

/// Whether the process was asked to end, as often as one wants to know.
#[derive(Debug)]
pub(crate) struct StopRequest(StopState);

#[derive(Debug)]
enum StopState {
    Open(oneshot::Receiver<()>),
    Asked,
    /// Nobody will ask.
    Never,
}

impl StopRequest {
    /// Returns when the process is asked to end, at once where it was.
    pub(crate) async fn wait(&mut self) {
        if let StopState::Open(receiver) = &mut self.0 {
            self.0 = match receiver.await {
                Ok(()) => StopState::Asked,
                Err(_) => StopState::Never,
            };
        }
        if matches!(self.0, StopState::Never) {
            std::future::pending::<()>().await;
        }
    }

    /// Returns whether the process was asked to end.
    pub(crate) async fn is_asked(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.wait() => true,
            () = std::future::ready(()) => false,
        }
    }
}

/// Returns when the process is asked to end. The signals count from now on, not only when it is waited for.
fn stopped() -> impl Future<Output = ()> + Send + 'static {
    #[cfg(unix)]
    let terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).ok()
    };
    async move {
        #[cfg(unix)]
        if let Some(mut terminate) = terminate {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}
