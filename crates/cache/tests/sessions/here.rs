//! One process: sessions that live, sessions that end, and stores that share none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_cache::{CacheSessions, Event, Observer, TieredCache, TtlClass};
use tower_sessions_core::session::{Expiry, Id, Record};
use tower_sessions_core::{Session, SessionStore};

use crate::{clock, record, store};

#[tokio::test]
async fn each_id_has_its_own_session_and_an_unknown_id_has_none() {
    let (store, clock, _) = store();
    let (mut ann, mut bob) = (record(&clock, 1, 60), record(&clock, 2, 60));
    store.create(&mut ann).await.unwrap();
    store.create(&mut bob).await.unwrap();
    assert_eq!(store.load(&ann.id).await.unwrap(), Some(ann.clone()));
    assert_eq!(store.load(&bob.id).await.unwrap(), Some(bob));
    assert_eq!(store.load(&Id(ann.id.0 ^ 1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_ends_at_its_expiry_and_not_with_its_class() {
    let (store, clock, _) = store();
    for seconds in [1, 60, 30 * 24 * 3600] {
        let mut session = record(&clock, 1, seconds);
        store.create(&mut session).await.unwrap();
        clock.advance(Duration::from_secs(seconds.unsigned_abs() - 1));
        assert!(store.load(&session.id).await.unwrap().is_some(), "{seconds}");
        clock.advance(Duration::from_secs(1));
        assert!(store.load(&session.id).await.unwrap().is_none(), "{seconds}");
    }
    let mut over = record(&clock, 1, -1);
    store.create(&mut over).await.unwrap();
    assert!(store.load(&over.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_grace_of_the_class_prolongs_no_session() {
    let clock = clock();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let class = TtlClass::SESSION.grace(Duration::from_secs(600));
    let store = CacheSessions::in_class(&cache, class);
    let mut session = record(&clock, 1, 60);
    store.create(&mut session).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert!(store.load(&session.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_deleted_session_is_not_revived_by_a_request_that_had_it() {
    let (store, clock, _) = store();
    let mut session = record(&clock, 1, 600);
    store.create(&mut session).await.unwrap();
    store.delete(&session.id).await.unwrap();
    store.save(&session).await.unwrap();
    assert!(store.load(&session.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_live_id_is_never_given_twice() {
    let (store, clock, _) = store();
    let mut first = record(&clock, 1, 60);
    store.create(&mut first).await.unwrap();
    let mut second = Record { id: first.id, ..record(&clock, 2, 60) };
    store.create(&mut second).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(store.load(&first.id).await.unwrap(), Some(first));
}

#[tokio::test]
async fn the_later_save_wins_as_a_whole() {
    let (store, clock, _) = store();
    let mut session = record(&clock, 1, 60);
    store.create(&mut session).await.unwrap();
    let (mut one, mut two) = (session.clone(), session.clone());
    one.data.insert("a".to_owned(), 1.into());
    two.data.insert("b".to_owned(), 2.into());
    store.save(&one).await.unwrap();
    store.save(&two).await.unwrap();
    assert_eq!(store.load(&session.id).await.unwrap(), Some(two));
}

#[tokio::test]
async fn stores_of_two_names_share_nothing() {
    let (store, clock, cache) = store();
    let other = CacheSessions::new(&cache).named("admin");
    let mut session = record(&clock, 1, 60);
    store.create(&mut session).await.unwrap();
    assert!(other.load(&session.id).await.unwrap().is_none());
    other.delete(&session.id).await.unwrap();
    assert!(store.load(&session.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_change_of_the_id_keeps_the_session() {
    // `Expiry::OnInactivity` counts from the system's time.
    let store = Arc::new(CacheSessions::new(&TieredCache::builder().build()));
    let session = Session::new(None, store.clone(), Some(Expiry::OnInactivity(time::Duration::minutes(5))));
    session.insert("user", 7).await.unwrap();
    session.save().await.unwrap();
    let before = session.id().unwrap();
    session.cycle_id().await.unwrap();
    session.save().await.unwrap();
    assert!(store.load(&before).await.unwrap().is_none());
    assert_eq!(Session::new(session.id(), store, None).get::<u32>("user").await.unwrap(), Some(7));
}

#[derive(Default)]
struct Listener(Mutex<String>);

impl Observer for Listener {
    fn on(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push_str(&format!("{event:?}\n"));
    }
}

#[tokio::test]
async fn no_event_names_an_id() {
    let listener = Arc::new(Listener::default());
    let cache = TieredCache::builder().observer(listener.clone()).build();
    let store = CacheSessions::new(&cache);
    let mut session = record(&clock(), 1, 1_000_000_000);
    store.create(&mut session).await.unwrap();
    store.load(&session.id).await.unwrap();
    store.load(&Id(session.id.0 ^ 1)).await.unwrap();
    store.delete(&session.id).await.unwrap();
    cache.clear().await.unwrap();
    let heard = listener.0.lock().unwrap().clone();
    assert!(heard.contains("Loaded"), "{heard}");
    for name in [session.id.to_string(), session.id.0.to_string(), format!("{:x}", session.id.0)] {
        assert!(!heard.contains(&name), "{heard}");
    }
    assert!(!format!("{store:?}").contains(&session.id.to_string()));
}
