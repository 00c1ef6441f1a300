//! Maintenance of the store, on a thread and runtime of its own: heartbeats, promotion, reclaim,
//! trimming, announcements.

mod heartbeat;
mod interval;
mod upkeep;

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::served::Served;
use super::shared::Shared;
use tidegate_queue_broker::WorkerInfo;

pub(super) use upkeep::PROMOTE_CHUNK;

/// The running thread. Dropping it stops the thread.
pub(crate) struct Maintenance {
    stop: DropGuard,
    ended: CancellationToken,
}

impl Maintenance {
    pub(crate) fn start(shared: Arc<Shared>, queues: Vec<Served>, info: WorkerInfo) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let stop = CancellationToken::new();
        let ended = CancellationToken::new();
        let (stopped, done) = (stop.clone(), ended.clone().drop_guard());
        std::thread::Builder::new().name("queue-heartbeat".to_owned()).spawn(move || {
            let _done = done;
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = heartbeat::run(&shared) => {}
                    () = upkeep::run(&shared, &queues, info) => {}
                }
            });
        })?;
        Ok(Self { stop: stop.drop_guard(), ended })
    }

    /// Waits until the thread has ended. It must not end by itself.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Stops the thread. Returns when it makes no more calls to the broker.
    pub(crate) async fn end(self) {
        drop(self.stop);
        self.ended.cancelled().await;
    }
}
