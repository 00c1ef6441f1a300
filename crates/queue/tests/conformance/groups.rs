//! Counts of groups.

use std::time::Duration;

use tidegate_queue::{
    BrokerError, CleanableState, EnqueueOptions, GroupCounts, GroupId, GroupRefusal, Groups, JobId, NackAction,
    NewGroup, Stored, Unique,
};

use crate::support::{Bench, QUEUE, job};

async fn counts(bench: &Bench, group: &str) -> Option<[u64; 4]> {
    let counts = bench.broker.group(QUEUE, &GroupId::new(group).unwrap()).await.unwrap();
    counts.map(|GroupCounts { total, done, dead, cancelled }| [total, done, dead, cancelled])
}

fn of(group: &str) -> EnqueueOptions {
    EnqueueOptions::new().group(GroupId::new(group).unwrap())
}

fn dead() -> NackAction {
    NackAction::Dead { error: "x".to_owned() }
}

pub async fn a_group_counts_its_jobs_by_current_state(bench: Bench) {
    assert_eq!(counts(&bench, "g").await, None);
    let batch = (0..6).map(|n| job(&format!("job{n}"), of("g"))).collect();
    bench.broker.enqueue(QUEUE, batch).await.unwrap();
    let again = bench.broker.enqueue(QUEUE, vec![job("job0", of("g")), job("job9", of("other"))]).await.unwrap();
    assert_eq!(again, [Stored::Existing, Stored::New]);
    assert_eq!(counts(&bench, "g").await, Some([6, 0, 0, 0]));
    let leased = bench.fetch(4).await;
    assert_eq!(leased[0].group.as_ref().map(GroupId::as_str), Some("g"));
    bench.ack(&leased[0].token).await;
    bench.ack(&leased[0].token).await;
    bench.nack(&leased[1].token, dead()).await;
    bench.nack(&leased[2].token, NackAction::Discard { reason: "x".to_owned() }).await;
    assert_eq!(counts(&bench, "g").await, Some([6, 1, 1, 1]));
    assert_eq!(counts(&bench, "other").await, Some([1, 0, 0, 0]));
    // A retried job is pending again.
    bench.broker.retry(QUEUE, &leased[1].token.id).await.unwrap();
    assert_eq!(counts(&bench, "g").await, Some([6, 1, 0, 1]));
    assert_eq!(bench.broker.drain(QUEUE, 99).await.unwrap(), 4);
    assert_eq!(counts(&bench, "g").await, Some([6, 1, 0, 4]));
    bench.ack(&leased[3].token).await;
    let last = bench.broker.group(QUEUE, &GroupId::new("g").unwrap()).await.unwrap().unwrap();
    assert_eq!((last.total, last.done, last.pending()), (6, 2, 0));
}

pub async fn a_group_is_kept_until_it_is_forgotten(bench: Bench) {
    let id = bench.add("a", of("g")).await;
    let leased = bench.fetch_one().await;
    bench.nack(&leased.token, dead()).await;
    bench.advance(1);
    assert_eq!(bench.broker.clean(QUEUE, CleanableState::Dead, Duration::ZERO, 9).await.unwrap(), 1);
    assert_eq!(counts(&bench, "g").await, Some([1, 0, 1, 0]));
    assert_eq!(bench.broker.job(QUEUE, &id).await.unwrap(), None);
    bench.add("b", of("g")).await;
    let group = GroupId::new("g").unwrap();
    bench.broker.forget_group(QUEUE, &group).await.unwrap();
    bench.broker.forget_group(QUEUE, &group).await.unwrap();
    assert_eq!(counts(&bench, "g").await, None);
    // The end of a job of a removed group does not create the group again.
    let leased = bench.fetch_one().await;
    bench.ack(&leased.token).await;
    assert_eq!(counts(&bench, "g").await, None);
    bench.broker.forget_group("nowhere", &group).await.unwrap();
}

pub async fn replaced_and_refused_jobs_are_counted_rightly(bench: Bench) {
    let with = |unique| of("g").unique(unique);
    bench.add("a", with(Unique::new("k"))).await;
    bench.add("b", with(Unique::new("k"))).await;
    assert_eq!(counts(&bench, "g").await, Some([1, 0, 0, 0]));
    bench.add("c", with(Unique::new("k").replace())).await;
    assert_eq!(counts(&bench, "g").await, Some([2, 0, 0, 1]));
    // With an ordering key too.
    for id in ["d", "e"] {
        bench.add(id, of("g").ordering_key("o")).await;
    }
    for _ in 0..3 {
        let leased = bench.fetch_one().await;
        bench.ack(&leased.token).await;
    }
    assert_eq!(counts(&bench, "g").await, Some([4, 3, 0, 1]));
    assert_eq!(bench.broker.job(QUEUE, &JobId::new("a").unwrap()).await.unwrap(), None, "ids with keys are routed");
}

pub async fn a_group_takes_no_job_of_another_queue_and_none_once_it_is_sealed(bench: Bench) {
    let (groups, group) = (Groups::new(bench.broker.clone()), GroupId::new("g").unwrap());
    groups.create(NewGroup::new(QUEUE).id(group.clone())).await.unwrap();
    let elsewhere = bench.broker.enqueue("other", vec![job("a", of("g"))]).await.unwrap_err();
    let refusal = GroupRefusal::OtherQueue { group: group.clone(), queue: QUEUE.to_owned(), other: "other".to_owned() };
    assert!(matches!(&elsewhere, BrokerError::Group(refused) if *refused == refusal), "{elsewhere:?}");
    assert!(!elsewhere.is_transient() && !elsewhere.may_have_run());
    assert_eq!(bench.broker.counts("other").await.unwrap().ready, 0);
    bench.add("a", of("g")).await;

    groups.seal(&group).await.unwrap();
    let assert_sealed = async || {
        // All or none.
        let batch = vec![job("free", EnqueueOptions::new()), job("late", of("g"))];
        let late = bench.broker.enqueue(QUEUE, batch).await.unwrap_err();
        assert!(matches!(&late, BrokerError::Group(GroupRefusal::Sealed(sealed)) if *sealed == group), "{late:?}");
        for id in ["free", "late"] {
            assert_eq!(bench.broker.job(QUEUE, &JobId::new(id).unwrap()).await.unwrap(), None, "{id}");
        }
        let again = bench.broker.enqueue(QUEUE, vec![job("a", of("g"))]).await.unwrap();
        assert_eq!(again, [Stored::Existing], "what is stored may be enqueued again");
    };
    assert_sealed().await;
    let leased = bench.fetch_one().await;
    bench.ack(&leased.token).await;
    groups.seal(&group).await.unwrap();
    assert!(groups.progress(&group).await.unwrap().completed_at.is_some());
    assert_sealed().await;
    assert_eq!(counts(&bench, "g").await, Some([1, 1, 0, 0]));

    // A group that jobs only name has nothing but counts.
    bench.add("b", of("only-named")).await;
    assert!(groups.forget(&group).await.unwrap());
    bench.add("late", of("g")).await;
}
