//! Events of jobs and queues for the event stream.
//!
//! The job store is read only while a client follows the topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidegate_model::queues::QUEUES;
use tidegate_queue::{Broker, EventCursor, QueueCounts};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::alerts::{AlertDispatcher, Topic};

const PERIOD: Duration = Duration::from_secs(1);
/// Timeout of an answer of the job store.
const PATIENCE: Duration = Duration::from_secs(1);
/// Maximum number of events that one queue sends in a period, so that a busy queue does not
/// displace other events. For a queue with more, a `gap` replaces the rest, so that events are
/// never old.
const MOST: usize = 100;

/// The counts and cursors that were last sent.
#[derive(Default)]
struct Sent {
    counts: BTreeMap<&'static str, QueueCounts>,
    cursors: BTreeMap<&'static str, EventCursor>,
}

/// Sends changed counts of queues and events of jobs once a second until `shutdown`.
pub(crate) async fn run(dispatcher: Arc<AlertDispatcher>, broker: Arc<dyn Broker>, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = Sent::default();
    let sending = async {
        loop {
            ticks.tick().await;
            sent.send(&dispatcher, &*broker).await;
        }
    };
    shutdown.run_until_cancelled(sending).await;
}

impl Sent {
    async fn send(&mut self, dispatcher: &AlertDispatcher, broker: &dyn Broker) {
        if dispatcher.is_followed(Topic::Queues) {
            self.send_counts(dispatcher, broker).await;
        } else {
            self.counts.clear();
            dispatcher.forget_counts();
        }
        if dispatcher.is_followed(Topic::Jobs) {
            for queue in QUEUES {
                self.events_of(queue, dispatcher, broker).await;
            }
        } else {
            self.cursors.clear();
        }
    }

    async fn send_counts(&mut self, dispatcher: &AlertDispatcher, broker: &dyn Broker) {
        let Ok(Ok(overviews)) = tokio::time::timeout(PATIENCE, broker.overviews(QUEUES)).await else { return };
        for (&queue, overview) in QUEUES.iter().zip(overviews) {
            // The age changes each second even if nothing else does.
            let mut compared = overview.counts.clone();
            compared.oldest_ready_age = None;
            if self.counts.get(queue) != Some(&compared) {
                self.counts.insert(queue, compared);
                let mut data = json!(overview.counts);
                data["queue"] = queue.into();
                dispatcher.announce_counts(queue, &data);
            }
        }
    }

    async fn events_of(&mut self, queue: &'static str, dispatcher: &AlertDispatcher, broker: &dyn Broker) {
        // Without a cursor, only the starting position is read.
        let after = self.cursors.get(queue).cloned();
        let Ok(Ok(mut page)) = tokio::time::timeout(PATIENCE, broker.events(queue, after, MOST)).await else { return };
        for event in &page.events {
            let mut data = json!(event);
            data["queue"] = queue.into();
            dispatcher.announce(Topic::Jobs, "job", &data);
        }
        if page.events.len() == MOST {
            let Ok(Ok(newest)) = tokio::time::timeout(PATIENCE, broker.events(queue, None, MOST)).await else { return };
            if newest.cursor != page.cursor {
                let read = format!("/api/queue/{queue}/events");
                dispatcher.announce(Topic::Jobs, "gap", &json!({"queue": queue, "read": read}));
            }
            page.cursor = newest.cursor;
        }
        self.cursors.insert(queue, page.cursor);
    }
}

#[cfg(test)]
mod tests {
    use tidegate_queue::{EnqueueOptions, NewJob, QueueSettings};

    use super::*;
    use crate::test_ground::Ground;

    const QUEUE: &str = "import";

    async fn add(broker: &dyn Broker) {
        let job = NewJob::new("test", &json!(1), EnqueueOptions::new(), 100).unwrap();
        broker.enqueue(QUEUE, vec![job]).await.unwrap();
    }

    #[tokio::test]
    async fn a_queue_with_too_many_events_sends_a_gap_and_goes_on_with_new_ones() {
        let Ground { telemetry, .. } = &Ground::new().await;
        let (dispatcher, broker) = (telemetry.alerts(), &*telemetry.broker);
        broker.configure(QUEUE, QueueSettings { events: true, ..QueueSettings::default() }).await.unwrap();
        let mut sent = Sent::default();
        let mut follower = dispatcher.follow("", &[Topic::Jobs], None).unwrap();
        sent.send(dispatcher, broker).await;
        let told = async |follower: &mut crate::Follower| {
            let mut names = Vec::new();
            while let Some(next) = futures_util::FutureExt::now_or_never(follower.next()).flatten() {
                names.push((next.name, next.data));
            }
            names
        };
        for _ in 0..MOST + 1 {
            add(broker).await;
        }
        sent.send(dispatcher, broker).await;
        let first = told(&mut follower).await;
        assert_eq!(first.iter().filter(|(name, _)| *name == "job").count(), MOST);
        let (name, data) = first.last().unwrap();
        assert_eq!((*name, &**data), ("gap", &*format!(r#"{{"queue":"{QUEUE}","read":"/api/queue/{QUEUE}/events"}}"#)));
        sent.send(dispatcher, broker).await;
        assert!(told(&mut follower).await.is_empty(), "nothing old follows");
        for _ in 0..MOST {
            add(broker).await;
        }
        sent.send(dispatcher, broker).await;
        let names: Vec<_> = told(&mut follower).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["job"; MOST], "none is missing");
    }

    #[tokio::test]
    async fn followers_get_changed_counts_and_events_of_jobs() {
        let Ground { telemetry, .. } = &Ground::new().await;
        let (dispatcher, broker) = (telemetry.alerts(), &*telemetry.broker);
        broker.configure(QUEUE, QueueSettings { events: true, ..QueueSettings::default() }).await.unwrap();
        let mut sent = Sent::default();
        add(broker).await;
        sent.send(dispatcher, broker).await;
        assert!(sent.counts.is_empty() && sent.cursors.is_empty(), "without a follower");

        let mut follower = dispatcher.follow("", &[Topic::Jobs, Topic::Queues], None).unwrap();
        sent.send(dispatcher, broker).await;
        for queue in QUEUES {
            let told = follower.next().await.unwrap();
            let data: serde_json::Value = serde_json::from_str(&told.data).unwrap();
            assert_eq!((told.name, &data["queue"]), ("queue", &json!(queue)), "at first the counts of all queues");
        }
        add(broker).await;
        sent.send(dispatcher, broker).await;
        sent.send(dispatcher, broker).await;
        let mut told = Vec::new();
        for _ in 0..2 {
            let next = follower.next().await.unwrap();
            told.push((next.name, serde_json::from_str::<serde_json::Value>(&next.data).unwrap()));
        }
        assert_eq!((told[0].0, &told[0].1["queue"], &told[0].1["ready"]), ("queue", &json!(QUEUE), &json!(2)));
        assert_eq!((told[1].0, &told[1].1["queue"], &told[1].1["event"]), ("job", &json!(QUEUE), &json!("enqueued")));
        assert!(
            futures_util::FutureExt::now_or_never(follower.next()).is_none(),
            "what did not change is not repeated"
        );

        let mut second = dispatcher.follow("", &[Topic::Queues], None).unwrap();
        sent.send(dispatcher, broker).await;
        let mut ready = BTreeMap::new();
        for _ in QUEUES {
            let next = futures_util::FutureExt::now_or_never(second.next()).flatten().expect("counts of each queue");
            let data: serde_json::Value = serde_json::from_str(&next.data).unwrap();
            ready.insert(data["queue"].as_str().unwrap().to_owned(), data["ready"].clone());
        }
        assert_eq!((ready.len(), &ready[QUEUE]), (QUEUES.len(), &json!(2)), "a later follower gets all counts");
        assert!(futures_util::FutureExt::now_or_never(second.next()).is_none(), "and gets them once");

        drop((follower, second));
        sent.send(dispatcher, broker).await;
        assert!(sent.counts.is_empty(), "the followers are gone");
        let mut third = dispatcher.follow("", &[Topic::Queues], None).unwrap();
        assert!(
            futures_util::FutureExt::now_or_never(third.next()).is_none(),
            "counts are kept only while they are followed"
        );
    }
}
