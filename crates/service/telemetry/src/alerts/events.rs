//! Events of this process for clients that follow them.

use serde_json::Value;
use tidegate_base::permit_pool::TooManyFollowers;

use super::dispatcher::AlertDispatcher;
use super::stream::{self, Follower, StreamEvent, Topic};

impl AlertDispatcher {
    /// Follows new events for `client`. With `after`, the id of an event, starts after that event,
    /// as far as events are remembered.
    ///
    /// # Errors
    ///
    /// [`TooManyFollowers`] if the limit in total or for that client is reached.
    pub fn follow(&self, client: &str, topics: &[Topic], after: Option<&str>) -> Result<Follower, TooManyFollowers> {
        let state = self.state();
        let mut first = Vec::new();
        if let Some(after) = after {
            let since = stream::seq_in(after, self.epoch).map(|seq| state.alerts.since(seq));
            if since.as_ref().is_none_or(|since| since.missed) {
                first.push(StreamEvent::gap(None));
            }
            let missed = since.into_iter().flat_map(|since| since.transitions);
            first.extend(missed.filter(|step| step.notify).map(|step| StreamEvent::alert(self.epoch, &step)));
        }
        let (status, score) = self.latest.told();
        first.push(StreamEvent::health(status, score, None));
        if topics.contains(&Topic::Queues) {
            first.extend(state.queues.values().cloned());
        }
        self.stream.follow(client, topics, first)
    }

    /// Whether a client follows the topic.
    pub(crate) fn is_followed(&self, topic: Topic) -> bool {
        self.stream.is_followed(topic)
    }

    /// Sends an event without a lifecycle to the topic's followers. Its texts are already masked.
    pub(crate) fn announce(&self, topic: Topic, name: &'static str, data: &Value) {
        self.stream.tell(&StreamEvent::unnumbered(Some(topic), name, data));
    }

    /// Sends the changed counts of a queue, and keeps them for later followers.
    pub(crate) fn announce_counts(&self, queue: &'static str, data: &Value) {
        let told = StreamEvent::unnumbered(Some(Topic::Queues), "queue", data);
        // Both under the lock, so that a new follower gets these counts exactly once.
        let mut state = self.state();
        self.stream.tell(&told);
        state.queues.insert(queue, told);
    }

    /// Removes the kept counts, which are only up to date while a client follows them.
    pub(crate) fn forget_counts(&self) {
        self.state().queues.clear();
    }
}
