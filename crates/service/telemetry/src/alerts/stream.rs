//! The live stream of events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_base::permit_pool::{Permit, PermitPool, TooManyFollowers};
use tidegate_perfmon::{Health, Transition};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::time::{Instant, timeout_at};

/// Maximum duration of a subscription. A client that still wants events reconnects and continues
/// after the last event. A client that reads nothing does not occupy a slot for longer.
const MOST_AGE: Duration = Duration::from_secs(3_600);
/// Maximum number of followers. Each occupies a connection.
const MOST_FOLLOWERS: usize = 64;
/// Maximum number of followers of one client, for example some tabs of a browser or some machines
/// behind one address.
const MOST_OF_A_CLIENT: usize = 8;
/// Number of events that wait for the slowest follower before it loses some.
const BACKLOG: usize = 256;

/// Topic of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Alerts that fire, and their ends.
    Alerts,
    /// Changes of health, and its state at the beginning.
    Health,
    /// Metrics that deviate from their past, and those that are forecast to reach their limits.
    Outlook,
    /// Advice, and changes made on it.
    Advice,
    /// Changed counts of queues.
    Queues,
    /// Events of jobs, from queues whose settings have `events`.
    Jobs,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 6] = [Self::Alerts, Self::Health, Self::Outlook, Self::Advice, Self::Queues, Self::Jobs];

    /// Topics of a client that names none. Events of busy queues would displace these in a slow
    /// client's stream.
    pub const USUAL: [Self; 4] = [Self::Alerts, Self::Health, Self::Outlook, Self::Advice];

    /// Its name in requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Health => "health",
            Self::Outlook => "outlook",
            Self::Advice => "advice",
            Self::Queues => "queues",
            Self::Jobs => "jobs",
        }
    }
}

/// One event.
#[derive(Debug, Clone)]
pub struct StreamEvent {
    /// Topic of the event. `None` for a gap, which concerns all followers.
    topic: Option<Topic>,
    /// `alert`, `health`, `anomaly`, `forecast`, `advice`, `change`, `queue`, `job` or `gap`.
    pub name: &'static str,
    /// Id after which a follower can resume. `None` if that is not possible.
    pub id: Option<Arc<str>>,
    /// JSON. Secrets are already masked.
    pub data: Arc<str>,
}

impl StreamEvent {
    /// Makes the event of an alert's transition, in the same JSON as a webhook's.
    pub(super) fn alert(epoch: u64, step: &Transition) -> Self {
        let id = Some(id_of(epoch, step.seq).into());
        // A transition contains only numbers and texts, which always serialize.
        let data = serde_json::to_string(step).unwrap_or_default().into();
        Self { topic: Some(Topic::Alerts), name: "alert", id, data }
    }

    pub(super) fn health(status: Health, score: Option<u8>, reason: Option<&str>) -> Self {
        Self::unnumbered(Some(Topic::Health), "health", &json!({"health": status, "score": score, "reason": reason}))
    }

    /// Makes a gap: this number of events was lost. `None` if the number is unknown.
    pub(super) fn gap(missed: Option<u64>) -> Self {
        let data = json!({"missed": missed, "read": "/api/performance?type=alerts"});
        Self::unnumbered(None, "gap", &data)
    }

    pub(super) fn unnumbered(topic: Option<Topic>, name: &'static str, data: &Value) -> Self {
        Self { topic, name, id: None, data: data.to_string().into() }
    }
}

/// Returns the id of a transition's event.
pub(super) fn id_of(epoch: u64, seq: u64) -> String {
    format!("{epoch}-{seq}")
}

/// Returns the transition's number from an id of this process. `None` for any other text.
pub(super) fn seq_in(id: &str, epoch: u64) -> Option<u64> {
    let (of, seq) = id.split_once('-')?;
    (of.parse() == Ok(epoch)).then(|| seq.parse().ok()).flatten()
}

/// Sends events to all followers. Never waits for any of them.
#[derive(Debug)]
pub(super) struct Stream {
    sender: Sender<StreamEvent>,
    permits: PermitPool,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Number of followers of each topic.
    followers: [AtomicUsize; Topic::ALL.len()],
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(BACKLOG).0,
            permits: PermitPool::new(MOST_FOLLOWERS, MOST_OF_A_CLIENT),
            counts: Arc::default(),
        }
    }
}

impl Stream {
    pub(super) fn tell(&self, event: &StreamEvent) {
        // An error means that there are no followers.
        let _ = self.sender.send(event.clone());
    }

    /// Adds a follower that gets `first` before new events.
    pub(super) fn follow(
        &self,
        client: &str,
        topics: &[Topic],
        first: Vec<StreamEvent>,
    ) -> Result<Follower, TooManyFollowers> {
        let permit = self.permits.take(client)?;
        for topic in topics {
            self.counts.followers[*topic as usize].fetch_add(1, Ordering::Relaxed);
        }
        Ok(Follower {
            first: first.into(),
            receiver: self.sender.subscribe(),
            topics: topics.to_vec(),
            counts: Arc::clone(&self.counts),
            until: Instant::now() + MOST_AGE,
            _permit: permit,
        })
    }

    pub(super) fn is_followed(&self, topic: Topic) -> bool {
        self.counts.followers[topic as usize].load(Ordering::Relaxed) > 0
    }

    pub(super) fn followers(&self) -> usize {
        self.permits.taken()
    }

    /// Returns the number of events that followers received, and of those that they lost.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.counts.delivered.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }
}

/// A follower of events. If it reads too slowly, it loses the oldest ones, and gets a `gap` event.
#[derive(Debug)]
pub struct Follower {
    first: VecDeque<StreamEvent>,
    receiver: Receiver<StreamEvent>,
    topics: Vec<Topic>,
    counts: Arc<Counts>,
    until: Instant,
    _permit: Permit,
}

impl Drop for Follower {
    fn drop(&mut self) {
        for topic in &self.topics {
            self.counts.followers[*topic as usize].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Follower {
    /// Returns the next event. `None` after the end of the subscription, at the latest after an
    /// hour. Cancel-safe.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        timeout_at(self.until, self.wait()).await.ok().flatten()
    }

    async fn wait(&mut self) -> Option<StreamEvent> {
        loop {
            let told = match self.first.pop_front() {
                Some(told) => told,
                None => match self.receiver.recv().await {
                    Ok(told) => told,
                    Err(RecvError::Lagged(missed)) => {
                        self.counts.dropped.fetch_add(missed, Ordering::Relaxed);
                        return Some(StreamEvent::gap(Some(missed)));
                    }
                    Err(RecvError::Closed) => return None,
                },
            };
            if told.topic.is_none_or(|topic| self.topics.contains(&topic)) {
                self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                return Some(told);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_follower_that_is_too_slow_gets_a_gap() {
        let stream = Stream::default();
        let mut slow = stream.follow("", &Topic::ALL, Vec::new()).unwrap();
        for _ in 0..BACKLOG + 10 {
            stream.tell(&StreamEvent::health(Health::Degraded, Some(70), None));
        }
        let gap = slow.next().await.unwrap();
        assert_eq!((gap.name, &gap.id), ("gap", &None));
        let data: Value = serde_json::from_str(&gap.data).unwrap();
        assert_eq!(data["missed"], 10);
        for _ in 0..BACKLOG {
            assert_eq!(slow.next().await.unwrap().name, "health");
        }
        assert_eq!(stream.counts(), (BACKLOG as u64, 10));
    }

    #[tokio::test]
    async fn a_stream_has_the_requested_topics_and_always_gaps() {
        let stream = Stream::default();
        let first = vec![StreamEvent::gap(None), StreamEvent::health(Health::Healthy, Some(100), None)];
        let mut alerts = stream.follow("", &[Topic::Alerts], first).unwrap();
        assert_eq!(alerts.next().await.unwrap().name, "gap");
        stream.tell(&StreamEvent::health(Health::Degraded, None, None));
        drop(stream);
        assert!(alerts.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_after_an_hour_and_its_follower_may_reconnect() {
        let stream = Stream::default();
        let mut old = stream.follow("a", &Topic::ALL, Vec::new()).unwrap();
        let began = Instant::now();
        let told = tokio::join!(old.next(), async {
            tokio::time::sleep(MOST_AGE - Duration::from_secs(1)).await;
            stream.tell(&StreamEvent::health(Health::Healthy, None, None));
        });
        assert!(told.0.is_some());
        assert!(old.next().await.is_none());
        assert_eq!(began.elapsed(), MOST_AGE);
        drop(old);
        assert_eq!(stream.followers(), 0);
    }

    #[test]
    fn ids_are_known_again_only_by_the_process_that_gave_them() {
        assert_eq!(seq_in(&id_of(17, 3), 17), Some(3));
        for foreign in ["18-3", "17", "17-", "-3", "17-x", "", "17-3-1", "17--3"] {
            assert_eq!(seq_in(foreign, 17), None, "{foreign}");
        }
    }
}
