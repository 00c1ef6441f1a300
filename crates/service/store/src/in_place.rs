//! Tests of writes after the data directory was deleted or moved.

use std::path::Path;

use tidegate_cache::TieredCache;
use tidegate_model::tenant::{ApiKey, Plan};
use tidegate_testkit::Page;
use tokio_util::sync::CancellationToken;

use super::ground::{acme, tenant};
use super::{Coherence, OpenError, Store, StoreError};

async fn open(path: &Path) -> Result<(Store, Coherence), OpenError> {
    Store::open(path, |_| TieredCache::builder().build(), CancellationToken::new()).await
}

#[tokio::test]
async fn nothing_is_written_to_a_file_that_was_deleted_or_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let path = data.join("tidegate.db");
    let (store, _) = open(&path).await.unwrap();
    store.begin().await.unwrap();
    store.ping().await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    let error = store.begin().await.unwrap_err();
    assert!(matches!(&error, StoreError::Gone(_)) && error.is_transient(), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert!(matches!(store.ping().await, Err(StoreError::Gone(_))));
    let (other, _) = open(&path).await.unwrap();
    assert!(matches!(store.begin().await, Err(StoreError::Gone(_))), "it is another file");
    other.begin().await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_to_a_write_ahead_log_that_was_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tidegate.db");
    let (store, _) = open(&path).await.unwrap();
    let log = directory.path().join("tidegate.db-wal");
    std::fs::remove_file(&log).unwrap();
    let error = store.begin().await.unwrap_err();
    assert!(matches!(&error, StoreError::Gone(_)) && error.is_transient(), "{error}");
    assert!(error.to_string().contains(&log.display().to_string()), "{error}");
    assert!(matches!(store.ping().await, Err(StoreError::Gone(_))));
}

#[tokio::test]
async fn a_commit_to_a_file_that_was_deleted_meanwhile_is_not_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let path = data.join("tidegate.db");
    let (store, _) = open(&path).await.unwrap();
    store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
    let change = |plan: &Plan| {
        std::fs::remove_dir_all(&data).unwrap();
        Ok::<_, StoreError>(*plan)
    };
    let error = store.change_plan(&acme(), change).await.unwrap_err();
    assert!(matches!(&error, StoreError::OutcomeUnknown(_)) && error.is_transient(), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

/// A symbolic link to itself replaces the directory. A path through it can't be resolved, whatever
/// the rights of the account.
#[tokio::test]
async fn a_file_that_can_not_be_looked_at_stays_in_use_and_the_log_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let (data, moved) = (directory.path().join("data"), directory.path().join("moved"));
    let (store, _) = open(&data.join("tidegate.db")).await.unwrap();
    let page = Page::default();
    let to = page.clone();
    let log = tracing_subscriber::fmt().with_writer(move || to.clone()).finish();
    let _log = tracing::subscriber::set_default(log);
    std::fs::rename(&data, &moved).unwrap();
    std::os::unix::fs::symlink(&data, &data).unwrap();
    store.begin().await.unwrap().commit().await.unwrap();
    store.ensure_in_place().unwrap();
    std::fs::remove_file(&data).unwrap();
    std::fs::rename(&moved, &data).unwrap();
    store.ensure_in_place().unwrap();
    let log = page.text();
    let lines = ["can't see whether", "symbolic link", "can be seen again"].map(|part| log.matches(part).count());
    assert_eq!(lines, [1, 1, 1], "{log}");
}
