//! Tests of reads and writes while the server is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_cache::TieredCache;
use tidegate_model::tenant::ApiKey;
use tidegate_settings::DatabaseSettings;
use tidegate_testkit::{PostgresServer, Relay, poll_until};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ground::{LONG, acme, settings, tenant};
use super::schedules::tests::draft;
use super::{Store, StoreError};

/// A server and a synchronous replica.
async fn pair() -> (PostgresServer, PostgresServer) {
    let primary = PostgresServer::start_tcp(&[("synchronous_standby_names", "*")]).await;
    let replica = primary.replica(&[("synchronous_standby_names", "")]).await;
    (primary, replica)
}

/// A store with a tenant, behind a relay.
async fn behind(server: &PostgresServer, deadline: Duration) -> (Relay, Store) {
    let relay = Relay::start(server.port()).await;
    let url = server.url().replace(&server.port().to_string(), &relay.port().to_string());
    let settings = DatabaseSettings { deadline, connect_timeout: Duration::from_secs(3), ..settings(&url) };
    let cache = TieredCache::builder().build();
    let (store, _) = Store::connect(&settings, |_| cache, CancellationToken::new()).await.unwrap();
    store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
    (relay, store)
}

#[tokio::test]
async fn a_failover_is_ridden_out_without_an_error_and_without_a_row_twice() {
    let (mut primary, replica) = pair().await;
    let (relay, store) = behind(&primary, Duration::from_secs(30)).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, stop, done) = (store.clone(), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut written = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let title = format!("{writer}-{}", written.len());
                    let schedule = store.create_schedule(&acme(), &draft(&title, 9)).await.unwrap();
                    let read = store.schedule(&acme(), schedule.id).await.unwrap();
                    assert_eq!(read.as_ref(), Some(&schedule), "it was acknowledged");
                    written.push(schedule.id);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                written
            })
        })
        .collect();
    let reach = async |count: usize| {
        poll_until(LONG, async || (done.load(Ordering::Relaxed) >= count).then_some(())).await.unwrap();
    };
    reach(50).await;
    primary.kill9();
    let since = Instant::now();
    replica.promote().await;
    relay.turn_to(replica.port());
    let before = done.load(Ordering::Relaxed);
    reach(before + 50).await;
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    stop.store(true, Ordering::Relaxed);
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }

    let mut titles: BTreeMap<String, u32> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let page = store.schedules(&acme(), 200, cursor).await.unwrap();
        page.items.into_iter().for_each(|schedule| *titles.entry(schedule.title).or_default() += 1);
        let Some(next) = page.next_cursor else { break };
        cursor = Some(next.parse().unwrap());
    }
    assert!(titles.values().all(|times| *times == 1), "{titles:?}");
    assert_eq!(titles.len(), written.len());
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_keeps_no_connection() {
    let (mut primary, replica) = pair().await;
    // The timeout of a statement is a third of it.
    let (relay, store) = behind(&primary, Duration::from_secs(12)).await;
    let read = async || store.tenant(&acme()).await.unwrap().unwrap();
    futures_util::future::join_all((0..20).map(|_| read())).await;
    primary.hang().await;
    let since = Instant::now();
    // More than there are connections, which all turn out to hang.
    let reads = futures_util::future::join_all((0..30).map(|_| read()));
    let turn = async {
        replica.promote().await;
        relay.turn_to(replica.port());
    };
    let (found, ()) = tokio::join!(reads, turn);
    assert_eq!(found.len(), 30);
    assert!(since.elapsed() < Duration::from_secs(25), "{:?}", since.elapsed());
    // No connection with an unfinished exchange is in a pool.
    let [pool] = &store.pools()[..] else { panic!("one pool") };
    poll_until(LONG, async || (pool.state().in_use == 0).then_some(())).await.unwrap();
    primary.resume();
}

#[tokio::test]
async fn a_server_that_stays_away_is_an_error_at_the_deadline_and_nothing_is_half_done() {
    let mut server = PostgresServer::start_tcp(&[]).await;
    let (_relay, store) = behind(&server, Duration::from_secs(2)).await;
    let mut open = store.begin().await.unwrap();
    server.kill9();
    let error = open.one(&super::sql::tenants::TENANT, &["acme".into()]).await.unwrap_err();
    assert!(error.is_lost(), "{error}");
    // A transaction in which a statement failed must not appear committed.
    assert!(matches!(open.commit().await, Err(StoreError::RolledBack)));
    let since = Instant::now();
    let error = store.create_schedule(&acme(), &draft("one", 9)).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    server.restart().await;
    store.create_schedule(&acme(), &draft("two", 9)).await.unwrap();
    assert_eq!(store.count_schedules(&acme()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_never_repeated_blindly() {
    let server = PostgresServer::start_tcp(&[]).await;
    let (relay, store) = behind(&server, Duration::from_secs(6)).await;
    let schedule = store.create_schedule(&acme(), &draft("one", 9)).await.unwrap();
    // The server receives the COMMIT, and its answer is lost.
    let mut change = store.begin().await.unwrap();
    let values = [schedule.id.into(), "acme".into()];
    change.run(&super::sql::schedules::DELETE, &values, tidegate_cache::Touched::new()).await.unwrap();
    relay.stop_replies();
    let error = change.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error}");
    assert!(error.is_transient() && !error.is_lost());
    relay.go_on();
    assert_eq!(store.schedule(&acme(), schedule.id).await.unwrap(), None, "it had happened");
}
