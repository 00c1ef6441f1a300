//! The task of a warm-up.

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::handle::{WarmUpHandle, WarmUpProgress, WarmUpState};
use super::hot_keys::HotKeys;
use super::loaders::{WarmUp, Warmed};

pub(super) fn start(warm_up: WarmUp, keys: HotKeys, concurrency: usize) -> WarmUpHandle {
    let (sender, progress) = watch::channel(WarmUpProgress::new(keys.len()));
    let cancel = watch::Sender::new(false);
    let cancelled = cancel.subscribe();
    tokio::spawn(run(warm_up, keys, concurrency, sender, cancelled));
    WarmUpHandle { progress, cancel }
}

async fn run(
    warm_up: WarmUp,
    keys: HotKeys,
    concurrency: usize,
    progress: watch::Sender<WarmUpProgress>,
    mut cancelled: watch::Receiver<bool>,
) {
    let started = Instant::now();
    let warmed = stream::iter(keys.into_keys()).map(|hot| warm_up.warm(hot)).buffer_unordered(concurrency);
    let stopped = async move {
        // Without a handle, no caller can cancel any more.
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let mut warmed = std::pin::pin!(warmed.take_until(stopped));
    while let Some(one) = warmed.next().await {
        progress.send_modify(|seen| {
            seen.elapsed = started.elapsed();
            *match one {
                Warmed::Loaded => &mut seen.loaded,
                Warmed::Present => &mut seen.present,
                Warmed::Failed => &mut seen.failed,
                Warmed::Unknown => &mut seen.unknown,
            } += 1;
        });
    }
    progress.send_modify(|seen| {
        seen.elapsed = started.elapsed();
        seen.state = if seen.done() == seen.total { WarmUpState::Done } else { WarmUpState::Cancelled };
    });
}
