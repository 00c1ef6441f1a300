//! The heartbeat of the tracking.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value as Fred;
use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::channel::{Channel, Line};
use super::pump::Pump;
use super::{Cause, Notice, Teller};
use crate::error::{Error, ErrorKind};
use crate::shards::{Connection, Shard, Shards};
use crate::slot;
use crate::value::Value;

/// The shortest life of the key that detects a flush. Each heartbeat renews it.
const EPOCH_LIFE: Duration = Duration::from_secs(60);

/// Source of the notices.
pub(super) enum Way {
    /// The server tracks keys with these prefixes.
    Tracked(Vec<String>),
    /// Processes publish their changes on the channel.
    Published(Channel),
}

/// This many unanswered heartbeats in a row count as an outage. A single one may have been late.
const UNANSWERED: u32 = 2;

/// Keeps every primary tracked, or its channel subscribed.
pub(super) struct Watcher {
    shards: Shards,
    way: Way,
    /// Prefix of the names of the epoch keys.
    epochs: String,
    teller: Teller,
    complete: watch::Sender<bool>,
    early: Arc<Notify>,
    watched: Vec<Watched>,
    has_begun: bool,
    was_refused: bool,
}

/// A watched primary.
struct Watched {
    shard: Shard,
    /// One of its slots, and the key in it that a flush removes.
    slot: u16,
    epoch_key: String,
    epoch: Option<Bytes>,
    /// Whether it was tracked before. If it is not tracked then, notices were lost.
    was_tracked: bool,
    /// Heartbeats in a row that failed with an outage.
    unanswered: u32,
    /// Whether the key had to be abandoned, so that a flush since its last reading would go
    /// unnoticed.
    lost_epoch: bool,
    ear: Ear,
}

/// Source of the notices of a primary.
enum Ear {
    /// The connection of its commands, on which it tracks.
    Tracked { _pump: Pump },
    /// A separate connection that is subscribed to the channel. `None` until it is open, and after
    /// each failure.
    Subscribed(Option<Box<Subscription>>),
}

struct Subscription {
    connection: Connection,
    line: Arc<Line>,
    _pump: Pump,
}

/// Answer of a primary.
struct Answer {
    was_on: bool,
    epoch: Bytes,
}

impl Watcher {
    pub(super) fn new(shards: Shards, way: Way, teller: Teller, complete: watch::Sender<bool>) -> Self {
        let name = match &way {
            Way::Tracked(prefixes) => prefixes.first().map_or("", String::as_str),
            Way::Published(channel) => channel.name(),
        };
        // The keys of an installation start with its name and a colon.
        let epochs = format!("{}:epoch:", name.split(':').next().unwrap_or_default());
        let (early, watched) = (Arc::new(Notify::new()), Vec::new());
        Self { shards, way, epochs, teller, complete, early, watched, has_begun: false, was_refused: false }
    }

    pub(super) async fn run(mut self, heartbeat: Duration) {
        let mut changes = self.shards.version();
        loop {
            tokio::select! {
                () = sleep(heartbeat) => {}
                () = self.early.notified() => {}
                Ok(()) = changes.changed() => {}
            }
            let failures = self.beat(heartbeat).await;
            let is_refused = failures.iter().any(is_refusal);
            if is_refused && !std::mem::replace(&mut self.was_refused, is_refused) {
                self.teller.tell(Notice::Refused);
            }
            self.was_refused = is_refused;
        }
    }

    /// Checks every primary, starts tracking where it is off, and reports losses. Returns the
    /// failures.
    pub(super) async fn beat(&mut self, heartbeat: Duration) -> Vec<Error> {
        let mut lost = self.meet();
        let life = EPOCH_LIFE.max(heartbeat * 20);
        let mut watched = std::mem::take(&mut self.watched);
        let answers = join_all(watched.iter_mut().map(|watched| self.ask(watched, life))).await;
        self.watched = watched;
        let mut failures = Vec::new();
        for (watched, answer) in self.watched.iter_mut().zip(answers) {
            match answer {
                Ok(answer) => lost = watched.take(answer).or(lost),
                Err(error) => {
                    // The slot of its key is migrating to another server.
                    if matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN")) {
                        watched.use_slot(some_slot_of(&self.shards, &watched.shard), &self.epochs);
                        self.shards.hint();
                        self.early.notify_one();
                    }
                    watched.unanswered = if error.is_outage() { watched.unanswered + 1 } else { 0 };
                    // If no other command is sent, no other code would detect this, and a hung
                    // connection would stay for ever.
                    if watched.unanswered >= UNANSWERED {
                        self.shards.report(watched.slot);
                    }
                    failures.push(error);
                }
            }
        }
        // Reported after everything is tracked: data that is read from now on is covered by notices
        // again.
        if let Some(cause) = lost.filter(|_| self.has_begun) {
            tracing::info!(%cause, "notices of changed keys may have been lost");
            self.teller.forget_everything(cause);
        }
        self.has_begun = true;
        let is_complete = failures.is_empty() && !self.watched.is_empty();
        self.complete.send_if_modified(|complete| std::mem::replace(complete, is_complete) != is_complete);
        failures
    }

    /// Updates the list to the current primaries.
    fn meet(&mut self) -> Option<Cause> {
        let now = self.shards.all();
        let before = self.watched.len();
        self.watched.retain(|watched| now.iter().any(|shard| shard.is(&watched.shard)));
        let mut has_changed = self.watched.len() != before;
        for shard in now {
            match self.watched.iter_mut().find(|watched| watched.shard.is(&shard)) {
                // Its key moved away with the slot.
                Some(watched) if !self.shards.of(watched.slot).is_some_and(|of| of.is(&shard)) => {
                    watched.use_slot(some_slot_of(&self.shards, &shard), &self.epochs);
                }
                Some(_) => {}
                None => {
                    // Without a slot it has no keys.
                    let Some(slot) = self.shards.slot_of(&shard) else { continue };
                    has_changed = true;
                    let ear = match &self.way {
                        Way::Tracked(_) => Ear::Tracked { _pump: self.pump(shard.connection(), None) },
                        Way::Published(_) => Ear::Subscribed(None),
                    };
                    self.watched.push(Watched {
                        shard,
                        slot,
                        epoch_key: epoch_key(&self.epochs, slot),
                        epoch: None,
                        was_tracked: false,
                        unanswered: 0,
                        lost_epoch: false,
                        ear,
                    });
                }
            }
        }
        has_changed.then_some(Cause::TopologyChanged)
    }

    fn pump(&self, connection: &Connection, line: Option<Arc<Line>>) -> Pump {
        let (own, teller) = (self.epochs.clone(), self.teller.clone());
        Pump::start(connection, own, line, teller, self.complete.clone(), self.early.clone())
    }

    async fn ask(&self, watched: &mut Watched, life: Duration) -> Result<Answer, Error> {
        let connection = watched.shard.connection();
        let was_on = match (&self.way, &mut watched.ear) {
            (Way::Tracked(prefixes), _) => track(connection, prefixes).await?,
            (Way::Published(channel), Ear::Subscribed(subscription)) => {
                self.listen(channel, &watched.shard, subscription).await?
            }
            (Way::Published(_), Ear::Tracked { .. }) => false,
        };
        Ok(Answer { was_on, epoch: read_epoch(connection, &watched.epoch_key, life).await? })
    }

    /// Subscribes to the channel if necessary. Returns whether it was subscribed before.
    async fn listen(
        &self,
        channel: &Channel,
        shard: &Shard,
        subscription: &mut Option<Box<Subscription>>,
    ) -> Result<bool, Error> {
        // A connection with any failure is not used again.
        let used = match subscription.take() {
            Some(used) => used,
            None => Box::new(self.subscribe(channel, shard).await?),
        };
        let was_heard = used.line.listen(&used.connection).await?;
        *subscription = Some(used);
        Ok(was_heard)
    }

    async fn subscribe(&self, channel: &Channel, shard: &Shard) -> Result<Subscription, Error> {
        let connection = self.shards.open_again(shard).await;
        let connection = connection.map_err(|error| Error::new(ErrorKind::Disconnected, error.to_string()))?;
        let line = Line::new(channel.clone());
        let pump = self.pump(&connection, Some(line.clone()));
        Ok(Subscription { connection, line, _pump: pump })
    }
}

impl Watched {
    /// Stores the answer. Returns why all copies must be discarded, if so.
    fn take(&mut self, answer: Answer) -> Option<Cause> {
        let was_flushed = self.epoch.as_ref().is_some_and(|epoch| *epoch != answer.epoch);
        let was_lost = self.was_tracked && !answer.was_on;
        self.epoch = Some(answer.epoch);
        self.was_tracked = true;
        self.unanswered = 0;
        if was_flushed {
            Some(Cause::Flush)
        } else if std::mem::take(&mut self.lost_epoch) {
            Some(Cause::TopologyChanged)
        } else if was_lost {
            Some(Cause::Reconnected)
        } else {
            None
        }
    }

    /// Keeps its epoch in another slot from now on.
    fn use_slot(&mut self, slot: Option<u16>, epochs: &str) {
        let Some(slot) = slot else { return };
        self.slot = slot;
        self.epoch_key = epoch_key(epochs, slot);
        self.lost_epoch = self.lost_epoch || self.epoch.take().is_some();
    }
}

/// A random slot of the primary: while slots move, the next choice may be better.
fn some_slot_of(shards: &Shards, shard: &Shard) -> Option<u16> {
    let slots = shards.slots_of(shard);
    (!slots.is_empty()).then(|| slots[rand::random_range(0..slots.len())])
}

fn epoch_key(epochs: &str, slot: u16) -> String {
    format!("{epochs}{{{}}}", slot::tag_in(slot))
}

/// Whether the server refuses the command permanently: missing permissions, or an unknown command.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error.code(), Some("NOPERM" | "ERR"))
}

/// Starts tracking on the connection if necessary. Returns whether it was on before.
async fn track(connection: &Connection, prefixes: &[String]) -> Result<bool, Error> {
    if is_tracked(&send(connection, "CLIENT", vec!["TRACKINGINFO".into()]).await?, prefixes) {
        return Ok(true);
    }
    let mut args = vec!["TRACKING".into(), "ON".into(), "BCAST".into()];
    for prefix in prefixes {
        args.push("PREFIX".into());
        args.push(prefix.as_str().into());
    }
    args.push("NOLOOP".into());
    send(connection, "CLIENT", args).await?;
    Ok(false)
}

/// Reads the value that exists until the server is flushed; sets one if there is none.
async fn read_epoch(connection: &Connection, key: &str, life: Duration) -> Result<Bytes, Error> {
    let life = Fred::from(i64::try_from(life.as_millis()).unwrap_or(i64::MAX));
    let get = vec![key.into(), "PX".into(), life.clone()];
    if let Some(epoch) = send(connection, "GETEX", get.clone()).await?.into_optional_bytes()? {
        return Ok(epoch);
    }
    let epoch = format!("{:016x}", rand::random::<u64>());
    send(connection, "SET", vec![key.into(), epoch.as_str().into(), "NX".into(), "PX".into(), life]).await?;
    // Another client may have been faster.
    send(connection, "GETEX", get).await?.into_bytes()
}

async fn send(connection: &Connection, name: &'static str, args: Vec<Fred>) -> Result<Value, Error> {
    connection.send(name, args).await.map(Value::from_fred).map_err(|error| Error::from_fred(&error))
}

/// Whether the answer to `CLIENT TRACKINGINFO` says that all prefixes are tracked.
fn is_tracked(info: &Value, prefixes: &[String]) -> bool {
    let Ok(fields) = info.clone().into_map() else { return false };
    let texts = |name: &str| -> Vec<String> {
        let field = fields.iter().find(|(key, _)| key.clone().into_text().is_ok_and(|key| key == name));
        let values = field.and_then(|(_, values)| values.clone().into_array().ok()).unwrap_or_default();
        values.into_iter().filter_map(|value| value.into_text().ok()).collect()
    };
    let (flags, tracked) = (texts("flags"), texts("prefixes"));
    flags.iter().any(|flag| flag == "bcast") && prefixes.iter().all(|prefix| tracked.contains(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn info(flags: &[&str], prefixes: &[&str]) -> Value {
        let list = |texts: &[&str]| Value::Array(texts.iter().map(|item| text(item)).collect());
        let redirect = (text("redirect"), Value::Int(-1));
        Value::Map(vec![(text("flags"), list(flags)), redirect, (text("prefixes"), list(prefixes))])
    }

    #[test]
    fn tracked_means_all_prefixes() {
        let ours = ["a:".to_owned(), "b:".to_owned()];
        assert!(is_tracked(&info(&["on", "bcast", "noloop"], &["b:", "a:", "c:"]), &ours));
        assert!(!is_tracked(&info(&["on", "bcast", "noloop"], &["a:"]), &ours));
        assert!(!is_tracked(&info(&["off"], &[]), &ours));
        assert!(!is_tracked(&info(&["on"], &[]), &[]));
        assert!(!is_tracked(&Value::Nil, &ours));
    }

    #[test]
    fn the_epoch_key_lies_in_the_slot() {
        assert_eq!(slot::slot_of(epoch_key("tidegate:epoch:", 7_000).as_bytes()), 7_000);
    }
}
