//! Sessions of `tower-sessions` in the cache.

#![cfg(feature = "sessions")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tidegate_cache::{CacheSessions, Clock, Event, ManualClock, Observer, TieredCache, TtlClass};
use time::OffsetDateTime;
use tower_sessions_core::session::{Expiry, Id, Record};
use tower_sessions_core::{Session, SessionStore};

fn wall(clock: &ManualClock) -> impl Fn() -> SystemTime + Send + Sync + use<> {
    let clock = clock.clone();
    move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + clock.now()
}

fn store() -> (CacheSessions, ManualClock, TieredCache) {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    (CacheSessions::new(&cache).now(wall(&clock)), clock, cache)
}

fn record(clock: &ManualClock, user: u32, seconds: i64) -> Record {
    let expiry_date = OffsetDateTime::from(wall(clock)()) + time::Duration::seconds(seconds);
    Record { id: Id::default(), data: [("user".to_owned(), user.into())].into(), expiry_date }
}

#[tokio::test]
async fn each_id_has_its_own_session_and_a_strange_one_none() {
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
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let class = TtlClass::SESSION.grace(Duration::from_secs(600));
    let store = CacheSessions::in_class(&cache, class).now(wall(&clock));
    let mut session = record(&clock, 1, 60);
    store.create(&mut session).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert!(store.load(&session.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_deleted_session_is_not_brought_back_by_a_request_that_had_it() {
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
    let other = CacheSessions::new(&cache).named("admin").now(wall(&clock));
    let mut session = record(&clock, 1, 60);
    store.create(&mut session).await.unwrap();
    assert!(other.load(&session.id).await.unwrap().is_none());
    other.delete(&session.id).await.unwrap();
    assert!(store.load(&session.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_change_of_the_id_takes_the_session_along() {
    let clock = ManualClock::new();
    let store = Arc::new(CacheSessions::new(&TieredCache::builder().clock(clock.clone()).build()));
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
    let mut session = record(&ManualClock::new(), 1, 1_000_000_000);
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

#[cfg(feature = "redis")]
mod shared {
    use tidegate_cache::RedisTier;
    use tidegate_redis::{Client, Command, Config, Keyspace, Role};
    use tidegate_testkit::poll_until;
    use tidegate_testkit::redis::RedisServer;

    use tower_sessions_core::session_store::Error;

    use super::*;

    async fn node(url: &str, clock: &ManualClock) -> (CacheSessions, TieredCache, Client) {
        node_at(url, clock, "5s").await
    }

    async fn node_at(url: &str, clock: &ManualClock, timeout: &str) -> (CacheSessions, TieredCache, Client) {
        let config = Config::parse(&format!("{url}?timeout={timeout}")).unwrap();
        let client = Client::connect(&config, Role::Cache).await.unwrap();
        let l2 = RedisTier::new(client.clone(), &Keyspace::new("tg").unwrap());
        let cache = TieredCache::builder().clock(clock.clone()).l2(l2).build();
        (CacheSessions::new(&cache).now(wall(clock)), cache, client)
    }

    #[tokio::test]
    async fn a_session_is_known_to_every_process_and_ends_in_all() {
        let server = RedisServer::start().await;
        let clock = ManualClock::new();
        let (a, _, client) = node(&server.url(), &clock).await;
        let (b, cache, _) = node(&server.url(), &clock).await;
        let soon = Duration::from_secs(20);
        poll_until(soon, async || cache.stats().tiers[1].is_followed.then_some(())).await.unwrap();

        let mut session = record(&clock, 1, 600);
        a.create(&mut session).await.unwrap();
        assert_eq!(b.load(&session.id).await.unwrap(), Some(session.clone()));

        let id = session.id.to_string();
        let keys = client.execute(Command::new("KEYS").arg("*")).await.unwrap().into_array().unwrap();
        for key in keys {
            let key = key.into_text().unwrap();
            assert!(!key.contains(&id));
            if let Ok(value) = client.execute(Command::new("GET").key(key.as_str())).await
                && let Ok(bytes) = value.into_bytes()
            {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert!(!text.contains(&id) && !text.contains(&session.id.0.to_string()), "{key}: {text}");
            }
        }

        a.delete(&session.id).await.unwrap();
        poll_until(soon, async || b.load(&session.id).await.unwrap().is_none().then_some(())).await.unwrap();
        b.save(&session).await.unwrap();
        assert!(a.load(&session.id).await.unwrap().is_none());
        // Another process that starts afterwards knows no more of it.
        let (c, ..) = node(&server.url(), &clock).await;
        assert!(c.load(&session.id).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_redis_that_hangs_logs_nobody_out() {
        let mut server = RedisServer::start().await;
        let clock = ManualClock::new();
        let (a, _, _) = node_at(&server.url(), &clock, "250ms").await;
        let (b, cache, _) = node_at(&server.url(), &clock, "250ms").await;
        let (mut ann, mut bob) = (record(&clock, 1, 600), record(&clock, 2, 600));
        a.create(&mut ann).await.unwrap();
        a.create(&mut bob).await.unwrap();

        server.hang().await;
        assert!(matches!(b.load(&ann.id).await, Err(Error::Backend(_))), "it may be there");
        let changed = Record { data: [("user".to_owned(), 3.into())].into(), ..ann.clone() };
        assert!(matches!(b.save(&changed).await, Err(Error::Backend(_))));
        // An end is owed.
        assert!(matches!(b.delete(&bob.id).await, Err(Error::Backend(_))));
        assert_eq!((b.load(&bob.id).await.unwrap(), cache.owed()), (None, Some(1)));
        assert!(matches!(b.load(&ann.id).await, Err(Error::Backend(_))), "what it owes may be of this one");
        server.resume();

        let soon = Duration::from_secs(20);
        let found = poll_until(soon, async || b.load(&ann.id).await.ok()).await.unwrap().unwrap();
        assert!(found == ann || found == changed, "{found:?}");
        poll_until(soon, async || (cache.owed() == Some(0)).then_some(())).await.unwrap();
        let (c, ..) = node(&server.url(), &clock).await;
        assert_eq!(c.load(&bob.id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_session_that_ends_in_one_process_is_not_saved_again_by_another() {
        let server = RedisServer::start().await;
        let clock = ManualClock::new();
        let (a, ..) = node(&server.url(), &clock).await;
        let (b, ..) = node(&server.url(), &clock).await;
        let mut ids = Vec::new();
        for _ in 0..100 {
            let mut session = record(&clock, 1, 600);
            a.create(&mut session).await.unwrap();
            assert!(b.load(&session.id).await.unwrap().is_some());
            // B has it in L1, and saves it while A deletes it or right after.
            let (ended, saved) = tokio::join!(a.delete(&session.id), b.save(&session));
            ended.and(saved).unwrap();
            ids.push(session.id);
        }
        let (c, ..) = node(&server.url(), &clock).await;
        for id in ids {
            assert_eq!(c.load(&id).await.unwrap(), None);
        }
    }
}
