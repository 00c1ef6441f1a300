//! A limiter with its settings.

use std::sync::Arc;
use std::time::Duration;

use tidegate_node::node::Node;
use tidegate_ratelimit::{Decision, Limiter, LimiterStats, Quota, Shadow};
use tidegate_settings::{LimitMode, LimitSettings, ListSettings};

use super::adjusting::{self, Adjustable};

type Stats = Arc<dyn Fn() -> LimiterStats + Send + Sync>;
/// Returns the refusal of a key that this process knows without a request to Redis.
type Remembered = Box<dyn Fn(&str) -> Option<Decision> + Send + Sync>;

/// A limiter with its name and its quota.
pub struct Named {
    name: &'static str,
    limiter: Arc<dyn Limiter>,
    stats: Stats,
    remembered: Option<Remembered>,
    algorithm: &'static str,
    settings: LimitSettings,
    lists: ListSettings,
    /// The part of its quota that applies, if advice may change it.
    adjustable: Option<Arc<Adjustable>>,
}

impl Named {
    /// Wraps a limiter in the mode from the settings.
    pub(super) fn new(
        name: &'static str,
        limiter: impl Limiter + 'static,
        algorithm: &'static str,
        settings: LimitSettings,
    ) -> Self {
        let (limiter, stats): (Arc<dyn Limiter>, Stats) = match settings.mode {
            LimitMode::Shadow => {
                let shadow = Arc::new(Shadow::new(limiter));
                let told = Arc::clone(&shadow);
                (shadow, Arc::new(move || told.report()))
            }
            LimitMode::On | LimitMode::Off => {
                let limiter = Arc::new(limiter);
                let told = Arc::clone(&limiter);
                (limiter, Arc::new(move || told.stats()))
            }
        };
        let lists = ListSettings::default();
        Self { name, limiter, stats, remembered: None, algorithm, settings, lists, adjustable: None }
    }

    /// Lets the node's advice lower its quota, within bounds.
    pub(super) fn be_adjustable(&mut self, node: &Node) {
        let quota = adjusting::adjustable(Arc::clone(&self.limiter));
        adjusting::follow(&quota, node);
        self.adjustable = Some(quota);
    }

    /// Sets the lookup of refusals that are known without a check.
    pub(super) fn remembering(mut self, remembered: impl Fn(&str) -> Option<Decision> + Send + Sync + 'static) -> Self {
        self.remembered = Some(Box::new(remembered));
        self
    }

    /// Sets the lists that are checked before it, for display.
    pub(super) fn listing(mut self, lists: ListSettings) -> Self {
        self.lists = lists;
        self
    }

    /// The name in settings, metrics and answers.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The limiter. It decides even if it is off: the caller checks [`mode`](Self::mode).
    pub fn limiter(&self) -> &Arc<dyn Limiter> {
        &self.limiter
    }

    /// The limiter to change the quota of: this one, or the one that applies a part of the quota.
    pub(super) fn quota_holder(&self) -> Arc<dyn Limiter> {
        match &self.adjustable {
            Some(quota) => Arc::clone(quota) as Arc<dyn Limiter>,
            None => Arc::clone(&self.limiter),
        }
    }

    /// The quota in force. Advice may have lowered the one that [applies](Self::applied_quota).
    pub fn quota(&self) -> Quota {
        self.quota_holder().quota()
    }

    /// The quota by which this process decides now.
    pub fn applied_quota(&self) -> Quota {
        self.limiter.quota()
    }

    /// The refusal of one request of `key`, if it is obeyed and known here. It counts as a
    /// decision.
    pub fn remembered(&self, key: &str) -> Option<Decision> {
        let remembered = self.remembered.as_ref().filter(|_| self.mode() == LimitMode::On)?;
        remembered(key).filter(|decision| !decision.is_allowed())
    }

    /// Its decisions. On trial, those that it would have made.
    pub fn stats(&self) -> LimiterStats {
        (self.stats)()
    }

    /// Returns the same as a function.
    pub(super) fn watch(&self) -> impl Fn() -> LimiterStats + Send + Sync + use<> {
        let stats = Arc::clone(&self.stats);
        move || stats()
    }

    /// The name of its algorithm.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// Returns the quota from its settings.
    pub fn own_quota(&self) -> Quota {
        self.settings.quota
    }

    /// Returns the first block of a key that exceeds the quota. Zero for none.
    pub fn block(&self) -> Duration {
        self.settings.block
    }

    pub(super) fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// The keys that it never counts, and those that it always refuses.
    pub fn lists(&self) -> &ListSettings {
        &self.lists
    }

    /// Returns whether it is active.
    pub fn mode(&self) -> LimitMode {
        self.settings.mode
    }
}
