use std::time::Duration;

use tidegate_model::tenant::ApiKey;
use tidegate_settings::NotificationSettings;
use tokio::time::Instant;

use super::*;
use crate::ground::{Ground, LONG, TestDatabase, acme, tenant};
use crate::notify::{NotificationBus, Subscription, SubscriptionEvent};

fn new<'a>(tenant: &'a TenantId, source: &'a str) -> NewNotification<'a> {
    NewNotification { tenant, source, user: None, kind: "test", body: "{}" }
}

pub(crate) async fn numbers_have_no_holes_and_one_source_is_told_once(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    assert_eq!(store.ends_of_notifications(&acme).await.unwrap(), Ends::default());
    // Each source four times, concurrently.
    let sources: Vec<String> = (0..40).map(|number| format!("job-{}", number % 10)).collect();
    let told = sources.iter().map(|source| {
        let (store, acme) = (store.clone(), acme.clone());
        async move { store.publish(&new(&acme, source)).await.unwrap().seq }
    });
    let told = futures_util::future::join_all(told).await;
    for (first, seq) in told.iter().enumerate() {
        assert_eq!(told[first % 10], *seq, "{told:?}");
    }
    let all: Vec<u64> = store.notifications(&acme, 0, 100).await.unwrap().iter().map(|told| told.seq).collect();
    assert_eq!(all, (1..=10).collect::<Vec<u64>>());
    assert_eq!(store.ends_of_notifications(&acme).await.unwrap(), Ends { last: 10, gone: 0 });
    assert_eq!(store.notifications(&acme, 7, 2).await.unwrap().first().map(|told| told.seq), Some(8));
    let fifth = store.notification(&acme, 5).await.unwrap().unwrap();
    assert_eq!((fifth.seq, fifth.kind.as_str(), fifth.body.as_str(), fifth.user), (5, "test", "{}", None));
    assert_eq!(store.notification(&"other".parse().unwrap(), 5).await.unwrap(), None);
    assert!(store.publish(&new(&"other".parse().unwrap(), "job")).await.is_err(), "there is no such tenant");
}

pub(crate) async fn what_is_old_goes_from_the_front(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    for source in ["a", "b", "c"] {
        store.publish(&new(&acme, source)).await.unwrap();
    }
    let last = store.notifications(&acme, 2, 1).await.unwrap()[0].at.timestamp_millis();
    store.remove_notifications(i64::MIN).await.unwrap();
    assert_eq!(store.ends_of_notifications(&acme).await.unwrap(), Ends { last: 3, gone: 0 });
    store.remove_notifications(last + 1).await.unwrap();
    assert_eq!(store.ends_of_notifications(&acme).await.unwrap(), Ends { last: 3, gone: 3 });
    assert_eq!(store.notifications(&acme, 0, 9).await.unwrap(), []);
    // The numbers continue.
    assert_eq!(store.publish(&new(&acme, "d")).await.unwrap().seq, 4);
}

/// As in two processes.
pub(crate) async fn two_processes_take_turns(ground: &Ground) {
    let place: TestDatabase = ground.place().await;
    let ((one, _keep_one), (other, _keep_other)) = (place.open().await, place.open().await);
    one.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
    let told = (0..20).map(|number| {
        let store = if number % 2 == 0 { one.clone() } else { other.clone() };
        async move {
            let source = format!("job-{number}");
            store.publish(&new(&acme(), &source)).await.unwrap().seq
        }
    });
    let mut told = futures_util::future::join_all(told).await;
    told.sort_unstable();
    assert_eq!(told, (1..=20).collect::<Vec<u64>>());
}

fn bus(store: &Store) -> NotificationBus {
    let settings = NotificationSettings { keep: LONG, streams: 3, streams_per_tenant: 2 };
    NotificationBus::new(store, &settings)
}

async fn next(subscription: &mut Subscription) -> SubscriptionEvent {
    tokio::time::timeout(LONG, subscription.next()).await.expect("it comes in time").expect("it goes on")
}

async fn seq(subscription: &mut Subscription) -> u64 {
    match next(subscription).await {
        SubscriptionEvent::Notification(told) => told.seq,
        gap => panic!("{gap:?}"),
    }
}

/// Publishes 100 notifications in one process and measures when followers in both receive them.
pub(crate) async fn what_one_process_tells_is_heard_in_each_at_once(ground: &Ground) {
    let place: TestDatabase = ground.place().await;
    let ((one, _keep_one), (other, _keep_other)) = (place.open().await, place.open().await);
    one.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
    let here = bus(&one).subscribe(&acme(), None).await.unwrap();
    let there = bus(&other).subscribe(&acme(), None).await.unwrap();
    let (heard, mut all) = tokio::sync::mpsc::unbounded_channel();
    for mut subscription in [here, there] {
        let heard = heard.clone();
        tokio::spawn(async move {
            for expected in 1..=100 {
                assert_eq!(seq(&mut subscription).await, expected);
                heard.send((expected, Instant::now())).unwrap();
            }
        });
    }
    let mut waits = Vec::new();
    for number in 1..=100_u64 {
        let told = one.publish(&new(&acme(), &format!("job-{number}"))).await.unwrap();
        let committed = Instant::now();
        assert_eq!(told.seq, number);
        for _ in 0..2 {
            let (seq, at) = tokio::time::timeout(LONG, all.recv()).await.expect("in time").unwrap();
            assert_eq!(seq, number);
            waits.push(at.saturating_duration_since(committed));
        }
        // Varied, so that it is not in step with a reader that polls at fixed intervals.
        tokio::time::sleep(Duration::from_millis(number * 7 % 23)).await;
    }
    waits.sort_unstable();
    let (median, p99) = (waits[100], waits[197]);
    eprintln!("behind the commit: median {median:?}, P99 {p99:?}, longest {:?}", waits[199]);
    assert!(p99 <= Duration::from_millis(100), "{p99:?}");
}

pub(crate) async fn whoever_comes_back_goes_on_and_is_told_of_gaps(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let bus = bus(&store);
    let mut from_now_on = bus.subscribe(&acme, None).await.unwrap();
    for source in ["a", "b", "c", "d"] {
        store.publish(&new(&acme, source)).await.unwrap();
    }
    let mut behind_two = bus.subscribe(&acme, Some(2)).await.unwrap();
    assert!(bus.subscribe(&acme, None).await.is_err(), "two of a tenant");
    for expected in 1..=4 {
        assert_eq!(seq(&mut from_now_on).await, expected);
    }
    drop(from_now_on);
    assert_eq!((seq(&mut behind_two).await, seq(&mut behind_two).await), (3, 4));
    drop(behind_two);

    // A follower with a number that was never assigned here continues with new notifications.
    let mut foreign = bus.subscribe(&acme, Some(99)).await.unwrap();
    assert_eq!(next(&mut foreign).await, SubscriptionEvent::Gap { missed: None, after: 4 });
    let mut slow = bus.subscribe(&acme, Some(1)).await.unwrap();
    let at = store.notifications(&acme, 3, 1).await.unwrap()[0].at.timestamp_millis();
    store.remove_notifications(at + 1).await.unwrap();
    store.publish(&new(&acme, "e")).await.unwrap();
    assert_eq!(seq(&mut foreign).await, 5);
    assert_eq!(next(&mut slow).await, SubscriptionEvent::Gap { missed: Some(3), after: 4 });
    assert_eq!(seq(&mut slow).await, 5);
    drop((foreign, slow));
    let mut late = bus.subscribe(&acme, Some(1)).await.unwrap();
    assert_eq!(next(&mut late).await, SubscriptionEvent::Gap { missed: Some(3), after: 4 });
    assert_eq!(seq(&mut late).await, 5);
    drop(late);
    assert_eq!(bus.followers(), 0);
}
