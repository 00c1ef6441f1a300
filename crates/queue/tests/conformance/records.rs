//! Data stored with a job: checkpoint, log, expiry, trace, events. And documents.

use std::time::Duration;

use serde_json::json;
use tidegate_queue::{
    BrokerError, CleanableState, EnqueueOptions, EventCursor, JobEvent, JobEventKind, JobId, LogLine, NackAction,
    Progress, QueueSettings,
};

use crate::support::{Bench, LEASE, QUEUE, jobs, retry};

pub async fn a_checkpoint_stays_with_the_job(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    let first = bench.fetch_one().await;
    assert_eq!(first.checkpoint, None);
    let store = |token, text: &str| bench.broker.checkpoint(QUEUE, token, text.to_owned());
    assert!(store(&first.token, "page 1").await.unwrap());
    assert!(store(&first.token, "page '2' 🌊\n\0").await.unwrap());
    bench.nack(&first.token, retry(0)).await;
    assert!(!store(&first.token, "late").await.unwrap());
    let second = bench.fetch_one().await;
    assert_eq!(second.checkpoint.as_deref(), Some("page '2' 🌊\n\0"));
    assert!(!store(&first.token, "late").await.unwrap());
    let limit = "x".repeat(64 << 10);
    assert!(store(&second.token, &limit).await.unwrap());
    let refused = store(&second.token, &format!("{limit}y")).await;
    assert!(matches!(refused, Err(BrokerError::TooLarge { bytes: 65_537, limit: 65_536, .. })));
    bench.tick_for(60).await;
    assert!(!store(&second.token, "late").await.unwrap());
    let third = bench.fetch_one().await;
    assert_eq!(third.checkpoint.as_ref(), Some(&limit), "kept over a lost lease");
    bench.nack(&third.token, NackAction::Dead { error: "x".to_owned() }).await;
    bench.broker.retry(QUEUE, &id).await.unwrap();
    assert_eq!(bench.fetch_one().await.checkpoint.as_ref(), Some(&limit), "and over a retry by hand");
    assert_eq!(bench.record(&id).await.checkpoint, Some(limit));
    assert!(!bench.broker.checkpoint("nowhere", &third.token, String::new()).await.unwrap());
}

pub async fn a_log_keeps_its_last_lines_and_goes_with_its_job(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    let first = bench.fetch_one().await;
    let log = |token, lines: Vec<String>| bench.broker.log(QUEUE, token, lines);
    assert!(log(&first.token, vec!["one".to_owned(), "zwei ü".to_owned()]).await.unwrap());
    assert!(log(&first.token, vec![]).await.unwrap());
    let at = bench.now();
    bench.advance(1);
    bench.nack(&first.token, retry(0)).await;
    assert!(!log(&first.token, vec!["late".to_owned()]).await.unwrap());
    let second = bench.fetch_one().await;
    assert!(log(&second.token, vec!["x".repeat(10_000)]).await.unwrap());
    let lines = bench.broker.logs(QUEUE, &id).await.unwrap();
    assert_eq!(lines[0], LogLine { at, delivery: 1, text: "one".to_owned() });
    assert_eq!((lines.len(), lines[1].text.as_str(), lines[2].delivery), (3, "zwei ü", 2));
    assert!(lines[2].text.len() <= 4_096 + 3 && lines[2].at == bench.now());
    for round in 0..3 {
        let lines = (0..70).map(|n| format!("{}", round * 70 + n)).collect();
        assert!(log(&second.token, lines).await.unwrap());
    }
    let lines = bench.broker.logs(QUEUE, &id).await.unwrap();
    let texts: Vec<_> = lines.iter().map(|line| line.text.clone()).collect();
    assert_eq!(texts, (110..210).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(log(&second.token, (0..250).map(|n| format!("big {n}")).collect()).await.unwrap());
    let lines = bench.broker.logs(QUEUE, &id).await.unwrap();
    assert_eq!((lines.len(), lines[0].text.as_str(), lines[99].text.as_str()), (100, "big 150", "big 249"));
    bench.ack(&second.token).await;
    assert_eq!(bench.broker.logs(QUEUE, &id).await.unwrap().len(), 100, "kept with the record");
    bench.advance(1);
    bench.broker.clean(QUEUE, CleanableState::Done, Duration::ZERO, 9).await.unwrap();
    assert_eq!(bench.broker.logs(QUEUE, &id).await.unwrap(), []);
    bench.add("a", EnqueueOptions::new()).await;
    assert_eq!(bench.broker.logs(QUEUE, &id).await.unwrap(), [], "not inherited by the next of that id");
    assert_eq!(bench.broker.logs("nowhere", &id).await.unwrap(), []);
}

pub async fn a_lease_carries_expiry_and_trace(bench: Bench) {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let options = EnqueueOptions::new().expires_in(LEASE).trace_parent(trace).timeout(LEASE).max_attempts(3);
    let id = bench.add("a", options).await;
    bench.add("b", EnqueueOptions::new().not_after(bench.now().before(LEASE))).await;
    let expires = bench.now().after(LEASE);
    bench.advance(1);
    let leased = bench.fetch(2).await;
    assert_eq!((leased[0].expires_at, leased[0].trace_parent.as_deref()), (Some(expires), Some(trace)));
    assert_eq!((leased[0].timeout, leased[0].max_attempts), (Some(LEASE), Some(3)));
    assert_eq!((leased[1].expires_at.is_some_and(|at| at < expires), &leased[1].trace_parent), (true, &None));
    bench.nack(&leased[0].token, retry(0)).await;
    let again = bench.fetch_one().await;
    assert_eq!((again.expires_at, again.trace_parent.as_deref()), (Some(expires), Some(trace)));
    assert_eq!(bench.record(&id).await.expires_at, Some(expires));
}

async fn watch(bench: &Bench, events: bool) {
    bench.broker.configure(QUEUE, QueueSettings { events, ..QueueSettings::default() }).await.unwrap();
}

pub async fn events_record_each_change(bench: Bench) {
    bench.add("unseen", EnqueueOptions::new()).await;
    let begin = bench.broker.events(QUEUE, None, 99).await.unwrap();
    assert_eq!(begin.events, []);
    watch(&bench, true).await;
    let start = bench.broker.events(QUEUE, None, 99).await.unwrap().cursor;
    bench.advance(1);
    let id = bench.add("a", EnqueueOptions::new()).await;
    bench.add("a", EnqueueOptions::new()).await;
    let leased = bench.fetch(2).await;
    let token = &leased[1].token;
    bench.broker.progress(QUEUE, token, Progress { percent: 40, message: "secret".to_owned() }).await.unwrap();
    bench.nack(token, retry(0)).await;
    bench.nack(token, retry(0)).await;
    let token = bench.fetch_one().await.token;
    bench.nack(&token, NackAction::Release).await;
    let token = bench.fetch_one().await.token;
    bench.nack(&token, NackAction::Dead { error: "x".to_owned() }).await;
    bench.broker.retry(QUEUE, &id).await.unwrap();
    bench.broker.cancel(QUEUE, &id).await.unwrap();
    bench.ack(&leased[0].token).await;
    let page = bench.broker.events(QUEUE, Some(start.clone()), 99).await.unwrap();
    let of_a: Vec<_> = page.events.iter().filter(|event| event.id == id).map(|event| event.what).collect();
    let expected = [
        JobEventKind::Enqueued,
        JobEventKind::Started,
        JobEventKind::Progress { percent: 40 },
        JobEventKind::Retried,
        JobEventKind::Started,
        JobEventKind::Released,
        JobEventKind::Started,
        JobEventKind::Dead,
        JobEventKind::Revived,
        JobEventKind::Cancelled,
    ];
    assert_eq!(of_a, expected);
    assert_eq!(page.events.len(), expected.len() + 2, "started and done of the other");
    assert!(page.events.iter().all(|event| event.at == bench.now()));
    assert!(!serde_json::to_string(&page).unwrap().contains("secret"));

    // Page by page, the events are the same.
    let (mut cursor, mut all) = (start, Vec::new());
    loop {
        let text = cursor.as_str().to_owned();
        let next = bench.broker.events(QUEUE, Some(EventCursor::from_text(text)), 5).await.unwrap();
        if next.events.is_empty() {
            assert_eq!(next.cursor, cursor);
            break;
        }
        assert!(next.events.len() <= 5);
        all.extend(next.events);
        cursor = next.cursor;
    }
    assert_eq!(all, page.events);
    watch(&bench, false).await;
    bench.add("c", EnqueueOptions::new()).await;
    assert_eq!(bench.broker.events(QUEUE, Some(cursor), 99).await.unwrap().events, []);
}

/// Reads page by page, since a broker may return fewer events than requested. Pages of one event
/// show each event once, including those before and after the jump.
pub async fn each_event_is_read_once_after_the_clock_jumped_back(bench: Bench) {
    watch(&bench, true).await;
    let mut cursor = bench.broker.events(QUEUE, None, 9).await.unwrap().cursor;
    bench.advance(100);
    bench.add("before", EnqueueOptions::new()).await;
    bench.clock.set(bench.now().before(LEASE));
    bench.add("after", EnqueueOptions::new()).await;
    bench.advance(100);
    bench.add("later", EnqueueOptions::new()).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let page = bench.broker.events(QUEUE, Some(cursor), 1).await.unwrap();
        ids.extend(page.events.into_iter().map(|event| event.id.to_string()));
        cursor = page.cursor;
    }
    assert_eq!(ids, ["before", "after", "later"]);
}

async fn all_events(bench: &Bench, mut cursor: EventCursor) -> Vec<JobEvent> {
    let mut all = Vec::new();
    loop {
        let page = bench.broker.events(QUEUE, Some(cursor), 20_000).await.unwrap();
        cursor = page.cursor;
        if page.events.is_empty() {
            return all;
        }
        all.extend(page.events);
    }
}

pub async fn an_event_cursor_too_old_or_unreadable_goes_on_at_the_oldest_kept(bench: Bench) {
    watch(&bench, true).await;
    let start = bench.broker.events(QUEUE, None, 9).await.unwrap().cursor;
    for n in 0..12 {
        bench.broker.enqueue(QUEUE, jobs(n * 1_000..(n + 1) * 1_000)).await.unwrap();
    }
    let events = all_events(&bench, start).await;
    let kept = events.len();
    assert!((9_900..=11_999).contains(&kept), "{kept}");
    assert_eq!(events[kept - 1].id, JobId::new("job-011999").unwrap());
    for garbage in ["", "garbage", "-1", "'; DROP TABLE event", "999999999999999999999999999999", "🌊"] {
        let events = all_events(&bench, EventCursor::from_text(garbage)).await;
        assert!(events.len() == kept || events.is_empty(), "{garbage}: {}", events.len());
    }
    let nowhere = bench.broker.events("nowhere", Some(EventCursor::from_text("5")), 9).await.unwrap();
    assert_eq!(nowhere.events, []);
}

pub async fn documents_change_by_compare_and_set(bench: Bench) {
    let broker = &bench.broker;
    let put = |name, expected, body: Option<&str>| broker.put_document("c", name, expected, body.map(str::to_owned));
    assert_eq!(broker.document("c", "a").await.unwrap(), None);
    assert_eq!(broker.documents("c").await.unwrap(), []);
    assert!(!put("a", Some(1), Some("x")).await.unwrap());
    assert!(put("a", None, Some("one")).await.unwrap());
    assert!(!put("a", None, Some("two")).await.unwrap());
    let first = broker.document("c", "a").await.unwrap().unwrap();
    assert_eq!(first.body, "one");
    assert!(put("a", Some(first.revision), Some("{\"two\": \"🌊 '%\"}")).await.unwrap());
    assert!(!put("a", Some(first.revision), Some("three")).await.unwrap());
    assert!(!put("a", Some(first.revision), None).await.unwrap());
    let second = broker.document("c", "a").await.unwrap().unwrap();
    assert_eq!((second.body.as_str(), second.revision > first.revision), ("{\"two\": \"🌊 '%\"}", true));
    assert!(put("a", Some(second.revision), None).await.unwrap());
    assert_eq!(broker.document("c", "a").await.unwrap(), None);
    assert!(put("a", None, Some("again")).await.unwrap());
    let third = broker.document("c", "a").await.unwrap().unwrap();
    assert!(third.revision > second.revision, "never the same for two bodies");

    assert!(put("b.2", None, Some("")).await.unwrap());
    assert!(put("B", None, Some("b")).await.unwrap());
    assert!(broker.put_document("cc", "z", None, Some("z".to_owned())).await.unwrap());
    let all = broker.documents("c").await.unwrap();
    assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["B", "a", "b.2"]);
    assert_eq!(all[1].1, third);

    let limit = "x".repeat(64 << 10);
    assert!(put("big", None, Some(&limit)).await.unwrap());
    let refused = put("bigger", None, Some(&format!("{limit}y"))).await;
    assert!(matches!(refused, Err(BrokerError::TooLarge { bytes: 65_537, limit: 65_536, .. })));
    assert!(put("gone", None, None).await.unwrap(), "nothing stays nothing");
    assert_eq!(broker.document("c", "gone").await.unwrap(), None);
}

pub async fn one_of_many_writers_of_a_document_wins(bench: Bench) {
    for round in 0..5 {
        let before = bench.broker.document("c", "race").await.unwrap().map(|document| document.revision);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let broker = bench.broker.clone();
            let body = json!({ "round": round, "by": n }).to_string();
            tasks.spawn(async move {
                let won = broker.put_document("c", "race", before, Some(body.clone())).await.unwrap();
                won.then_some(body)
            });
        }
        let winners: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(bench.broker.document("c", "race").await.unwrap().unwrap().body, winners[0]);
    }
}
