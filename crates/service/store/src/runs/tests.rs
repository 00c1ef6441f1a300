use chrono::TimeDelta;
use futures_util::future::join_all;
use tidegate_model::file::{FileAt, FileKind, Written};

use super::*;
use crate::ground::Ground;

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

pub(crate) async fn of_two_runs_of_a_job_only_the_first_has_its_files_entered(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    assert_eq!(store.reserve_run("job", &tenant, FileKind::Export, 1).await.unwrap(), Reserved::New);
    assert_eq!(store.reserve_run("job", &tenant, FileKind::Export, 1).await.unwrap(), Reserved::Found);
    assert_eq!(store.open_run("job", &tenant, FileKind::Export).await.unwrap(), None);
    let (first, second) = (file(&tenant, TimeDelta::hours(1)), file(&tenant, TimeDelta::hours(1)));
    assert!(store.finish_run("job", &RunFiles::one(first.clone())).await.unwrap());
    store.release_run("job").await.unwrap();
    assert!(!store.finish_run("job", &RunFiles::one(second.clone())).await.unwrap());
    assert_eq!(store.open_run("job", &tenant, FileKind::Export).await.unwrap(), Some(RunFiles::one(first.at.id)));
    assert_eq!(store.file(&tenant, first.at.id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.file(&tenant, second.at.id).await.unwrap(), None);
    assert!(store.pending_runs(&tenant, FileKind::Export).await.unwrap().is_empty(), "it is over");
}

pub(crate) async fn a_pair_of_files_is_entered_together(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let report =
        || StoredFile { at: FileAt::of_tenant(FileKind::Report, tenant.clone()), ..file(&tenant, TimeDelta::hours(1)) };
    let (made, late) = (RunFiles::pair(report(), report()), RunFiles::pair(report(), report()));
    assert_eq!(store.open_run("job", &tenant, FileKind::Report).await.unwrap(), None);
    assert!(store.finish_run("job", &made).await.unwrap());
    assert!(!store.finish_run("job", &late).await.unwrap());
    let ids: Vec<_> = made.iter().map(|file| file.at.id).collect();
    let entered = store.open_run("job", &tenant, FileKind::Report).await.unwrap().unwrap();
    assert_eq!(entered.iter().copied().collect::<Vec<_>>(), ids);
    for file in made.iter() {
        assert_eq!(store.file(&tenant, file.at.id).await.unwrap().as_ref(), Some(file));
    }
    for file in late.iter() {
        assert_eq!(store.file(&tenant, file.at.id).await.unwrap(), None);
    }
    let later = clock::now() + TimeDelta::seconds(1);
    assert_eq!(store.old_runs(later, None, 1).await.unwrap()[0].kind, FileKind::Report);
}

pub(crate) async fn a_file_is_its_tenants_alone_and_ends_with_its_time(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let lasting = file(&tenant, TimeDelta::hours(1));
    let ended = file(&tenant, TimeDelta::zero());
    for (id, file) in [("one", &lasting), ("two", &ended)] {
        store.open_run(id, &tenant, FileKind::Export).await.unwrap();
        assert!(store.finish_run(id, &RunFiles::one(file.clone())).await.unwrap());
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

pub(crate) async fn of_runs_that_come_together_no_two_get_the_last_place(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let reserve = |number: u32| {
        let (store, tenant) = (&store, &tenant);
        async move { store.reserve_run(&number.to_string(), tenant, FileKind::Export, 3).await.unwrap() }
    };
    let reserved = join_all((0..20).map(reserve)).await;
    assert_eq!(reserved.iter().filter(|reserved| **reserved == Reserved::New).count(), 3);
    let pending = store.pending_runs(&tenant, FileKind::Export).await.unwrap();
    assert_eq!(pending.len(), 3);
    store.close_run(&pending[0].0).await.unwrap();
    store.remove_run(&pending[1].0).await.unwrap();
    assert_eq!(store.pending_runs(&tenant, FileKind::Export).await.unwrap().len(), 1);
    assert_eq!(
        store.reserve_run("report", &tenant, FileKind::Report, 1).await.unwrap(),
        Reserved::New,
        "another kind has its own places"
    );
    assert_eq!(store.reserve_run("another", &tenant, FileKind::Report, 1).await.unwrap(), Reserved::Full);
    store.release_run("report").await.unwrap();

    let later = clock::now() + TimeDelta::seconds(1);
    let first = store.old_runs(later, None, 1).await.unwrap();
    let rest = store.old_runs(later, Some(&first[0]), 10).await.unwrap();
    assert_eq!((first.len(), rest.len()), (1, 1));
    assert_ne!(first[0].id, rest[0].id);
    assert_eq!(first.iter().chain(&rest).filter(|run| run.is_closed).count(), 1);
}

pub(crate) async fn a_snapshot_is_of_one_moment(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let draft = crate::schedules::tests::draft("before", 9);
    store.create_schedule(&tenant, &draft).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.count_schedules(&tenant).await.unwrap(), 1);
    store.create_schedule(&tenant, &draft).await.unwrap();
    assert_eq!(snapshot.schedules(&tenant, 10, None).await.unwrap().items.len(), 1);
    drop(snapshot);
    assert_eq!(store.snapshot().await.unwrap().count_schedules(&tenant).await.unwrap(), 2);
}
