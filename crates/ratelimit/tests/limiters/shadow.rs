//! Limiters in shadow mode.

use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{BlockPolicy, FixedWindow, Limiter, ManualClock, MemoryLimiter, Quota, Shadow};

use crate::support::now;

fn limiter(name: &str, limit: u64) -> MemoryLimiter<FixedWindow> {
    let policy = BlockPolicy::fixed(Duration::from_hours(1)).escalate(BlockPolicy::MAX, Duration::from_hours(1));
    let algorithm = FixedWindow::new(Quota::per_minute(limit).unwrap());
    MemoryLimiter::builder(name, algorithm).block(policy).clock(ManualClock::default()).build()
}

#[test]
fn a_shadow_alone_refuses_nothing_and_reports() {
    let shadow = Shadow::new(limiter("trial", 3));
    for nth in 0..10_u64 {
        let decision = now(shadow.check("key", 1)).unwrap();
        assert_eq!((decision.is_allowed(), decision.remaining()), (true, 2_u64.saturating_sub(nth)));
    }
    assert!(now(shadow.check("key", 4)).unwrap().is_allowed(), "nor what can never fit");
    assert!(now(shadow.penalty("key", 4)).unwrap().is_allowed());
    now(shadow.block("banned", Duration::from_secs(1))).unwrap();
    assert!(now(shadow.check("banned", 1)).unwrap().is_allowed());
    let (report, stats) = (shadow.report(), shadow.stats());
    assert_eq!((report.allowed, report.denied, report.failed), (3, 8, 1));
    assert_eq!(report.top_denied[0], ("key".to_owned(), 7));
    assert_eq!((stats.allowed, stats.denied, stats.failed, stats.blocked_keys), (12, 0, 0, 0));
}

#[test]
fn beside_an_enforced_one_it_changes_nothing_and_is_charged_for_what_that_one_admits() {
    let (alone, enforced) = (limiter("api", 5), Arc::new(limiter("api", 5)));
    let both = Shadow::beside(enforced.clone(), limiter("trial", 4));
    for _ in 0..10 {
        assert_eq!(now(both.check("key", 1)), now(alone.check("key", 1)));
    }
    assert_eq!(both.stats(), alone.stats());
    let report = both.report();
    assert_eq!((report.allowed, report.denied), (4, 1), "five were admitted");
    // A shadow with a higher limit is never charged for refused requests.
    let wide = Shadow::beside(Arc::new(limiter("api", 2)), limiter("trial", 7));
    for _ in 0..10 {
        let _ = now(wide.check("key", 1)).unwrap();
    }
    assert_eq!((wide.report().allowed, wide.report().denied), (2, 0));
    assert_eq!(now(wide.shadow().peek("key", 0)).unwrap().remaining(), 5);

    // No block of the shadow affects the enforced limiter.
    assert!(now(both.unblock("key")).unwrap());
    assert!(now(both.shadow().peek("key", 0)).unwrap().blocked_for().is_some());
    assert!(now(both.reset("key")).unwrap());
    assert_eq!(now(both.shadow().peek("key", 0)).unwrap().remaining(), 4);
    both.set_quota(Quota::per_minute(9).unwrap()).unwrap();
    assert_eq!((both.quota().limit(), both.shadow().quota().limit(), both.name()), (9, 4, "api"));
}
