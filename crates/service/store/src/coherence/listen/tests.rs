//! Tests of the watch on a PostgreSQL server.

use tidegate_cache::TieredCache;
use tidegate_model::cache_keys;
use tidegate_model::tenant::ApiKey;
use tidegate_testkit::{PostgresServer, Relay, poll_until};

use super::*;
use crate::ground::{LONG, Process, TestDatabase, acme, settings, tenant};
use crate::{Purge, StoreError};

async fn on(url: &str) -> Process {
    Process::at(&TestDatabase::Server(Box::new(settings(url)))).await
}

async fn until_current(process: &Process, is_current: bool) {
    let reached = async || (process.coherence.is_current() == is_current).then_some(());
    poll_until(LONG, reached).await.unwrap();
}

async fn change(by: &Process) {
    let changed = by.store.change_plan(&acme(), |plan| Ok::<_, StoreError>(*plan)).await;
    assert!(changed.unwrap().is_some());
}

/// Two processes, the second behind a relay.
async fn two() -> (PostgresServer, Relay, Process, Process) {
    let server = PostgresServer::start_tcp(&[]).await;
    let relay = Relay::start(server.port()).await;
    let one = on(&server.url()).await;
    one.store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
    let url = server.url().replace(&server.port().to_string(), &relay.port().to_string());
    let other = on(&url).await;
    (server, relay, one, other)
}

#[tokio::test]
async fn only_data_that_another_process_changed_is_dropped() {
    let (_server, _relay, one, other) = two().await;
    for _ in 0..20 {
        other.remember().await;
        change(&one).await;
        poll_until(LONG, async || (!other.knows_tenant()).then_some(())).await.unwrap();
        assert!(other.knows_list(), "what was not touched stays");
    }
    assert!(other.coherence.is_watching());
    other.coherence.catch_up().await.unwrap();
    assert!(other.knows_list());

    let pattern = "schedules:acme:*".parse().unwrap();
    other.remember().await;
    one.store.purge(&Purge::Pattern(pattern, None)).await.unwrap();
    poll_until(LONG, async || (!other.knows_list()).then_some(())).await.unwrap();
    assert!(other.knows_tenant());
    // A process does not apply its own purge twice: values cached after it stay.
    other.store.purge(&Purge::All).await.unwrap();
    other.remember().await;
    one.store.purge(&Purge::Tags(vec![cache_keys::schedules_of(&acme())])).await.unwrap();
    poll_until(LONG, async || (!other.knows_list()).then_some(())).await.unwrap();
    assert!(other.knows_tenant());
}

#[tokio::test]
async fn a_lost_listener_serves_nothing_stale_and_is_built_anew() {
    let (server, relay, one, other) = two().await;
    other.remember().await;
    // No server listens on that port.
    let nowhere = tidegate_testkit::free_port();
    for lose in [Relay::reset, Relay::stop_replies] {
        relay.turn_to(nowhere);
        lose(&relay);
        until_current(&other, false).await;
        for _ in 0..3 {
            // Filled with values from before the commit, whose notification does not arrive.
            other.remember().await;
            change(&one).await;
            other.coherence.catch_up().await.unwrap();
            assert!(!other.knows_tenant() && !other.knows_list());
        }
        other.remember().await;
        change(&one).await;
        relay.turn_to(server.port());
        relay.go_on();
        until_current(&other, true).await;
        assert!(!other.knows_tenant(), "what was missed is in no cache");
        other.remember().await;
        other.coherence.catch_up().await.unwrap();
        assert!(other.knows_tenant(), "the cache is believed again");
        change(&one).await;
        poll_until(LONG, async || (!other.knows_tenant()).then_some(())).await.unwrap();
    }
}

#[tokio::test]
async fn a_commit_is_heard_promptly() {
    let (_server, _relay, one, other) = two().await;
    let mut waits = Vec::new();
    for _ in 0..200 {
        other.remember().await;
        change(&one).await;
        let since = tokio::time::Instant::now();
        let heard = async {
            while other.knows_tenant() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, heard).await.unwrap();
        waits.push(since.elapsed());
    }
    waits.sort_unstable();
    let (median, p99) = (waits[100], waits[198]);
    eprintln!("behind the commit: median {median:?}, P99 {p99:?}, longest {:?}", waits[199]);
    // The limit is the cost of a broken link. A busy machine takes only a part of it.
    assert!(p99 < SILENCE, "{p99:?}");
}

#[tokio::test]
async fn many_callers_share_the_clearing_and_later_callers_get_an_error() {
    let server = PostgresServer::start(&[]).await;
    let shutdown = CancellationToken::new();
    let cache = TieredCache::builder().build();
    let opened = Store::connect(&settings(&server.url()), |_| cache, shutdown.clone()).await;
    let (_store, coherence) = opened.unwrap();
    let super::super::Means::Listening(listening) = &coherence.0 else { panic!("it is PostgreSQL") };
    listening.0.is_current.store(false, Ordering::SeqCst);
    let answers = futures_util::future::join_all((0..1000).map(|_| coherence.catch_up())).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(*listening.0.cleared.lock().await, 1000);
    shutdown.cancel();
    coherence.ended().await;
    assert_eq!(coherence.catch_up().await, Err(WatchEnded));
    assert!(!coherence.is_watching() && !coherence.is_current());
}
