//! Allow and deny lists.

use tidegate_ratelimit::{
    BlockPolicy, CheckError, Exempt, FixedWindow, KeyLists, Limiter, Listed, MAX_KEY_BYTES, ManualClock, MemoryLimiter,
    Quota, Verdict,
};

use crate::support::now;

fn key(name: &str) -> Listed {
    Listed::Key(name.to_owned())
}

fn exempt() -> Exempt<MemoryLimiter<FixedWindow>> {
    let algorithm = FixedWindow::new(Quota::per_minute(2).unwrap());
    Exempt::new(MemoryLimiter::builder("api", algorithm).clock(ManualClock::default()).build(), KeyLists::new())
}

#[test]
fn lists_decide_before_the_limiter_and_deny_wins() {
    let limiter = exempt();
    let lists = limiter.lists().clone();
    assert!(lists.allow(&key("friend")) && !lists.allow(&key("friend")));
    assert!(lists.deny(&key("foe")));
    for _ in 0..10 {
        let allowed = now(limiter.check("friend", 1_000)).unwrap();
        assert_eq!((allowed.is_allowed(), allowed.remaining()), (true, 2));
        let denied = now(limiter.check("foe", 0)).unwrap();
        assert_eq!((denied.is_allowed(), denied.blocked_for()), (false, Some(BlockPolicy::MAX)));
        assert!(now(limiter.peek("friend", 3)).unwrap().is_allowed());
    }
    assert_eq!((limiter.stats().allowed, limiter.stats().denied, limiter.stats().tracked_keys), (10, 10, 0));
    assert!(now(limiter.penalty("friend", 5)).unwrap().is_allowed());
    lists.deny(&key("friend"));
    assert!(!now(limiter.check("friend", 1)).unwrap().is_allowed());
    assert!(lists.remove(&key("friend")) && !lists.remove(&key("friend")));
    assert_eq!(now(limiter.check("friend", 1)).unwrap().remaining(), 1, "nothing was charged meanwhile");
    lists.replace([key("foe")], []);
    assert!(now(limiter.check("foe", 9)).unwrap().is_allowed());
    assert_eq!((lists.allowed(), lists.denied()), (vec![key("foe")], vec![]));
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    lists.allow(&key(&long));
    assert!(matches!(now(limiter.check(&long, 1)), Err(CheckError::KeyTooLong { .. })));
}

#[cfg(feature = "tower")]
#[test]
fn networks_name_addresses_and_prefixes() {
    let network = |text: &str| Listed::Network(text.parse().unwrap());
    let lists = KeyLists::new();
    lists.allow(&network("10.0.0.0/8"));
    // Host bits are ignored.
    lists.deny(&network("10.6.6.6/16"));
    lists.deny(&network("2001:db8::/32"));
    for (key, verdict) in [
        ("10.1.2.3", Some(Verdict::Allow)),
        ("::ffff:10.1.2.3", Some(Verdict::Allow)),
        ("10.6.1.1", Some(Verdict::Deny)),
        ("11.0.0.1", None),
        ("2001:db8:1::1", Some(Verdict::Deny)),
        ("2001:db8:1::/64", Some(Verdict::Deny)),
        // If the key is a network, it is denied if any part is, and allowed only if the whole is.
        ("2001::/16", Some(Verdict::Deny)),
        ("10.0.0.0/7", Some(Verdict::Deny)),
        ("12.0.0.0/7", None),
        ("user-10.1.2.3", None),
        ("", None),
    ] {
        assert_eq!(lists.verdict(key), verdict, "{key}");
    }
    assert!(lists.remove(&network("10.6.0.0/16")));
    assert_eq!(lists.verdict("10.6.1.1"), Some(Verdict::Allow));
}

#[cfg(feature = "tower")]
#[test]
fn a_mapped_network_is_the_ipv4_one() {
    let network = |text: &str| Listed::Network(text.parse().unwrap());
    let lists = KeyLists::new();
    assert!(lists.deny(&network("::ffff:203.0.113.0/120")));
    assert!(!lists.deny(&network("203.0.113.0/24")), "it is there already");
    for key in ["203.0.113.7", "::ffff:203.0.113.7", "203.0.113.128/25", "::ffff:203.0.113.128/121"] {
        assert_eq!(lists.verdict(key), Some(Verdict::Deny), "{key}");
    }
    assert_eq!(lists.verdict("203.0.114.7"), None);
    assert_eq!(lists.denied(), [network("203.0.113.0/24")]);
    assert!(lists.remove(&network("::ffff:203.0.113.9/120")));
    assert_eq!(lists.verdict("203.0.113.7"), None);
}

#[cfg(feature = "tower")]
#[test]
fn a_network_narrower_than_the_key_denies_it_and_does_not_allow_it() {
    let network = |text: &str| Listed::Network(text.parse().unwrap());
    let lists = KeyLists::new();
    lists.allow(&network("2001:db8::1/128"));
    assert_eq!(lists.verdict("2001:db8::/64"), None, "its neighbours would pass with it");
    lists.deny(&network("2001:db8::1/128"));
    assert_eq!(lists.verdict("2001:db8::/64"), Some(Verdict::Deny));
    assert_eq!(lists.verdict("2001:db8:0:1::/64"), None);
    // A key with its own allow list entry is still refused within a denied network.
    lists.allow(&key("2001:db8::/64"));
    assert_eq!(lists.verdict("2001:db8::/64"), Some(Verdict::Deny));
}

/// Concurrent changes by several threads: none is lost.
#[test]
fn no_change_is_lost() {
    let lists = KeyLists::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let lists = &lists;
            scope.spawn(move || (0..100).for_each(|nth| assert!(lists.allow(&key(&format!("{thread}-{nth}"))))));
        }
    });
    assert_eq!(lists.allowed().len(), 400);
}
