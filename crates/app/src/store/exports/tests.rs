use chrono::TimeDelta;
use futures_util::future::join_all;

use super::*;
use crate::files::{FileAt, FileKind, Written};
use crate::store::ground::Ground;

fn file(tenant: &TenantId, life: TimeDelta) -> StoredFile {
    let created_at = clock::now();
    StoredFile {
        at: FileAt::of_tenant(FileKind::Export, tenant.clone()),
        name: "schedules.csv".to_owned(),
        content_type: "text/csv".to_owned(),
        content: Written { bytes: 5, sha256: "ab".repeat(32) },
        created_at,
        expires_at: created_at + life,
    }
}

pub(in crate::store) async fn of_two_runs_of_an_export_only_the_first_has_its_file_entered(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    assert!(store.reserve_export("job", &tenant, 1).await.unwrap());
    assert_eq!(store.open_export("job", &tenant).await.unwrap(), None);
    let (first, second) = (file(&tenant, TimeDelta::hours(1)), file(&tenant, TimeDelta::hours(1)));
    assert!(store.finish_export("job", &first).await.unwrap());
    assert!(!store.finish_export("job", &second).await.unwrap());
    assert_eq!(store.open_export("job", &tenant).await.unwrap(), Some(first.at.id));
    assert_eq!(store.file(&tenant, first.at.id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.file(&tenant, second.at.id).await.unwrap(), None);
    assert!(store.pending_exports(&tenant).await.unwrap().is_empty(), "it is over");
}

pub(in crate::store) async fn a_file_is_its_tenants_alone_and_ends_with_its_time(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let lasting = file(&tenant, TimeDelta::hours(1));
    let ended = file(&tenant, TimeDelta::zero());
    for (id, file) in [("one", &lasting), ("two", &ended)] {
        store.open_export(id, &tenant).await.unwrap();
        assert!(store.finish_export(id, file).await.unwrap());
    }
    let other = "other".parse().unwrap();
    assert_eq!(store.file(&other, lasting.at.id).await.unwrap(), None);
    assert_eq!(store.file(&tenant, ended.at.id).await.unwrap(), None);
    let expired = store.expired_files(clock::now(), 10).await.unwrap();
    assert_eq!(expired, std::slice::from_ref(&ended));
    assert!(store.knows_file(ended.at.id).await.unwrap());
    store.forget_file(ended.at.id).await.unwrap();
    assert!(!store.knows_file(ended.at.id).await.unwrap());
    assert!(store.expired_files(clock::now(), 10).await.unwrap().is_empty());
}

pub(in crate::store) async fn of_exports_that_come_together_no_two_get_the_last_place(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let reserve = |number: u32| {
        let (store, tenant) = (&store, &tenant);
        async move { store.reserve_export(&number.to_string(), tenant, 3).await.unwrap() }
    };
    let reserved = join_all((0..20).map(reserve)).await;
    assert_eq!(reserved.iter().filter(|has_place| **has_place).count(), 3);
    let pending = store.pending_exports(&tenant).await.unwrap();
    assert_eq!(pending.len(), 3);
    store.close_export(&pending[0].0).await.unwrap();
    store.remove_export(&pending[1].0).await.unwrap();
    assert_eq!(store.pending_exports(&tenant).await.unwrap().len(), 1);

    let later = clock::now() + TimeDelta::seconds(1);
    let first = store.old_exports(later, None, 1).await.unwrap();
    let rest = store.old_exports(later, Some(&first[0]), 10).await.unwrap();
    assert_eq!((first.len(), rest.len()), (1, 1));
    assert_ne!(first[0].id, rest[0].id);
    assert_eq!(first.iter().chain(&rest).filter(|export| export.is_closed).count(), 1);
}

pub(in crate::store) async fn a_snapshot_is_of_one_moment(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let draft = crate::store::schedules::tests::draft("before", 9);
    store.create_schedule(&tenant, &draft).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.count_schedules(&tenant).await.unwrap(), 1);
    store.create_schedule(&tenant, &draft).await.unwrap();
    assert_eq!(snapshot.schedules(&tenant, 10, None).await.unwrap().items.len(), 1);
    drop(snapshot);
    assert_eq!(store.snapshot().await.unwrap().count_schedules(&tenant).await.unwrap(), 2);
}
