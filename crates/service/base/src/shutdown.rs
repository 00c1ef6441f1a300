//! Signals: which end a process, and which has it look at its files again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that SIGTERM or SIGINT cancels. A second signal ends the process at once, as an impatient
/// operator expects. SIGHUP no longer ends it.
///
/// # Errors
///
/// When the system refuses to hand over signals.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Registered once, it never again ends the process: not while it starts, and not without files
    // to read again.
    drop(hangups()?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down: finishing what runs; a second signal ends it at once");
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

/// Receives each SIGHUP, by which operators announce changed files. From then on it no longer ends
/// the process.
///
/// # Errors
///
/// When the system refuses to hand over signals.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// The same for `files` that are also read at intervals. Warns if the system refuses.
pub fn hangups_or_warn(files: &'static str) -> Option<Signal> {
    let hangups = hangups();
    hangups
        .inspect_err(
            |error| tracing::warn!(%error, files, "SIGHUP can't be heard: files are looked at by the clock alone"),
        )
        .ok()
}

/// Returns at the next SIGHUP, and never where none can be heard.
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
