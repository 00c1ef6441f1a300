//! What was hot in the process before this one is loaded while this one begins to serve.

use std::path::PathBuf;
use std::time::Duration;

use tidegate_app::settings::Settings;
use tidegate_cache::{HotKeys, TieredCache, WarmUp, WarmUpHandle, WarmUpProgress, WarmUpState};
use tokio_util::sync::CancellationToken;

/// How often the list of hot keys is written: what a killed process knew is as old at most.
const PERIOD: Duration = Duration::from_secs(60);

/// The warm-up of this process, and the list of hot keys that it keeps for the next one.
#[derive(Debug, Clone)]
pub(crate) struct Warming {
    cache: TieredCache,
    path: PathBuf,
    most: usize,
    run: WarmUpHandle,
}

impl Warming {
    /// Begins to load the keys of the list behind the caller, as `warm_up` knows how; none where the settings ask for none.
    ///
    /// A list that can't be read is told in the log, and the process starts cold.
    pub(crate) async fn start(settings: &Settings, cache: &TieredCache, warm_up: WarmUp) -> Option<Self> {
        let (path, most) = (settings.hot_keys_path(), settings.warm_up.keys);
        if most == 0 {
            return None;
        }
        let keys = HotKeys::load(&path).await.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "the list of hot keys can't be read: the cache starts cold");
            HotKeys::default()
        });
        let run = warm_up.concurrency(settings.warm_up.concurrency).start(keys.first(most));
        Some(Self { cache: cache.clone(), path, most, run })
    }

    /// How far it has come.
    pub(crate) fn progress(&self) -> WarmUpProgress {
        self.run.progress()
    }

    /// Writes the list every minute until `stop`.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        let done = self.run.wait().await;
        tracing::info!(loaded = done.loaded, failed = done.failed, of = done.total, "the cache is warm");
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            self.save().await;
        }
    }

    /// Writes the list, unless this process is not warm itself and knows less than the list.
    pub(crate) async fn save(&self) {
        if self.progress().state == WarmUpState::Running {
            return;
        }
        let keys = self.cache.hot_keys(self.most);
        if keys.is_empty() {
            return;
        }
        if let Err(error) = keys.save(&self.path).await {
            tracing::warn!(%error, path = %self.path.display(), "the list of hot keys can't be written");
        }
    }
}
