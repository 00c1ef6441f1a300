//! Loads the hot keys of the previous process at the start, and again if an operator asks for it.

mod hot_list;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_cache::{
    HotKeys, RedisSnapshot, TieredCache, TtlClass, WarmUp, WarmUpHandle, WarmUpProgress, WarmUpState,
};
use tidegate_model::{cache_classes, cache_keys};
use tidegate_node::node::Node;
use tidegate_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use self::hot_list::HotList;
use crate::page;
use crate::tenants;

/// Interval at which the list of hot keys is written. It is the maximum age of the list after a
/// kill.
const PERIOD: Duration = Duration::from_secs(60);

/// Classes that a warm-up on demand can load: all of the application's classes, since each has a
/// loader.
pub const CLASSES: [&str; 4] =
    [cache_classes::SCHEDULE.name(), tenants::CLASS, TtlClass::SESSION.name(), cache_classes::PREFERENCES.name()];

/// The warm-ups of this process, and the list of hot keys for the next one. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Warming(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    cache: TieredCache,
    loaders: WarmUp,
    kept: Option<HotKeyList>,
    /// The latest warm-up. `None` before the first.
    run: Mutex<Option<WarmUpHandle>>,
}

/// The list of hot keys, if the settings enable it.
#[derive(Debug)]
struct HotKeyList {
    path: PathBuf,
    /// The list that all processes share; `None` without Redis.
    shared: Option<RedisSnapshot>,
    most: usize,
    /// The list at the start, hottest first.
    found: HotKeys,
    at_start: WarmUpHandle,
}

/// Why no warm-up was begun.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// A warm-up is in progress.
    #[error("a warm-up is in progress: {} of {} keys were processed", .0.done(), .0.total)]
    Running(WarmUpProgress),
    /// The keys to load are not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Warming {
    /// Begins to load the keys of the list in the background, by `warm_up`, unless the settings
    /// forbid it.
    ///
    /// A list that can't be read is logged, and the process starts cold.
    pub async fn start(node: &Node, warm_up: WarmUp) -> Self {
        let (settings, cache) = (&node.settings, &node.cache);
        let loaders = warm_up.concurrency(settings.warm_up.concurrency);
        let most = settings.warm_up.keys;
        let mut kept = None;
        if most > 0 {
            let path = settings.hot_keys_path();
            let shared = node.redis().map(|redis| {
                let keyspace = redis.keyspace().within(node.store.installation());
                RedisSnapshot::new(redis.cache().clone(), &keyspace, "api")
            });
            let found = read(&path, shared.as_ref()).await.first(most);
            let at_start = loaders.start(found.clone());
            kept = Some(HotKeyList { path, shared, most, found, at_start });
        }
        let run = Mutex::new(kept.as_ref().map(|kept| kept.at_start.clone()));
        Self(Arc::new(Parts { cache: cache.clone(), loaders, kept, run }))
    }

    /// Returns the progress of the latest warm-up. `None` if there was none.
    pub fn progress(&self) -> Option<WarmUpProgress> {
        self.run().as_ref().map(WarmUpHandle::progress)
    }

    /// Begins another: the hottest keys of the list or, without one, the newest schedules with
    /// their tenants. Loads at most `limit` of them, of `class` if that is named.
    ///
    /// # Errors
    ///
    /// When one is under way, or the tables can't be read.
    pub async fn again(&self, store: &Store, class: Option<&str>, limit: usize) -> Result<WarmUpProgress, NotBegun> {
        refuse_if_running(self.run().as_ref())?;
        let mut wanted = match &self.0.kept {
            Some(kept) => read(&kept.path, kept.shared.as_ref()).await,
            None => HotKeys::default(),
        };
        if wanted.is_empty() {
            wanted = newest(store, limit).await?;
        }
        let mut keys = HotKeys::default();
        for hot in wanted.iter().filter(|hot| class.is_none_or(|class| hot.class == class)).take(limit) {
            keys.extend(HotKeys::of_class(&hot.class, [hot.key.clone()]));
        }
        let mut run = self.run();
        // Another request may have begun one meanwhile.
        refuse_if_running(run.as_ref())?;
        let begun = self.0.loaders.start(keys);
        let progress = begun.progress();
        *run = Some(begun);
        Ok(progress)
    }

    fn run(&self) -> MutexGuard<'_, Option<WarmUpHandle>> {
        self.0.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the list every minute until `stop`, and then a last time. It is the only writer.
    ///
    /// While the warm-up of the start runs, the list that it works on is the better one, and stays.
    pub async fn keep(self, stop: CancellationToken) {
        if let Some(kept) = &self.0.kept
            && let Some(done) = stop.run_until_cancelled(kept.at_start.wait()).await
        {
            tracing::info!(loaded = done.loaded, failed = done.failed, of = done.total, "the cache is warm");
            let mut list = HotList::new(kept.found.clone(), kept.most, hot_list::answered(&self.0.cache));
            while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
                self.save(kept, &mut list).await;
            }
            self.save(kept, &mut list).await;
        }
        stop.cancelled().await;
        if let Some(run) = &*self.run() {
            run.cancel();
        }
    }

    async fn save(&self, kept: &HotKeyList, list: &mut HotList) {
        let keys = list.update(self.0.cache.hot_keys(kept.most), hot_list::answered(&self.0.cache));
        if keys.is_empty() {
            return;
        }
        if let Err(error) = keys.save(&kept.path).await {
            tracing::warn!(%error, path = %kept.path.display(), "the list of hot keys can't be written");
        }
        if let Some(shared) = &kept.shared
            && let Err(error) = shared.save(keys).await
        {
            tracing::warn!(%error, "the list of hot keys on Redis can't be written");
        }
    }
}

/// The list of this data directory, or without one that of Redis. What can't be read is logged and
/// counts as empty.
async fn read(path: &Path, shared: Option<&RedisSnapshot>) -> HotKeys {
    let own = HotKeys::load(path).await.unwrap_or_else(|error| {
        tracing::warn!(%error, path = %path.display(), "the list of hot keys can't be read: the cache starts cold");
        HotKeys::default()
    });
    match shared {
        Some(shared) if own.is_empty() => shared.load().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the list of hot keys on Redis can't be read: the cache starts cold");
            HotKeys::default()
        }),
        _ => own,
    }
}

fn refuse_if_running(run: Option<&WarmUpHandle>) -> Result<(), NotBegun> {
    let running = run.map(WarmUpHandle::progress).filter(|seen| seen.state == WarmUpState::Running);
    running.map_or(Ok(()), |seen| Err(NotBegun::Running(seen)))
}

/// Keys of the newest schedules, each behind those of its tenant and of the tenant's first page.
async fn newest(store: &Store, schedules: usize) -> Result<HotKeys, StoreError> {
    let mut keys = HotKeys::default();
    let mut known = HashSet::new();
    for (tenant, id) in store.newest_schedules(schedules).await? {
        if known.insert(tenant.clone()) {
            let page = cache_keys::first_page(&tenant, page::DEFAULT);
            keys.extend(HotKeys::of_class(tenants::CLASS, [cache_keys::tenant(&tenant)]));
            keys.extend(HotKeys::of_class(cache_classes::SCHEDULE.name(), [page]));
        }
        keys.extend(HotKeys::of_class(cache_classes::SCHEDULE.name(), [cache_keys::schedule(&tenant, id)]));
    }
    Ok(keys)
}
