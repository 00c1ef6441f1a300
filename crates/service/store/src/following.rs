//! Tests which reads use replicas.

use std::time::Duration;

use tidegate_model::tenant::ApiKey;
use tidegate_settings::DatabaseSettings;
use tidegate_testkit::{PostgresServer, poll_until};
use uuid::Uuid;

use super::Store;
use super::ground::{LONG, Process, TestDatabase, acme, settings, tenant};
use super::schedules::tests::draft;

fn following(primary: &PostgresServer, replicas: &[&PostgresServer]) -> TestDatabase {
    let replicas = replicas.iter().map(|replica| replica.url().parse().unwrap()).collect();
    TestDatabase::Server(Box::new(DatabaseSettings { replicas, ..settings(&primary.url()) }))
}

/// A primary, its replica, and a process with a tenant.
async fn ground() -> (PostgresServer, PostgresServer, TestDatabase, Process) {
    let primary = PostgresServer::start_tcp(&[]).await;
    let replica = primary.replica(&[]).await;
    let place = following(&primary, &[&replica]);
    let process = Process::at(&place).await;
    process.store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
    (primary, replica, place, process)
}

/// Returns how many connections each server's pool has handed out.
fn lent(store: &Store) -> Vec<u64> {
    store.pools().iter().map(|pool| pool.acquired().totals().count).collect()
}

/// Reads until a replica answers.
async fn until_followed(store: &Store, id: Uuid) {
    poll_until(LONG, async || {
        let before = lent(store);
        assert!(store.schedule(&acme(), id).await.unwrap().is_some());
        (lent(store)[1..] != before[1..] && lent(store)[0] == before[0]).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn schedules_are_read_from_a_replica_once_it_has_them() {
    let (_primary, _replica, _place, process) = ground().await;
    let store = &process.store;
    for hour in 0..5 {
        let made = store.create_schedule(&acme(), &draft("any", hour)).await.unwrap();
        // The process that created it sees it, whichever server it reads.
        assert_eq!(store.schedule(&acme(), made.id).await.unwrap().as_ref(), Some(&made));
        until_followed(store, made.id).await;
        assert_eq!(store.schedule(&acme(), made.id).await.unwrap(), Some(made));
        assert_eq!(store.schedules(&acme(), 10, None).await.unwrap().items.len(), hour as usize + 1);
    }
}

#[tokio::test]
async fn a_replica_is_not_read_by_a_process_that_has_seen_newer_data() {
    let (_primary, replica, place, one) = ground().await;
    let other = Process::at(&place).await;
    let made = one.store.create_schedule(&acme(), &draft("before", 9)).await.unwrap();
    until_followed(&one.store, made.id).await;
    until_followed(&other.store, made.id).await;
    replica.psql("SELECT pg_wal_replay_pause()").await;
    for title in ["one", "two", "three"] {
        other.remember().await;
        one.store.replace_schedule(&acme(), made.id, &draft(title, 9)).await.unwrap();
        let read = one.store.schedule(&acme(), made.id).await.unwrap().unwrap();
        assert_eq!(read.title, title);
        // The other process must see it after the notification.
        poll_until(LONG, async || (!other.knows_list()).then_some(())).await.unwrap();
        for _ in 0..20 {
            let read = other.store.schedule(&acme(), made.id).await.unwrap().unwrap();
            assert_eq!(read.title, title);
            assert_eq!(other.store.schedules(&acme(), 10, None).await.unwrap().items[0].title, title);
        }
    }
    // The replica does not have the current state.
    let mut snapshot = one.store.snapshot().await.unwrap();
    assert_eq!(snapshot.schedules(&acme(), 10, None).await.unwrap().items[0].title, "three");
    replica.psql("SELECT pg_wal_replay_resume()").await;
    until_followed(&one.store, made.id).await;
    assert_eq!(one.store.schedule(&acme(), made.id).await.unwrap().unwrap().title, "three");
}

#[tokio::test]
async fn a_snapshot_is_taken_on_a_replica_and_has_all_that_was_committed() {
    let (_primary, _replica, _place, process) = ground().await;
    let store = &process.store;
    let made = store.create_schedule(&acme(), &draft("any", 9)).await.unwrap();
    until_followed(store, made.id).await;
    for count in 2..8 {
        store.create_schedule(&acme(), &draft("any", 9)).await.unwrap();
        let mut snapshot = store.snapshot().await.unwrap();
        assert_eq!(snapshot.count_schedules(&acme()).await.unwrap(), count);
        assert!(snapshot.is_on_a_replica());
    }
}

#[tokio::test]
async fn a_snapshot_that_a_replica_cancels_is_taken_from_the_primary() {
    let (primary, replica, _place, process) = ground().await;
    let store = &process.store;
    for setting in ["max_standby_streaming_delay = 0", "hot_standby_feedback = off"] {
        replica.psql(&format!("ALTER SYSTEM SET {setting}")).await;
    }
    replica.psql("SELECT pg_reload_conf()").await;
    let made = store.create_schedule(&acme(), &draft("any", 9)).await.unwrap();
    until_followed(store, made.id).await;
    let mut snapshot = store.snapshot().await.unwrap();
    assert!(snapshot.is_on_a_replica());
    assert_eq!(snapshot.count_schedules(&acme()).await.unwrap(), 1);
    // Removes rows that the snapshot reads, and the replica has to replay that.
    assert!(store.delete_schedule(&acme(), made.id).await.unwrap());
    primary.psql("VACUUM schedule").await;
    let cut_off = poll_until(LONG, async || snapshot.count_schedules(&acme()).await.err());
    assert!(cut_off.await.expect("it is cut off").is_transient());
    for _ in 0..3 {
        let mut again = store.snapshot().await.unwrap();
        assert!(!again.is_on_a_replica());
        assert_eq!(again.count_schedules(&acme()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_replica_that_dies_or_hangs_fails_no_request_and_is_read_again() {
    let (_primary, mut replica, _place, process) = ground().await;
    let store = &process.store;
    let made = store.create_schedule(&acme(), &draft("any", 9)).await.unwrap();
    until_followed(store, made.id).await;
    replica.kill9();
    for _ in 0..50 {
        assert_eq!(store.schedule(&acme(), made.id).await.unwrap().as_ref(), Some(&made));
    }
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.count_schedules(&acme()).await.unwrap(), 1);
    drop(snapshot);
    replica.restart().await;
    until_followed(store, made.id).await;
    replica.hang().await;
    let since = tokio::time::Instant::now();
    let tenant = acme();
    let reads = (0..50).map(|_| store.schedule(&tenant, made.id));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.unwrap().as_ref(), Some(&made));
    }
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    replica.resume();
    until_followed(store, made.id).await;
}

#[tokio::test]
async fn a_server_that_is_no_replica_of_these_tables_is_not_read() {
    let (primary, stranger) = (PostgresServer::start_tcp(&[]).await, PostgresServer::start_tcp(&[]).await);
    // A server of another installation, and its replica.
    let theirs = Process::at(&following(&stranger, &[])).await;
    theirs.store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
    let theirs = stranger.replica(&[]).await;
    for wrong in [&primary, &stranger, &theirs] {
        let Process { store, .. } = Process::at(&following(&primary, &[wrong])).await;
        let _ = store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await;
        let made = store.create_schedule(&acme(), &draft("any", 9)).await.unwrap();
        let asked = store.pools()[1].clone();
        poll_until(LONG, async || {
            assert_eq!(store.schedule(&acme(), made.id).await.unwrap().as_ref(), Some(&made));
            (asked.state().failed > 0).then_some(())
        })
        .await
        .unwrap();
        assert_eq!(asked.acquired().totals().count, 0, "no caller used it");
    }
}
