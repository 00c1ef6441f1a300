//! Tests of schedules, on both databases.

use std::collections::BTreeSet;

use tidegate_model::schedule::RawSchedule;
use tidegate_model::tenant::ApiKey;

use super::*;
use crate::ground::{Ground, tenant};

pub(crate) async fn a_key_makes_one_schedule_and_goes_with_it(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let other: TenantId = "other".parse().unwrap();
    store.create_tenant(&tenant(&other), &ApiKey::generate()).await.unwrap();
    let (wanted, another) = (draft("One", 9), draft("Two", 9));
    let ask = async |tenant, draft| store.create_schedule_once(tenant, draft, "k").await.unwrap();
    let Creation::New(made) = ask(&acme, &wanted).await else { panic!("nothing was there") };
    assert_eq!(store.schedule(&acme, made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(ask(&acme, &wanted).await, Creation::Repeated(made.clone()));
    assert_eq!(ask(&acme, &another).await, Creation::Reused);
    assert!(matches!(ask(&other, &wanted).await, Creation::New(_)), "a key is its tenant's alone");

    let changed = loop {
        let changed = store.replace_schedule(&acme, made.id, &draft("Moved", 10)).await.unwrap().unwrap();
        // Within the same millisecond it would look unchanged.
        if changed.updated_at > changed.created_at {
            break changed;
        }
    };
    assert_eq!(ask(&acme, &wanted).await, Creation::Repeated(changed));
    assert_eq!(store.schedules(&acme, 10, None).await.unwrap().items.len(), 1);
    assert!(store.delete_schedule(&acme, made.id).await.unwrap());
    assert!(matches!(ask(&acme, &wanted).await, Creation::New(again) if again.id != made.id));
}

pub(crate) fn draft(title: &str, hour: u32) -> ScheduleDraft {
    let raw = RawSchedule {
        title: title.to_owned(),
        starts_at: format!("2030-01-07T{hour:02}:00:00Z"),
        ends_at: "2030-01-07T23:15:00Z".to_owned(),
        recurrence: Some("FREQ=DAILY;COUNT=3".to_owned()),
        attendees: vec!["ada@example.org".to_owned(), "Zo\u{eb} O'Neill".to_owned()],
    };
    ScheduleDraft::try_new(&raw).unwrap()
}

pub(crate) async fn a_schedule_is_created_read_replaced_and_deleted(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let created = store.create_schedule(&tenant, &draft("one", 9)).await.unwrap();
    assert_eq!(store.schedule(&tenant, created.id).await.unwrap().as_ref(), Some(&created));
    let replaced = store.replace_schedule(&tenant, created.id, &draft("two", 10)).await.unwrap().unwrap();
    assert_eq!((replaced.title.as_str(), replaced.created_at), ("two", created.created_at));
    assert_eq!(store.schedule(&tenant, created.id).await.unwrap(), Some(replaced));

    let other = "other".parse().unwrap();
    assert_eq!(store.schedule(&other, created.id).await.unwrap(), None);
    assert_eq!(store.replace_schedule(&other, created.id, &draft("theirs", 9)).await.unwrap(), None);
    assert!(!store.delete_schedule(&other, created.id).await.unwrap());
    assert!(store.delete_schedule(&tenant, created.id).await.unwrap());
    assert!(!store.delete_schedule(&tenant, created.id).await.unwrap());
    assert_eq!(store.schedule(&tenant, created.id).await.unwrap(), None);
}

pub(crate) async fn pages_hold_every_schedule_once_in_order_of_start_and_id(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let mut ids = BTreeSet::new();
    for number in 0..23 {
        let schedule = store.create_schedule(&tenant, &draft("any", 9 + number % 3)).await.unwrap();
        ids.insert((schedule.starts_at, schedule.id));
    }
    for limit in [1, 7, 23, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.schedules(&tenant, limit, after).await.unwrap();
            assert!(page.items.len() <= limit);
            found.extend(page.items.iter().map(|schedule| (schedule.starts_at, schedule.id)));
            let Some(cursor) = page.next_cursor else { break };
            after = Some(cursor.parse().unwrap());
        }
        assert_eq!(found, ids.iter().copied().collect::<Vec<_>>());
    }
    assert_eq!(store.count_schedules(&tenant).await.unwrap(), 23);
}

pub(crate) async fn the_newest_schedules_come_first(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, store.create_schedule(&tenant, &draft("any", 9)).await.unwrap().id);
    }
    let newest = store.newest_schedules(3).await.unwrap();
    assert_eq!(newest, ids.iter().take(3).map(|id| (tenant.clone(), *id)).collect::<Vec<_>>());
}
