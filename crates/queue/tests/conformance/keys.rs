//! Unique keys and ordering keys.

use std::time::Duration;

use tidegate_queue::{
    Change, CleanableState, EnqueueOptions, GroupId, JobId, JobState, NackAction, NewJob, Stored, Unique,
};

use crate::support::{Bench, LEASE, QUEUE, ids, job, retry};

fn unique(key: &str) -> EnqueueOptions {
    EnqueueOptions::new().unique(Unique::new(key))
}

fn ordered(key: &str) -> EnqueueOptions {
    EnqueueOptions::new().ordering_key(key)
}

async fn add(bench: &Bench, id: &str, options: EnqueueOptions) -> (JobId, Stored) {
    let job = job(id, options);
    let id = job.id().clone();
    let stored = bench.broker.enqueue(QUEUE, vec![job]).await.unwrap().pop().unwrap();
    (id, stored)
}

async fn states(bench: &Bench, ids: &[&JobId]) -> Vec<JobState> {
    let mut states = Vec::new();
    for id in ids {
        states.push(bench.state(id).await);
    }
    states
}

pub async fn keys_of_odd_characters_stay_apart(bench: Bench) {
    let keys = ["'", "%", ".", "~", "a~00000000", "\"", "{a}", "a:b", " ", "🌊", &"k".repeat(256), &"é".repeat(128)];
    for (n, key) in keys.iter().enumerate() {
        let (first, stored) = add(&bench, &format!("u{n}"), unique(key)).await;
        assert_eq!(stored, Stored::New, "{key}");
        assert_eq!(add(&bench, &format!("v{n}"), unique(key)).await.1, Stored::Duplicate(first.clone()), "{key}");
        assert_eq!(bench.record(&first).await.unique_key.as_deref(), Some(*key));
        let (head, _) = add(&bench, &format!("o{n}"), ordered(key)).await;
        let (tail, _) = add(&bench, &format!("p{n}"), ordered(key)).await;
        assert_eq!(states(&bench, &[&head, &tail]).await, [JobState::Ready, JobState::Waiting], "{key}");
        assert_eq!(bench.record(&tail).await.ordering_key.as_deref(), Some(*key));
    }
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.waiting), (keys.len() as u64 * 2, keys.len() as u64));
    for leased in bench.fetch(100).await {
        bench.ack(&leased.token).await;
    }
    assert_eq!(bench.fetch(100).await.len(), keys.len());
}

pub async fn a_unique_key_is_free_once_its_job_has_ended(bench: Bench) {
    for (n, end) in ["ack", "dead", "discard", "cancel", "drain", "asked", "poison"].into_iter().enumerate() {
        let (id, stored) = add(&bench, &format!("job{n}"), unique("key")).await;
        assert_eq!(stored, Stored::New, "before {end}");
        let refused = add(&bench, "other", unique("key")).await;
        assert_eq!(refused.1, Stored::Duplicate(id.clone()));
        assert!(bench.broker.job(QUEUE, &refused.0).await.unwrap().is_none());
        match end {
            "cancel" => assert_eq!(bench.broker.cancel(QUEUE, &id).await.unwrap(), Change::Applied),
            "drain" => assert_eq!(bench.broker.drain(QUEUE, 9).await.unwrap(), 1),
            _ => {
                let leased = bench.fetch_one().await;
                bench.nack(&leased.token, retry(0)).await;
                assert_eq!(add(&bench, "other", unique("key")).await.1, Stored::Duplicate(id.clone()), "retried");
                let leased = bench.fetch_one().await;
                assert_eq!(add(&bench, "other", unique("key")).await.1, Stored::Duplicate(id.clone()), "running");
                match end {
                    "ack" => drop(bench.ack(&leased.token).await),
                    "dead" => drop(bench.nack(&leased.token, NackAction::Dead { error: "x".to_owned() }).await),
                    "discard" => drop(bench.nack(&leased.token, NackAction::Discard { reason: "x".to_owned() }).await),
                    "asked" => {
                        bench.broker.cancel(QUEUE, &id).await.unwrap();
                        bench.nack(&leased.token, NackAction::Release).await;
                    }
                    _ => {
                        for _ in 0..3 {
                            bench.tick_for(60).await;
                            bench.fetch(1).await;
                        }
                        assert_eq!(bench.state(&id).await, JobState::Dead);
                    }
                }
            }
        }
    }
    assert_eq!(add(&bench, "last", unique("key")).await.1, Stored::New);
}

pub async fn a_key_held_for_a_time_is_held_exactly_so_long(bench: Bench) {
    let hold = || EnqueueOptions::new().unique(Unique::new("key").hold_for(LEASE));
    let (first, _) = add(&bench, "first", hold()).await;
    let leased = bench.fetch_one().await;
    bench.ack(&leased.token).await;
    bench.advance(29);
    let refused = add(&bench, "second", hold()).await.1;
    assert_eq!(refused, Stored::Duplicate(first), "the end of the job does not free it");
    bench.advance(1);
    let (third, stored) = add(&bench, "third", hold().delay(LEASE * 9)).await;
    assert_eq!(stored, Stored::New);
    bench.advance(30);
    assert_eq!(bench.state(&third).await, JobState::Delayed);
    assert_eq!(add(&bench, "fourth", hold()).await.1, Stored::New, "nor does a job that has not ended keep it");
    // The end of an older job does not release a key that a younger one has taken.
    bench.broker.cancel(QUEUE, &third).await.unwrap();
    assert!(matches!(add(&bench, "fifth", hold()).await.1, Stored::Duplicate(_)));
}

pub async fn a_replacement_takes_place_and_due_time_a_debounce_begins_anew(bench: Bench) {
    let later = |seconds| EnqueueOptions::new().delay(Duration::from_secs(seconds));
    let (old, _) = add(&bench, "old", later(10).unique(Unique::new("r").replace())).await;
    let due = bench.record(&old).await.run_at;
    bench.advance(3);
    let (new, stored) = add(&bench, "new", later(100).unique(Unique::new("r").replace())).await;
    assert_eq!(stored, Stored::Replaced(old.clone()));
    let (gone, record) = (bench.record(&old).await, bench.record(&new).await);
    assert_eq!((gone.state, gone.note), (JobState::Cancelled, Some(format!("replaced by {new}"))));
    assert_eq!((record.state, record.run_at), (JobState::Delayed, due));

    let (slow, _) = add(&bench, "slow", later(10).unique(Unique::new("d").debounce())).await;
    bench.advance(3);
    let (slower, stored) = add(&bench, "slower", later(10).unique(Unique::new("d").debounce())).await;
    assert_eq!(stored, Stored::Replaced(slow));
    assert_eq!(bench.record(&slower).await.run_at, bench.now().after(LEASE / 3));

    bench.advance(100);
    bench.broker.promote(QUEUE, 9).await.unwrap();
    let leased = bench.fetch(9).await;
    assert_eq!(ids(&leased), [new.as_str(), slower.as_str()]);
    let (beside, stored) = add(&bench, "beside", unique("r")).await;
    assert_eq!(stored, Stored::Duplicate(new.clone()), "it runs");
    assert!(bench.broker.job(QUEUE, &beside).await.unwrap().is_none());
    let (beside, stored) = add(&bench, "beside", EnqueueOptions::new().unique(Unique::new("r").replace())).await;
    assert_eq!(stored, Stored::New, "beside one that runs");
    bench.ack(&leased[0].token).await;
    assert_eq!(add(&bench, "x", unique("r")).await.1, Stored::Duplicate(beside), "the older one's end frees nothing");
}

pub async fn a_batch_is_as_if_one_after_the_other(bench: Bench) {
    let replace = || EnqueueOptions::new().unique(Unique::new("r").replace());
    let batch = vec![
        job("plain", EnqueueOptions::new()),
        job("a", unique("k")),
        job("b", unique("k")),
        job("a", unique("k")),
        job("plain", EnqueueOptions::new()),
        job("c", replace()),
        job("d", replace()),
        job("e", ordered("o")),
        job("f", ordered("o")),
    ];
    let name: Vec<JobId> = batch.iter().map(|job| job.id().clone()).collect();
    let stored = bench.broker.enqueue(QUEUE, batch).await.unwrap();
    let expected = [
        Stored::New,
        Stored::New,
        Stored::Duplicate(name[1].clone()),
        Stored::Existing,
        Stored::Existing,
        Stored::New,
        Stored::Replaced(name[5].clone()),
        Stored::New,
        Stored::New,
    ];
    assert_eq!(stored, expected);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.waiting, counts.cancelled), (4, 1, 1));
    let twice = vec![job("twice", EnqueueOptions::new().delay(LEASE)), job("twice", EnqueueOptions::new())];
    assert_eq!(bench.broker.enqueue(QUEUE, twice).await.unwrap(), [Stored::New, Stored::Existing]);
    assert_eq!(bench.state(&JobId::new("twice").unwrap()).await, JobState::Delayed, "the first counts");
}

pub async fn a_repeated_id_is_stored_if_its_first_job_was_refused(bench: Bench) {
    let group = || GroupId::new("g").unwrap();
    let linked = |key| ordered("line").group(group()).unique(Unique::new(key));
    // The ordering key routes all ids, so that one id can occur with several unique keys.
    let (holder, _) = add(&bench, "holder", linked("held")).await;
    let twice = job("twice", linked("held"));
    let id = twice.id().clone();
    let batch = vec![
        job("before", EnqueueOptions::new()),
        twice,
        job("twice", linked("free")),
        job("twice", linked("free")),
        job("after", linked("free")),
    ];
    let after = batch[4].id().clone();
    let refused = |by: &JobId| Stored::Duplicate(by.clone());
    let expected = [Stored::New, refused(&holder), Stored::New, Stored::Existing, refused(&id)];
    assert_eq!(bench.broker.enqueue(QUEUE, batch).await.unwrap(), expected);
    let record = bench.record(&id).await;
    assert_eq!((record.state, record.unique_key.as_deref()), (JobState::Waiting, Some("free")));
    assert!(bench.broker.job(QUEUE, &after).await.unwrap().is_none());

    // Without a key, and with the key of a job in the same batch.
    let (one, other) = (job("one", unique("k")), job("other", unique("k")));
    let (first, second) = (one.id().clone(), other.id().clone());
    let plain = NewJob::new("test", &serde_json::json!(1), EnqueueOptions::new().id(second.clone()), 9).unwrap();
    let stored = bench.broker.enqueue(QUEUE, vec![one, other, plain]).await.unwrap();
    assert_eq!(stored, [Stored::New, refused(&first), Stored::New]);
    let record = bench.record(&second).await;
    assert_eq!((record.state, record.unique_key), (JobState::Ready, None));
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.waiting), (4, 1));
    let counts = bench.broker.group(QUEUE, &group()).await.unwrap().unwrap();
    assert_eq!(counts.total, 2, "refused jobs are not counted: {counts:?}");
}

pub async fn a_revived_job_does_not_take_its_unique_key_again(bench: Bench) {
    let (first, _) = add(&bench, "first", unique("key")).await;
    bench.broker.cancel(QUEUE, &first).await.unwrap();
    let (second, stored) = add(&bench, "second", unique("key")).await;
    assert_eq!(stored, Stored::New);
    assert_eq!(bench.broker.retry(QUEUE, &first).await.unwrap(), Change::Applied);
    assert_eq!(add(&bench, "third", unique("key")).await.1, Stored::Duplicate(second.clone()));
    let leased = bench.fetch(2).await;
    let token = |id: &JobId| &leased.iter().find(|job| job.token.id == *id).unwrap().token;
    bench.ack(token(&first)).await;
    assert_eq!(add(&bench, "third", unique("key")).await.1, Stored::Duplicate(second.clone()));
    bench.ack(token(&second)).await;
    assert_eq!(add(&bench, "third", unique("key")).await.1, Stored::New);
}

pub async fn jobs_of_one_ordering_key_run_one_after_the_other(bench: Bench) {
    let mut line = Vec::new();
    for n in 0..8 {
        line.push(add(&bench, &format!("j{n}"), ordered("key")).await.0);
        bench.advance(1);
    }
    bench.add("free", EnqueueOptions::new()).await;
    let page = bench.broker.list(QUEUE, JobState::Waiting, None, 99).await.unwrap();
    assert_eq!(page.items.iter().map(|job| &job.id).collect::<Vec<_>>(), line[1..].iter().collect::<Vec<_>>());
    let all = bench.fetch(9).await;
    assert_eq!(ids(&all), [line[0].as_str(), "free"]);
    assert_eq!(bench.broker.retry(QUEUE, &line[1]).await.unwrap(), Change::Refused(JobState::Waiting));

    // While it is retried, snoozed, released or reclaimed, it holds the others back.
    bench.nack(&all[0].token, retry(5)).await;
    assert_eq!(bench.fetch(9).await.len(), 0);
    bench.advance(5);
    bench.broker.promote(QUEUE, 9).await.unwrap();
    let again = bench.fetch_one().await;
    bench.nack(&again.token, NackAction::Snooze { delay: Duration::from_secs(5), note: None }).await;
    assert_eq!(bench.fetch(9).await.len(), 0);
    assert_eq!(bench.broker.retry(QUEUE, &line[0]).await.unwrap(), Change::Applied);
    let again = bench.fetch_one().await;
    bench.nack(&again.token, NackAction::Release).await;
    assert_eq!(ids(&bench.fetch(9).await), [line[0].as_str()]);
    bench.tick_for(60).await;
    let again = bench.fetch(9).await;
    assert!(ids(&again).contains(&line[0].as_str()) && !ids(&again).contains(&line[1].as_str()));
    let token = again.iter().find(|job| job.token.id == line[0]).unwrap().token.clone();

    // However it ends, the next one becomes active.
    bench.ack(&token).await;
    let second = bench.fetch_one().await;
    assert_eq!(second.token.id, line[1]);
    bench.nack(&second.token, NackAction::Dead { error: "x".to_owned() }).await;
    assert_eq!(bench.broker.cancel(QUEUE, &line[2]).await.unwrap(), Change::Applied);
    assert_eq!(bench.broker.cancel(QUEUE, &line[4]).await.unwrap(), Change::Applied, "out of the middle");
    let fourth = bench.fetch_one().await;
    assert_eq!(fourth.token.id, line[3]);
    bench.nack(&fourth.token, NackAction::Discard { reason: "x".to_owned() }).await;
    let sixth = bench.fetch_one().await;
    assert_eq!(sixth.token.id, line[5]);
    bench.broker.cancel(QUEUE, &line[5]).await.unwrap();
    bench.nack(&sixth.token, retry(9)).await;
    let seventh = bench.fetch_one().await;
    assert_eq!(seventh.token.id, line[6]);
    // After a job that kills its workers, the next one becomes active too.
    for _ in 0..3 {
        bench.tick_for(60).await;
        if bench.state(&line[6]).await == JobState::Ready {
            bench.fetch(9).await;
        }
    }
    assert_eq!(states(&bench, &[&line[6], &line[7]]).await, [JobState::Dead, JobState::Ready]);
}

pub async fn a_job_that_comes_forward_keeps_its_due_time_and_priority(bench: Bench) {
    let (head, _) = add(&bench, "head", ordered("key")).await;
    let (tail, _) = add(&bench, "tail", ordered("key").delay(LEASE)).await;
    let urgent = ordered("key").priority(tidegate_queue::Priority::HIGHEST);
    let (last, _) = add(&bench, "last", urgent).await;
    assert_eq!(states(&bench, &[&head, &tail, &last]).await, [JobState::Ready, JobState::Waiting, JobState::Waiting]);
    let due = bench.record(&tail).await.run_at;
    let leased = bench.fetch_one().await;
    bench.advance(1);
    bench.ack(&leased.token).await;
    let record = bench.record(&tail).await;
    assert_eq!((record.state, record.run_at), (JobState::Delayed, due));
    bench.advance(29);
    let promoted = bench.broker.promote(QUEUE, 9).await.unwrap();
    assert_eq!(promoted.moved, 1);
    let leased = bench.fetch_one().await;
    assert_eq!(leased.token.id, tail);
    bench.add("normal", EnqueueOptions::new()).await;
    bench.ack(&leased.token).await;
    let forward = bench.fetch(9).await;
    assert_eq!(ids(&forward), [last.as_str(), "normal"]);
    assert_eq!(forward[0].ready_at, bench.now(), "ready since it came forward");
}

pub async fn a_revived_job_waits_behind_the_active_one(bench: Bench) {
    let (first, _) = add(&bench, "first", ordered("key")).await;
    let leased = bench.fetch_one().await;
    bench.nack(&leased.token, NackAction::Dead { error: "x".to_owned() }).await;
    let (second, _) = add(&bench, "second", ordered("key")).await;
    let (third, _) = add(&bench, "third", ordered("key")).await;
    assert_eq!(bench.broker.retry(QUEUE, &first).await.unwrap(), Change::Applied);
    let now = states(&bench, &[&first, &second, &third]).await;
    assert_eq!(now, [JobState::Waiting, JobState::Ready, JobState::Waiting]);
    // The oldest runs first.
    let mut order = Vec::new();
    for _ in 0..3 {
        let leased = bench.fetch_one().await;
        bench.ack(&leased.token).await;
        order.push(leased.token.id);
    }
    assert_eq!(order, [second, first, third]);
    assert_eq!(bench.fetch(9).await.len(), 0);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.waiting, counts.done), (0, 3));
}

pub async fn a_line_is_intact_after_trimming_and_replacing(bench: Bench) {
    let replace = || ordered("line").unique(Unique::new("u").replace());
    let (first, _) = add(&bench, "first", replace()).await;
    let (second, _) = add(&bench, "second", ordered("line")).await;
    // The active one is replaced: the next one becomes active, and the replacement goes to the end.
    let (third, stored) = add(&bench, "third", replace()).await;
    assert_eq!(stored, Stored::Replaced(first.clone()));
    let now = states(&bench, &[&first, &second, &third]).await;
    assert_eq!(now, [JobState::Cancelled, JobState::Ready, JobState::Waiting]);
    // A waiting job is replaced by a waiting one.
    let (fourth, stored) = add(&bench, "fourth", replace()).await;
    assert_eq!(stored, Stored::Replaced(third.clone()));
    assert_eq!(
        states(&bench, &[&second, &third, &fourth]).await,
        [JobState::Ready, JobState::Cancelled, JobState::Waiting]
    );
    bench.advance(1);
    let cancelled = CleanableState::Cancelled;
    assert_eq!(bench.broker.clean(QUEUE, cancelled, Duration::ZERO, 9).await.unwrap(), 2);
    assert_eq!(states(&bench, &[&second, &fourth]).await, [JobState::Ready, JobState::Waiting]);
    let leased = bench.fetch_one().await;
    bench.ack(&leased.token).await;
    let leased = bench.fetch_one().await;
    assert_eq!(leased.token.id, fourth);
    bench.ack(&leased.token).await;
    let (fifth, stored) = add(&bench, "fifth", replace()).await;
    assert_eq!((stored, bench.state(&fifth).await), (Stored::New, JobState::Ready), "the line begins anew");
}
