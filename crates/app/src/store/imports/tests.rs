use std::io::Cursor;

use tidegate_cache::TieredCache;
use tidegate_ratelimit::{Overrides, Tier};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::import::{Format, Rows};
use crate::tenant::{ApiKey, Plan, Tenant};

const FILE: &str = "title,starts_at,ends_at,recurrence,attendees
one,2030-01-01T09:00:00Z,2030-01-01T10:00:00Z,,
bad,never,2030-01-01T10:00:00Z,,
two,2030-01-02T09:00:00Z,2030-01-02T10:00:00Z,,
";

async fn store() -> (tempfile::TempDir, Store, TenantId) {
    let directory = tempfile::tempdir().unwrap();
    let cache = TieredCache::builder().build();
    let path = directory.path().join("tidegate.db");
    let (store, _) = Store::open(&path, |_| cache, CancellationToken::new()).await.unwrap();
    let id: TenantId = "acme".parse().unwrap();
    let plan = Plan::try_new(Tier::Free, Overrides::default()).unwrap();
    let tenant = Tenant { id: id.clone(), name: "Acme".to_owned(), plan, created_at: clock::now() };
    store.create_tenant(&tenant, &ApiKey::generate()).await.unwrap();
    (directory, store, id)
}

fn rows(from: Position) -> Rows<Cursor<&'static [u8]>> {
    Rows::open(Cursor::new(FILE.as_bytes()), Format::Csv, from).unwrap()
}

#[tokio::test]
async fn of_two_workers_at_one_position_only_one_takes_the_step() {
    let (_directory, store, tenant) = store().await;
    let start = store.open_import("job", &tenant, Position::START).await.unwrap();
    let chunk = rows(start.next).next_chunk(2).unwrap();
    let first = store.advance_import("job", &tenant, start, &chunk).await.unwrap();
    let second = store.advance_import("job", &tenant, start, &chunk).await.unwrap();
    assert!(matches!(first, Advanced::To(ImportProgress { imported: 1, rejected: 1, is_finished: false, .. })));
    assert_eq!(second, Advanced::Overtaken);
    assert_eq!(store.count_schedules(&tenant).await.unwrap(), 1);
}

#[tokio::test]
async fn an_import_goes_on_where_the_last_commit_stands() {
    let (_directory, store, tenant) = store().await;
    let mut progress = store.open_import("job", &tenant, Position::START).await.unwrap();
    while !progress.is_finished {
        // Everything that a killed worker held is gone: only what is in the table is known.
        progress = store.open_import("job", &tenant, Position::START).await.unwrap();
        let chunk = rows(progress.next).next_chunk(1).unwrap();
        match store.advance_import("job", &tenant, progress, &chunk).await.unwrap() {
            Advanced::To(next) => progress = next,
            Advanced::Overtaken => panic!("nobody else is here"),
        }
    }
    assert_eq!((progress.imported, progress.rejected), (2, 1));
    assert_eq!(store.count_schedules(&tenant).await.unwrap(), 2);
    let rejects = store.rejected_lines("job", 0, 10).await.unwrap();
    assert_eq!(rejects.iter().map(|reject| reject.line).collect::<Vec<_>>(), [3]);
    let again = store.advance_import("job", &tenant, progress, &rows(progress.next).next_chunk(1).unwrap()).await;
    assert_eq!(again.unwrap(), Advanced::Overtaken, "a finished import takes no step");
}

#[tokio::test]
async fn a_given_up_import_says_why_to_its_tenant_until_it_is_begun_again() {
    let (_directory, store, tenant) = store().await;
    store.open_import("job", &tenant, Position::START).await.unwrap();
    assert_eq!(store.failed_import("job", &tenant).await.unwrap(), None);
    store.close_import("job", Some(ImportFailure::UploadGone)).await.unwrap();
    store.close_import("job", None).await.unwrap();
    let failed = FailedImport { failure: ImportFailure::UploadGone, imported: 0, rejected: 0 };
    assert_eq!(store.failed_import("job", &tenant).await.unwrap(), Some(failed));
    let other: TenantId = "other".parse().unwrap();
    assert_eq!(store.failed_import("job", &other).await.unwrap(), None);
    assert!(store.pending_imports(&tenant).await.unwrap().is_empty());

    store.open_import("job", &tenant, Position::START).await.unwrap();
    assert_eq!(store.failed_import("job", &tenant).await.unwrap(), None);
    assert_eq!(store.pending_imports(&tenant).await.unwrap(), ["job"]);
}

#[tokio::test]
async fn places_are_counted_until_they_are_given_back_or_the_import_is_over() {
    let (_directory, store, tenant) = store().await;
    assert!(store.reserve_import("one", &tenant, 2).await.unwrap());
    assert!(store.reserve_import("two", &tenant, 2).await.unwrap());
    assert!(!store.reserve_import("three", &tenant, 2).await.unwrap());
    store.release_import("one").await.unwrap();
    assert!(store.reserve_import("three", &tenant, 2).await.unwrap());

    let start = store.open_import("two", &tenant, Position::START).await.unwrap();
    let chunk = rows(start.next).next_chunk(10).unwrap();
    store.advance_import("two", &tenant, start, &chunk).await.unwrap();
    assert!(store.reserve_import("four", &tenant, 2).await.unwrap(), "a finished import has no place");

    let next = store.open_import("three", &tenant, Position::START).await.unwrap();
    store.advance_import("three", &tenant, next, &rows(next.next).next_chunk(1).unwrap()).await.unwrap();
    store.release_import("three").await.unwrap();
    assert_eq!(store.pending_imports(&tenant).await.unwrap(), ["four", "three"], "what has begun stays");
}

#[tokio::test]
async fn a_removed_import_takes_its_rejects_along_and_leaves_its_schedules() {
    let (_directory, store, tenant) = store().await;
    let start = store.open_import("job", &tenant, Position::START).await.unwrap();
    let mut chunk = rows(start.next).next_chunk(10).unwrap();
    chunk.rejects = (0..2_500).map(|line| crate::import::Reject::new(10 + line, "bad")).collect();
    store.advance_import("job", &tenant, start, &chunk).await.unwrap();
    let later = clock::now() + chrono::TimeDelta::seconds(1);
    let found = store.old_imports(later, "", 10).await.unwrap();
    assert_eq!(found.iter().map(|import| (&*import.id, import.is_closed)).collect::<Vec<_>>(), [("job", true)]);
    assert!(store.old_imports(later, "job", 10).await.unwrap().is_empty());

    store.remove_import("job").await.unwrap();
    assert!(store.rejected_lines("job", 0, 10).await.unwrap().is_empty());
    assert!(store.old_imports(later, "", 10).await.unwrap().is_empty());
    assert_eq!(store.count_schedules(&tenant).await.unwrap(), 2);
}
