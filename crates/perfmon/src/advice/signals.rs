//! What happened in a minute.

/// The figures of caches, queues, limiters, the API and its queries in one minute. A figure that is
/// not measured stays empty, and no rule uses it.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Signals {
    /// Which minute.
    pub minute: u64,
    /// One a cache.
    pub caches: Vec<CacheSignals>,
    /// The API as a whole.
    pub api: Option<ApiSignals>,
    /// One a queue.
    pub queues: Vec<QueueSignals>,
    /// One a limiter.
    pub limiters: Vec<LimiterSignals>,
    /// Statements; ideally those with the largest total time and those that were repeated most in
    /// one request.
    pub queries: Vec<QuerySignals>,
}

impl Signals {
    /// Creates a minute without data.
    pub fn new(minute: u64) -> Self {
        Self { minute, ..Self::default() }
    }

    /// The cache of that name.
    pub fn cache(&self, name: &str) -> Option<&CacheSignals> {
        self.caches.iter().find(|cache| cache.name == name)
    }

    /// The queue of that name.
    pub fn queue(&self, name: &str) -> Option<&QueueSignals> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// The limiter of that name.
    pub fn limiter(&self, name: &str) -> Option<&LimiterSignals> {
        self.limiters.iter().find(|limiter| limiter.name == name)
    }
}

/// A cache, or a tier of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheSignals {
    /// Its name, and behind `cache:` that of the actuator that sets its capacity.
    pub name: String,
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that didn't.
    pub misses: u64,
    /// Entries that left for want of room.
    pub evictions: u64,
    /// Entries that left because their time was over.
    pub expiries: u64,
}

impl CacheSignals {
    /// One that did nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// All that were asked.
    pub fn lookups(&self) -> u64 {
        self.hits.saturating_add(self.misses)
    }
}

/// The API as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ApiSignals {
    /// Requests that ended.
    pub requests: u64,
    /// Requests that failed because of the service.
    pub errors: u64,
    /// In seconds; `None` where nothing ended.
    pub p99: Option<f64>,
    /// Requests under way, the mean of the minute or its last.
    pub in_flight: Option<f64>,
}

/// A queue and its workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueSignals {
    /// Its name, and behind `workers:` that of the actuator that sets their concurrency.
    pub name: String,
    /// Runs that ended, whatever their outcome.
    pub runs: u64,
    /// Runs that were not a job's first.
    pub retries: u64,
    /// Runs that failed.
    pub failures: u64,
    /// How long jobs were ready before they ran, in seconds: the mean. `None` where nothing ran.
    pub wait: Option<f64>,
    /// How long they ran, in seconds: the mean.
    pub service: Option<f64>,
}

impl QueueSignals {
    /// One that did nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A rate limiter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LimiterSignals {
    /// Its name, and behind `limit:` that of the actuator that sets its rate.
    pub name: String,
    /// Charges that fitted.
    pub allowed: u64,
    /// Charges that were refused.
    pub denied: u64,
    /// Share of the refused charges that the key with the most has, between 0 and 1; `None` if
    /// unknown.
    pub largest_share: Option<f64>,
    /// Whether only people may change its rate: then no advice names an actuator for it.
    pub is_fixed: bool,
}

impl LimiterSignals {
    /// One that decided nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A statement by its shape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuerySignals {
    /// Its text without values.
    pub fingerprint: String,
    /// How often it ran.
    pub calls: u64,
    /// How long that took in all, in seconds.
    pub total: f64,
    /// The most that it ran in one request.
    pub most_in_a_request: u64,
    /// In how many requests it ran more often than the limit.
    pub repeated_in: u64,
}

impl QuerySignals {
    /// One that didn't run.
    pub fn new(fingerprint: impl Into<String>) -> Self {
        Self { fingerprint: fingerprint.into(), ..Self::default() }
    }
}
