use futures_util::future::join_all;
use tidegate_model::import::Reject;

use super::*;
use crate::ground::{Ground, Line, chunk};

const FILE: &[Line] = &[Some("one"), None, Some("two")];

fn next_chunk(from: Position, most: usize) -> Chunk {
    chunk(FILE, from, most)
}

pub(crate) async fn of_two_workers_at_one_position_only_one_takes_the_step(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let start = store.open_import("job", &tenant, Position::START).await.unwrap();
    let chunk = next_chunk(start.next, 2);
    let first = store.advance_import("job", &tenant, start, &chunk).await.unwrap();
    let second = store.advance_import("job", &tenant, start, &chunk).await.unwrap();
    assert!(matches!(first, Advanced::To(ImportProgress { imported: 1, rejected: 1, is_finished: false, .. })));
    assert_eq!(second, Advanced::Overtaken);
    assert_eq!(store.count_schedules(&tenant).await.unwrap(), 1);
}

pub(crate) async fn an_import_goes_on_where_the_last_commit_stands(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let mut progress = store.open_import("job", &tenant, Position::START).await.unwrap();
    while !progress.is_finished {
        // All state of a killed worker is lost: only the table is known.
        progress = store.open_import("job", &tenant, Position::START).await.unwrap();
        let chunk = next_chunk(progress.next, 1);
        match store.advance_import("job", &tenant, progress, &chunk).await.unwrap() {
            Advanced::To(next) => progress = next,
            Advanced::Overtaken => panic!("no other worker runs"),
        }
    }
    assert_eq!((progress.imported, progress.rejected), (2, 1));
    assert_eq!(store.count_schedules(&tenant).await.unwrap(), 2);
    let rejects = store.rejected_lines("job", 0, 10).await.unwrap();
    assert_eq!(rejects.iter().map(|reject| reject.line).collect::<Vec<_>>(), [3]);
    let again = store.advance_import("job", &tenant, progress, &next_chunk(progress.next, 1)).await;
    assert_eq!(again.unwrap(), Advanced::Overtaken, "a finished import takes no step");
}

pub(crate) async fn a_given_up_import_says_why_to_its_tenant_until_it_is_begun_again(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
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

pub(crate) async fn places_are_counted_until_they_are_given_back_or_the_import_is_over(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    assert_eq!(store.reserve_import("one", &tenant, 2).await.unwrap(), Reserved::New);
    assert_eq!(store.reserve_import("two", &tenant, 2).await.unwrap(), Reserved::New);
    assert_eq!(store.reserve_import("three", &tenant, 2).await.unwrap(), Reserved::Full);
    store.release_import("one").await.unwrap();
    assert_eq!(store.reserve_import("three", &tenant, 2).await.unwrap(), Reserved::New);

    let start = store.open_import("two", &tenant, Position::START).await.unwrap();
    let chunk = next_chunk(start.next, 10);
    store.advance_import("two", &tenant, start, &chunk).await.unwrap();
    assert_eq!(
        store.reserve_import("four", &tenant, 2).await.unwrap(),
        Reserved::New,
        "a finished import has no place"
    );

    let next = store.open_import("three", &tenant, Position::START).await.unwrap();
    store.advance_import("three", &tenant, next, &next_chunk(next.next, 1)).await.unwrap();
    store.release_import("three").await.unwrap();
    let mut pending = store.pending_imports(&tenant).await.unwrap();
    pending.sort_unstable();
    assert_eq!(pending, ["four", "three"], "what has begun stays");
}

pub(crate) async fn a_repeated_id_begins_a_new_import_once_the_earlier_one_is_closed(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let start = store.open_import("job", &tenant, Position::START).await.unwrap();
    store.advance_import("job", &tenant, start, &next_chunk(start.next, 2)).await.unwrap();
    assert_eq!(store.reserve_import("job", &tenant, 1).await.unwrap(), Reserved::Found);
    let open = store.open_import("job", &tenant, Position::START).await.unwrap();
    assert_eq!((open.imported, open.rejected), (1, 1), "an open import keeps its position");

    // Once with an import that was given up, and once with one that was read completely.
    for schedules in [3, 5] {
        store.close_import("job", Some(ImportFailure::UploadGone)).await.unwrap();
        assert_eq!(store.reserve_import("job", &tenant, 1).await.unwrap(), Reserved::New);
        assert_eq!(store.pending_imports(&tenant).await.unwrap(), ["job"]);
        assert!(store.rejected_lines("job", 0, 10).await.unwrap().is_empty());
        let fresh = store.open_import("job", &tenant, Position::START).await.unwrap();
        assert_eq!((fresh.next, fresh.imported, fresh.rejected), (Position::START, 0, 0));
        assert!(!fresh.is_finished);
        let chunk = next_chunk(fresh.next, 10);
        let advanced = store.advance_import("job", &tenant, fresh, &chunk).await.unwrap();
        assert!(matches!(advanced, Advanced::To(ImportProgress { imported: 2, rejected: 1, is_finished: true, .. })));
        assert_eq!(store.count_schedules(&tenant).await.unwrap(), schedules, "the earlier schedules stay");
    }
}

pub(crate) async fn a_removed_import_takes_its_rejects_along_and_leaves_its_schedules(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let start = store.open_import("job", &tenant, Position::START).await.unwrap();
    let mut chunk = next_chunk(start.next, 10);
    chunk.rejects = (0..2_500).map(|line| Reject::new(10 + line, "bad")).collect();
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

pub(crate) async fn of_uploads_that_begin_together_no_two_get_the_last_place(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let reserve = |number: u32| {
        let (store, tenant) = (&store, &tenant);
        async move { store.reserve_import(&number.to_string(), tenant, 3).await.unwrap() }
    };
    let reserved = join_all((0..20).map(reserve)).await;
    assert_eq!(reserved.iter().filter(|reserved| **reserved == Reserved::New).count(), 3);
    assert_eq!(store.pending_imports(&tenant).await.unwrap().len(), 3);
}
