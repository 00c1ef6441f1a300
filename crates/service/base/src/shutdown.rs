//! Signals that end a process, and the one that makes it check its files again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that SIGTERM or SIGINT cancels. A second signal ends the process at once, as an
/// impatient operator expects. SIGHUP no longer ends the process.
///
/// # Errors
///
/// If the system cannot deliver signals.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // After the first registration SIGHUP never ends the process again, neither during the start
    // nor in a process that has no files to reload.
    drop(hangups()?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down: completing running work; a second signal ends the process at once");
        cancelled.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("ended by a second signal");
        end_at_once();
    });
    Ok(token)
}

/// Receives each SIGHUP, which operators send after they have changed files. From then on SIGHUP no
/// longer ends the process.
///
/// # Errors
///
/// If the system cannot deliver signals.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Like [`hangups`], for `files` that are also checked at intervals. Logs a warning if it fails.
pub fn hangups_or_warn(files: &'static str) -> Option<Signal> {
    let hangups = hangups();
    hangups
        .inspect_err(
            |error| tracing::warn!(%error, files, "SIGHUP can't be received: files are only checked at intervals"),
        )
        .ok()
}

/// Returns at the next SIGHUP. Never returns if signals cannot be received.
pub async fn hung_up(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

#[expect(clippy::exit, reason = "the operator asked twice; running jobs return after their lease")]
fn end_at_once() -> ! {
    std::process::exit(1)
}
