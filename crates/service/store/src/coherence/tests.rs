//! Tests of the watch on a SQLite database.

use std::path::Path;

use tidegate_cache::TieredCache;
use tidegate_model::cache_keys;
use tidegate_model::tenant::{ApiKey, Plan};
use tidegate_ratelimit::{Overrides, Tier};

use super::*;
use crate::Purge;
use crate::ground::{Process, TestDatabase, acme, tenant};

async fn on(directory: &Path) -> Process {
    Process::at(&TestDatabase::File(directory.join("tidegate.db"))).await
}

async fn create(process: &Process) {
    process.store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
}

async fn two() -> (tempfile::TempDir, Process, Process) {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (on(directory.path()).await, on(directory.path()).await);
    create(&one).await;
    other.coherence.catch_up().await.unwrap();
    other.remember().await;
    (directory, one, other)
}

#[tokio::test]
async fn a_commit_of_another_process_is_known_after_catching_up() {
    let (_directory, one, other) = two().await;
    for _ in 0..100 {
        other.remember().await;
        let plan = Plan::try_new(Tier::PREMIUM, Overrides::default()).unwrap();
        assert!(one.store.set_plan(&acme(), &plan).await.unwrap());
        other.coherence.catch_up().await.unwrap();
        assert!(!other.knows_tenant());
        assert!(other.knows_list(), "what was not touched stays");
    }
}

#[tokio::test]
async fn catching_up_with_nothing_keeps_everything() {
    let (_directory, _one, other) = two().await;
    other.coherence.catch_up().await.unwrap();
    assert!(other.knows_tenant() && other.knows_list());
}

#[tokio::test]
async fn its_own_commit_is_acted_on_once_more() {
    let (_directory, one, _other) = two().await;
    one.store.set_plan(&acme(), &Plan::try_new(Tier::BASIC, Overrides::default()).unwrap()).await.unwrap();
    // As if the table was read between the commit and the invalidation that follows it.
    one.remember().await;
    one.coherence.catch_up().await.unwrap();
    assert!(!one.knows_tenant() && one.knows_list());
    one.remember().await;
    one.coherence.catch_up().await.unwrap();
    assert!(one.knows_tenant());
}

#[tokio::test]
async fn its_own_purge_is_not_acted_on_twice() {
    let (_directory, one, _other) = two().await;
    one.coherence.catch_up().await.unwrap();
    one.store.purge(&Purge::All).await.unwrap();
    one.remember().await;
    one.coherence.catch_up().await.unwrap();
    assert!(one.knows_tenant() && one.knows_list());
}

#[tokio::test]
async fn a_foreign_writer_holds_up_no_reader() {
    let (_directory, one, other) = two().await;
    let old = "INSERT INTO invalidation (origin, kind, name, at) VALUES (7, 'tag', 'old', 0)";
    sqlx::query(old).execute(one.store.writer()).await.unwrap();
    let writing = one.store.begin().await.unwrap();
    for _ in 0..3 {
        // Shorter than the busy timeout: a caller that waited for the writer would not be back.
        let looked = tokio::time::timeout(Duration::from_secs(5), other.coherence.catch_up()).await;
        assert_eq!(looked, Ok(Ok(())));
    }
    drop(writing);
}

#[tokio::test]
async fn an_invalidation_of_a_newer_version_clears_once_and_is_left_behind() {
    let (_directory, one, other) = two().await;
    // The check constraint belongs to this version. The table of a newer one has another.
    sqlx::query("PRAGMA ignore_check_constraints = ON").execute(one.store.writer()).await.unwrap();
    let newer = "INSERT INTO invalidation (origin, kind, name, at) VALUES (7, 'moon', 'full', 9e12)";
    sqlx::query(newer).execute(one.store.writer()).await.unwrap();
    other.coherence.catch_up().await.unwrap();
    assert!(!other.knows_tenant());
    other.remember().await;
    one.store.purge(&Purge::Tags(vec![cache_keys::schedules_of(&acme())])).await.unwrap();
    other.coherence.catch_up().await.unwrap();
    assert!(other.knows_tenant() && !other.knows_list());
}

#[tokio::test]
async fn after_the_watch_has_ended_catching_up_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let path = directory.path().join("tidegate.db");
    let (_store, coherence) = Store::open(&path, |_| TieredCache::builder().build(), shutdown.clone()).await.unwrap();
    assert!(coherence.is_watching());
    shutdown.cancel();
    coherence.ended().await;
    assert_eq!(coherence.catch_up().await, Err(WatchEnded));
    assert!(!coherence.is_watching());
}

#[tokio::test]
async fn a_gap_in_the_invalidations_clears_the_cache() {
    let (_directory, one, other) = two().await;
    let plan = Plan::try_new(Tier::PREMIUM, Overrides::default()).unwrap();
    one.store.set_plan(&acme(), &plan).await.unwrap();
    sqlx::query("DELETE FROM invalidation").execute(one.store.writer()).await.unwrap();
    other.coherence.catch_up().await.unwrap();
    assert!(!other.knows_tenant() && !other.knows_list());
}

#[tokio::test]
async fn a_purge_reaches_the_other_process_and_drops_only_what_it_names() {
    let (_directory, one, other) = two().await;
    let pattern = "schedules:acme:*".parse().unwrap();
    one.store.purge(&Purge::Pattern(pattern, None)).await.unwrap();
    other.coherence.catch_up().await.unwrap();
    assert!(other.knows_tenant() && !other.knows_list());
    one.store.purge(&Purge::All).await.unwrap();
    other.coherence.catch_up().await.unwrap();
    assert!(!other.knows_tenant());
}

#[tokio::test]
async fn many_callers_share_looks_and_all_are_answered() {
    let (_directory, one, other) = two().await;
    one.store.purge(&Purge::All).await.unwrap();
    let callers = (0..5000).map(|_| other.coherence.catch_up());
    let answers = futures_util::future::join_all(callers).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(!other.knows_tenant());
}
