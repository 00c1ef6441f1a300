//! Several processes over one Redis, which may hang.

use std::time::Duration;

use tidegate_cache::{CacheSessions, ManualClock, RedisTier, TieredCache};
use tidegate_redis::{Client, Command, Config, Keyspace, Role};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Effect, Proxy, RedisServer, Relay};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::Record;
use tower_sessions_core::session_store::Error;

use crate::{clock, record};

/// No test waits longer for anything.
const SOON: Duration = Duration::from_secs(20);

async fn node(url: &str, clock: &ManualClock) -> (CacheSessions, TieredCache, Client) {
    node_at(url, clock, "5s").await
}

async fn node_at(url: &str, clock: &ManualClock, timeout: &str) -> (CacheSessions, TieredCache, Client) {
    let config = Config::parse(&format!("{url}?timeout={timeout}")).unwrap();
    let client = Client::connect(&config, Role::Cache).await.unwrap();
    let l2 = RedisTier::new(client.clone(), &Keyspace::new("tg").unwrap());
    let cache = TieredCache::builder().clock(clock.clone()).l2(l2).build();
    (CacheSessions::new(&cache), cache, client)
}

#[tokio::test]
async fn a_session_is_known_to_every_process_and_ends_in_all() {
    let server = RedisServer::start().await;
    let clock = clock();
    let (a, _, client) = node(&server.url(), &clock).await;
    let (b, cache, _) = node(&server.url(), &clock).await;

    poll_until(SOON, async || cache.stats().tiers[1].is_followed.then_some(())).await.unwrap();

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
    poll_until(SOON, async || b.load(&session.id).await.unwrap().is_none().then_some(())).await.unwrap();
    b.save(&session).await.unwrap();
    assert!(a.load(&session.id).await.unwrap().is_none());
    // Another process that starts afterwards does not know it either.
    let (c, ..) = node(&server.url(), &clock).await;
    assert!(c.load(&session.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_redis_that_hangs_logs_no_user_out() {
    let mut server = RedisServer::start().await;
    let clock = clock();
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

    let found = poll_until(SOON, async || b.load(&ann.id).await.ok()).await.unwrap().unwrap();
    assert!(found == ann || found == changed, "{found:?}");
    poll_until(SOON, async || (cache.owed() == Some(0)).then_some(())).await.unwrap();
    let (c, ..) = node(&server.url(), &clock).await;
    assert_eq!(c.load(&bob.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_that_ends_in_one_process_is_not_saved_again_by_another() {
    let server = RedisServer::start().await;
    let clock = clock();
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

/// A session of which a request still holds a copy.
async fn live(store: &CacheSessions, clock: &ManualClock) -> Record {
    let mut session = record(clock, 1, 600);
    store.create(&mut session).await.unwrap();
    session
}

fn changed(session: &Record, user: u32) -> Record {
    Record { data: [("user".to_owned(), user.into())].into(), ..session.clone() }
}

#[tokio::test]
async fn an_end_that_reaches_redis_late_is_not_undone_by_a_save_elsewhere() {
    let mut server = RedisServer::start().await;
    let clock = clock();
    let (a, cache, _) = node_at(&server.url(), &clock, "250ms").await;
    let (b, other, _) = node(&server.url(), &clock).await;
    let session = live(&a, &clock).await;
    // A request on B has it.
    assert!(b.load(&session.id).await.unwrap().is_some());

    server.hang().await;
    assert!(matches!(a.delete(&session.id).await, Err(Error::Backend(_))));
    server.resume();
    poll_until(SOON, async || (cache.owed() == Some(0)).then_some(())).await.unwrap();
    poll_until(SOON, async || other.stats().tiers[1].is_available.then_some(())).await.unwrap();

    b.save(&session).await.unwrap();
    for store in [&a, &b] {
        assert_eq!(store.load(&session.id).await.unwrap(), None);
    }
    let (c, ..) = node(&server.url(), &clock).await;
    assert_eq!(c.load(&session.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_process_with_unsent_invalidations_can_end_a_session() {
    let mut server = RedisServer::start().await;
    let clock = clock();
    let (a, cache, _) = node_at(&server.url(), &clock, "250ms").await;
    let (b, ..) = node(&server.url(), &clock).await;
    let session = live(&a, &clock).await;
    assert!(b.load(&session.id).await.unwrap().is_some());

    server.hang().await;
    cache.clear().await.unwrap_err();
    server.resume();
    // Whether the clearing is still owed then or not.
    poll_until(SOON, async || a.delete(&session.id).await.ok()).await.unwrap();
    b.save(&session).await.unwrap();
    poll_until(SOON, async || (cache.owed() == Some(0)).then_some(())).await.unwrap();
    b.save(&session).await.unwrap();
    let (c, ..) = node(&server.url(), &clock).await;
    assert_eq!(c.load(&session.id).await.unwrap(), None);
}

/// At whichever point the caller of a save leaves, its process accepts no session that another one
/// has ended.
#[tokio::test]
async fn a_save_whose_caller_left_does_not_revive_an_ended_session() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let clock = clock();
    let (a, ..) = node(&server.url(), &clock).await;
    let (b, cache, _) = node(&proxy.url(), &clock).await;
    let b = std::sync::Arc::new(b);
    poll_until(SOON, async || cache.stats().tiers[1].is_followed.then_some(())).await.unwrap();
    for answered in 0..8 {
        let session = live(&a, &clock).await;
        proxy.hold();
        let saving = tokio::spawn({
            let (b, session) = (b.clone(), session.clone());
            async move { b.save(&session).await }
        });
        poll_until(SOON, async || (proxy.held() > 0).then_some(())).await.unwrap();
        a.delete(&session.id).await.unwrap();
        proxy.release(answered);
        poll_until(SOON, async || (proxy.held() > answered || saving.is_finished()).then_some(())).await.unwrap();
        saving.abort();
        let _ = saving.await;
        proxy.restore();
        poll_until(SOON, async || matches!(b.load(&session.id).await, Ok(None)).then_some(()))
            .await
            .unwrap_or_else(|error| panic!("after {answered} answers: {error:?}"));
    }
}

/// A connection that hangs may deliver a save long after its sender received an error.
#[tokio::test]
async fn a_save_that_comes_too_late_replaces_no_later_one() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let relay = Relay::start(proxy.port()).await;
    let clock = clock();
    let (a, ..) = node(&server.url(), &clock).await;
    let (b, ..) = node_at(&format!("redis://127.0.0.1:{}", relay.port()), &clock, "500ms").await;
    let session = live(&a, &clock).await;
    // So that the server knows the script, and B the session.
    b.save(&changed(&session, 2)).await.unwrap();
    assert!(b.load(&session.id).await.unwrap().is_some());

    proxy.hold();
    let early = changed(&session, 3);
    let (saved, ()) = tokio::join!(b.save(&early), async {
        poll_until(SOON, async || (proxy.held() >= 2).then_some(())).await.unwrap();
        relay.stop_requests();
        proxy.restore();
    });
    assert!(matches!(saved, Err(Error::Backend(_))));
    let later = changed(&session, 4);
    a.save(&later).await.unwrap();
    let before = scripts_run(&server).await;
    relay.go_on();
    poll_until(SOON, async || (scripts_run(&server).await > before).then_some(())).await.unwrap();
    let (c, ..) = node(&server.url(), &clock).await;
    assert_eq!(c.load(&session.id).await.unwrap(), Some(later));
}

async fn scripts_run(server: &RedisServer) -> u64 {
    let text = server.cli(&["INFO", "commandstats"]).await;
    let count =
        text.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok());
    count.unwrap_or_default()
}

/// Keys and their values of all sessions.
async fn stored(client: &Client) -> Vec<(String, Vec<u8>)> {
    let keys = client.execute(Command::new("KEYS").arg("tg:c:{session*")).await.unwrap().into_array().unwrap();
    let mut stored = Vec::new();
    for key in keys {
        let key = key.into_text().unwrap();
        let value = client.get(&key).await.unwrap().unwrap();
        stored.push((key, value.to_vec()));
    }
    stored
}

/// A save deletes the fence of a load and stores the session; so does an end.
#[tokio::test]
async fn an_acknowledged_end_of_a_session_survives_a_torn_save() {
    let server = RedisServer::start().await;
    let clock = clock();
    let (a, _, client) = node(&server.url(), &clock).await;
    let session = live(&a, &clock).await;
    let (key, _) = stored(&client).await.remove(0);
    let fence = key.replacen("tg:c:", "tg:cf:", 1);
    server.cli(&["SET", &fence, "0123456789abcdef", "PX", "120000"]).await;
    let is_of_cache = |effect: &Effect| effect.args().get(1).is_some_and(|key| key.starts_with(b"tg:c"));
    let since = |before: usize| server.effects_since(before).into_iter().filter(is_of_cache).collect::<Vec<_>>();
    let written = || server.append_only_file().effects().len();
    let base = since(0);
    let before = written();
    a.save(&changed(&session, 2)).await.unwrap();
    let saved = since(before);
    server.replay(&base).await;
    let before = written();
    a.delete(&session.id).await.unwrap();
    let ended = since(before);
    assert_eq!((saved.len(), ended.len()), (2, 2), "{saved:?}, {ended:?}");
    for prefix in 0..=2 {
        server.replay(&[&base, &saved[..prefix], &ended].concat()).await;
        let (b, ..) = node(&server.url(), &clock).await;
        assert_eq!(b.load(&session.id).await.unwrap(), None, "after {:?}", &saved[..prefix]);
        b.save(&session).await.unwrap();
        assert_eq!(b.load(&session.id).await.unwrap(), None, "after {:?}", &saved[..prefix]);
        // A torn end leaves a session that was saved behind it, or ends it.
        server.replay(&[&base, &ended[..prefix], &saved].concat()).await;
        let (b, ..) = node(&server.url(), &clock).await;
        assert_eq!(b.load(&session.id).await.unwrap(), Some(changed(&session, 2)), "after {:?}", &ended[..prefix]);
    }
}

#[tokio::test]
async fn a_full_server_saves_no_session_and_ends_them() {
    let server = RedisServer::start().await;
    let clock = clock();
    let (a, cache, client) = node(&server.url(), &clock).await;
    let (b, ..) = node(&server.url(), &clock).await;
    let session = live(&a, &clock).await;
    assert!(b.load(&session.id).await.unwrap().is_some());
    let before = stored(&client).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(matches!(a.save(&changed(&session, 2)).await, Err(Error::Backend(_))));
    assert!(matches!(a.create(&mut record(&clock, 3, 600)).await, Err(Error::Backend(_))));
    assert_eq!(stored(&client).await, before);
    // The mark of an end replaces the session.
    a.delete(&session.id).await.unwrap();
    assert_eq!((cache.owed(), stored(&client).await.len()), (Some(0), 1));
    b.save(&session).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let (c, ..) = node(&server.url(), &clock).await;
    assert_eq!(c.load(&session.id).await.unwrap(), None);
}
