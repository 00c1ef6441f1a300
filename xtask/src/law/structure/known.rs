//! Breaches that are older than the law. A number may only shrink.
//!
//! A new row needs a reason that all accept.

use super::rule::Rule::{self, CommentWidth, CrateLines, Cycle, FileLines};

/// A number beyond its rule's limit that stood when the rule came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Package directory or file, relative to the workspace.
    pub(super) place: &'static str,
    pub(super) rule: Rule,
    pub(super) number: usize,
}

const fn row(place: &'static str, rule: Rule, number: usize) -> Known {
    Known { place, rule, number }
}

pub(super) const KNOWN: &[Known] = &[
    row("bins/api", Cycle, 106),
    row("bins/cli", Cycle, 27),
    row("crates/app", Cycle, 157),
    row("crates/cache", Cycle, 32),
    row("crates/load", Cycle, 16),
    row("crates/perfmon", Cycle, 53),
    row("crates/queue", Cycle, 61),
    row("crates/ratelimit", Cycle, 16),
    row("crates/redis", Cycle, 6),
    row("crates/sync", Cycle, 5),
    row("bins/api", CrateLines, 18),
    row("crates/app", CrateLines, 35),
    row("crates/cache", CrateLines, 21),
    row("crates/queue", CrateLines, 20),
    row("bins/api/src/access_log.rs", FileLines, 414),
    row("bins/api/src/pages/session.rs", FileLines, 439),
    row("bins/api/src/problem.rs", FileLines, 436),
    row("bins/api/src/routes/queues/operations.rs", FileLines, 562),
    row("bins/api/tests/e2e/numbers.rs", FileLines, 493),
    row("bins/api/tests/e2e/pages/browser.rs", FileLines, 506),
    row("bins/api/tests/e2e/processes.rs", FileLines, 438),
    row("bins/api/tests/e2e/start.rs", FileLines, 423),
    row("crates/app/src/node.rs", FileLines, 469),
    row("crates/app/src/serve.rs", FileLines, 506),
    row("crates/app/src/settings.rs", FileLines, 456),
    row("crates/app/src/settings/catalogue.rs", FileLines, 790),
    row("crates/app/src/settings/performance.rs", FileLines, 455),
    row("crates/app/src/settings/raw.rs", FileLines, 482),
    row("crates/app/src/store/alerts.rs", FileLines, 448),
    row("crates/app/src/store/coherence.rs", FileLines, 455),
    row("crates/app/src/store/coherence/listen.rs", FileLines, 406),
    row("crates/app/src/store/schedules.rs", FileLines, 566),
    row("crates/app/src/telemetry/alerts.rs", FileLines, 502),
    row("crates/app/src/telemetry/redis.rs", FileLines, 503),
    row("crates/cache/src/l2/batch.rs", FileLines, 418),
    row("crates/cache/src/typed.rs", FileLines, 491),
    row("crates/cache/tests/http/collapsing.rs", FileLines, 416),
    row("crates/cache/tests/l2/batches.rs", FileLines, 497),
    row("crates/cache/tests/lifetimes.rs", FileLines, 444),
    row("crates/cache/tests/model.rs", FileLines, 467),
    row("crates/perfmon/src/mask/pair.rs", FileLines, 491),
    row("crates/perfmon/tests/actions.rs", FileLines, 421),
    row("crates/perfmon/tests/advice.rs", FileLines, 449),
    row("crates/perfmon/tests/alerts.rs", FileLines, 413),
    row("crates/perfmon/tests/breach.rs", FileLines, 513),
    row("crates/perfmon/tests/layer.rs", FileLines, 464),
    row("crates/perfmon/tests/mask.rs", FileLines, 515),
    row("crates/queue/src/broker/memory/queue.rs", FileLines, 559),
    row("crates/queue/src/broker/redis/gather.rs", FileLines, 437),
    row("crates/queue/src/cron/schedule.rs", FileLines, 419),
    row("crates/queue/src/handler/failure.rs", FileLines, 622),
    row("crates/queue/tests/handlers.rs", FileLines, 911),
    row("crates/queue/tests/redis.rs", FileLines, 972),
    row("crates/queue/tests/worker.rs", FileLines, 638),
    row("crates/ratelimit/tests/redis/outage_promise.rs", FileLines, 459),
    row("crates/redis/src/shards.rs", FileLines, 435),
    row("xtask/src/prove/list.rs", FileLines, 679),
    row("benches", CommentWidth, 69),
    row("bins/api", CommentWidth, 275),
    row("bins/worker", CommentWidth, 4),
    row("crates/app", CommentWidth, 511),
    row("crates/cache", CommentWidth, 883),
    row("crates/load", CommentWidth, 6),
    row("crates/perfmon", CommentWidth, 484),
    row("crates/queue", CommentWidth, 468),
    row("crates/ratelimit", CommentWidth, 653),
    row("crates/redis", CommentWidth, 153),
    row("crates/sync", CommentWidth, 100),
    row("crates/testkit", CommentWidth, 78),
    row("examples", CommentWidth, 1),
    row("xtask", CommentWidth, 18),
];
