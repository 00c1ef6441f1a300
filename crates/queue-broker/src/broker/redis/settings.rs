//! Settings of a queue, its events, and the counts of groups.

use futures_util::future::try_join_all;
use tidegate_redis::{Arg, Command, Value};

use super::broker::RedisBroker;
use super::keys::Part;
use super::reply::{Unreadable, failed, unreadable};
use crate::broker::{EventCursor, EventPage, GroupCounts, JobEvent, JobEventKind, QueueSettings, Rate};
use crate::error::BrokerError;
use crate::id::{GroupId, JobId};
use crate::record::LogLine;
use crate::timestamp::Timestamp;

const CONFIGURE: &str = "configure";
const SETTINGS: &str = "read settings";
const EVENTS: &str = "read events";
const GROUP: &str = "count a group";
const FORGET: &str = "forget a group";
const LOGS: &str = "read a log";

/// The fields of a group's counts.
const COUNTED: [&str; 4] = ["total", "done", "dead", "cancelled"];
/// A position before every event of a stream.
const BEGIN: &str = "0-0";

impl RedisBroker {
    /// Sets the settings. Each partition gets its share of the limits, at least one job. So if
    /// there are more partitions than the concurrency limit allows jobs, one job may run per
    /// partition. A rate holds on average in every case.
    pub(super) async fn set_up(&self, name: &str, settings: QueueSettings) -> Result<(), BrokerError> {
        let queue = self.queue_or_make(name).await?;
        let json = serde_json::to_string(&settings).map_err(Unreadable::from).map_err(unreadable(CONFIGURE))?;
        let count = u32::try_from(queue.partitions.len()).unwrap_or(u32::MAX);
        let mut failure = None;
        for (partition, nth) in queue.partitions.iter().zip(0..) {
            let most = settings.max_running.map(|most| if most == 0 { 0 } else { share(most, nth, count) });
            let (jobs, per) = settings.rate.map_or((Arg::from(""), Arg::from("")), |rate| rate_share(rate, nth, count));
            let args = vec![
                json.as_str().into(),
                most.map_or_else(|| Arg::from(""), Arg::from),
                jobs,
                per,
                u32::from(settings.events).into(),
            ];
            let reply = self.scripts.configure.run(&self.client, &partition.keys, args).await;
            match reply.and_then(|is_new| is_new.as_int()).map_err(failed(CONFIGURE)) {
                Ok(1) => failure = failure.or(self.register(&queue).await.err()),
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    pub(super) async fn set_up_as(&self, name: &str) -> Result<QueueSettings, BrokerError> {
        let queue = self.queue(name).await?;
        let command = Command::new("HGET").key(queue.partitions[0].keys.get(Part::Meta)).arg("settings").idempotent();
        let stored =
            self.client.execute(command).await.and_then(Value::into_optional_bytes).map_err(failed(SETTINGS))?;
        let Some(json) = stored else { return Ok(QueueSettings::default()) };
        serde_json::from_slice(&json).map_err(Unreadable::from).map_err(unreadable(SETTINGS))
    }

    /// Reads events. The cursor contains a position for each partition. The events of the
    /// partitions are merged by time.
    pub(super) async fn happened(
        &self,
        name: &str,
        after: Option<EventCursor>,
        limit: usize,
    ) -> Result<EventPage, BrokerError> {
        let queue = self.queue(name).await?;
        let limit = limit.min(LONGEST_PAGE);
        let known: Vec<&str> = after.as_ref().map_or_else(Vec::new, |cursor| cursor.as_str().split('_').collect());
        let reads = queue.partitions.iter().enumerate().map(|(nth, partition)| {
            let place = known.get(nth).copied().filter(|place| is_place(place)).unwrap_or(BEGIN);
            let is_first = after.is_none();
            async move {
                let stream = partition.keys.get(Part::Events);
                let read = if is_first {
                    Command::new("XREVRANGE").key(stream).arg("+").arg("-").arg("COUNT").arg(1_u32)
                } else {
                    Command::new("XRANGE").key(stream).arg(format!("({place}")).arg("+").arg("COUNT").arg(limit)
                };
                let entries = self.client.execute(read.idempotent()).await.and_then(Value::into_array);
                let entries = entries.map_err(failed(EVENTS))?.into_iter().map(event);
                let entries = entries.collect::<Result<Vec<_>, _>>().map_err(unreadable(EVENTS))?;
                Ok::<_, BrokerError>((place.to_owned(), entries))
            }
        });
        let mut places = Vec::with_capacity(queue.partitions.len());
        let mut streams = Vec::with_capacity(queue.partitions.len());
        for (place, entries) in try_join_all(reads).await? {
            places.push(place);
            streams.push(entries);
        }
        let most = if after.is_some() { limit } else { usize::MAX };
        let mut events = Vec::new();
        for (nth, (place, event)) in merged(streams).take(most) {
            places[nth] = place;
            if after.is_some() {
                events.push(event);
            }
        }
        Ok(EventPage { events, cursor: EventCursor(places.join("_")) })
    }

    pub(super) async fn counted(&self, name: &str, group: &GroupId) -> Result<Option<GroupCounts>, BrokerError> {
        let queue = self.queue(name).await?;
        let reads = queue.partitions.iter().map(|partition| async {
            let fields = COUNTED.into_iter().map(|what| format!("{group} {what}"));
            let command = fields.fold(Command::new("HMGET").key(partition.keys.get(Part::Groups)), Command::arg);
            self.client.execute(command.idempotent()).await.and_then(Value::into_array).map_err(failed(GROUP))
        });
        let mut counts: Option<GroupCounts> = None;
        for part in try_join_all(reads).await? {
            let mut numbers = [0; COUNTED.len()];
            for (number, value) in numbers.iter_mut().zip(&part) {
                *number = if value.is_nil() { 0 } else { value.as_count().map_err(failed(GROUP))? };
            }
            if part.first().is_some_and(|total| !total.is_nil()) {
                let counts = counts.get_or_insert_default();
                let [total, done, dead, cancelled] = numbers;
                counts.total += total;
                counts.done += done;
                counts.dead += dead;
                counts.cancelled += cancelled;
            }
        }
        Ok(counts)
    }

    pub(super) async fn count_no_more(&self, name: &str, group: &GroupId) -> Result<(), BrokerError> {
        let queue = self.queue(name).await?;
        let forgets = queue.partitions.iter().map(|partition| {
            let fields = COUNTED.into_iter().map(|what| format!("{group} {what}"));
            let forget = fields.fold(Command::new("HDEL").key(partition.keys.get(Part::Groups)), Command::arg);
            self.client.execute(forget.idempotent())
        });
        try_join_all(forgets).await.map_err(failed(FORGET)).map(drop)
    }

    pub(super) async fn log_of(&self, name: &str, id: &JobId) -> Result<Vec<LogLine>, BrokerError> {
        let queue = self.queue(name).await?;
        let reply = self.scripts.logs.run(&self.client, queue.keys_of(id), vec![id.as_str().into()]).await;
        let lines = reply.and_then(Value::into_array).map_err(failed(LOGS))?;
        lines.into_iter().map(line).collect::<Result<_, _>>().map_err(unreadable(LOGS))
    }
}

type StreamEvent = (String, JobEvent);

/// Merges the events of several partitions by time, with the number of the partition. The order
/// within a partition is kept: after a clock was set back, an event must not move before those that
/// the cursor has passed.
fn merged(streams: Vec<Vec<StreamEvent>>) -> impl Iterator<Item = (usize, StreamEvent)> {
    let mut streams: Vec<_> = streams.into_iter().map(|entries| entries.into_iter().peekable()).collect();
    std::iter::from_fn(move || {
        let heads = streams.iter_mut().enumerate().filter_map(|(nth, entries)| Some((entries.peek()?.1.at, nth)));
        let (_, nth) = heads.min()?;
        Some((nth, streams[nth].next()?))
    })
}

/// Most events in one page.
const LONGEST_PAGE: usize = 1_000;

/// A partition's share of a number, at least one.
fn share(whole: u32, nth: u32, count: u32) -> u32 {
    (whole / count + u32::from(nth < whole % count)).max(1)
}

/// Number of jobs and their time, such that all partitions together keep the rate.
fn rate_share(rate: Rate, nth: u32, count: u32) -> (Arg, Arg) {
    let jobs = share(rate.jobs(), nth, count);
    let per_ms = rate.per().as_secs_f64() * 1_000.0;
    let per_share =
        if count == 1 { per_ms } else { per_ms / f64::from(rate.jobs()) * f64::from(count) * f64::from(jobs) };
    (jobs.into(), per_share.to_string().into())
}

fn is_place(text: &str) -> bool {
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    text.split_once('-').is_some_and(|(ms, nth)| is_number(ms) && is_number(nth))
}

/// An entry of a stream: its position, and the event in its only field.
pub(super) fn event(entry: Value) -> Result<(String, JobEvent), Unreadable> {
    let mut entry = entry.into_array()?.into_iter();
    let (Some(place), Some(fields)) = (entry.next(), entry.next()) else { return Err("an event cut short".into()) };
    let text = fields.into_array()?.into_iter().nth(1).ok_or("an event without words")?.into_text()?;
    let mut words = text.split(' ');
    let mut next = || words.next().ok_or("an event cut short");
    let (at, id) = (Timestamp::from_unix_ms(next()?.parse()?), JobId::new(next()?)?);
    let what = match next()? {
        "enqueued" => JobEventKind::Enqueued,
        "started" => JobEventKind::Started,
        "progress" => JobEventKind::Progress { percent: next()?.parse()? },
        "done" => JobEventKind::Done,
        "retried" => JobEventKind::Retried,
        "snoozed" => JobEventKind::Snoozed,
        "dead" => JobEventKind::Dead,
        "cancelled" => JobEventKind::Cancelled,
        "released" => JobEventKind::Released,
        "reclaimed" => JobEventKind::Reclaimed,
        "revived" => JobEventKind::Revived,
        _ => return Err("an unknown event".into()),
    };
    Ok((place.into_text()?, JobEvent { at, id, what }))
}

/// A line of a log: time, delivery, text.
pub(super) fn line(line: Value) -> Result<LogLine, Unreadable> {
    let line = line.into_text()?;
    let mut parts = line.splitn(3, ' ');
    let mut next = || parts.next().ok_or("a line cut short");
    Ok(LogLine { at: Timestamp::from_unix_ms(next()?.parse()?), delivery: next()?.parse()?, text: next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_are_merged_by_time_and_keep_their_order_within_a_partition() {
        let stream = |times: &[i64]| {
            let event = |at: &i64| JobEvent {
                at: Timestamp::from_unix_ms(*at),
                id: JobId::new("a").unwrap(),
                what: JobEventKind::Done,
            };
            times.iter().map(|at| (at.to_string(), event(at))).collect::<Vec<_>>()
        };
        let order: Vec<_> = merged(vec![stream(&[5, 9, 2, 10]), Vec::new(), stream(&[5, 7, 9])])
            .map(|(nth, (place, _))| (nth, place.parse::<i64>().unwrap()))
            .collect();
        assert_eq!(order, [(0, 5), (2, 5), (2, 7), (0, 9), (0, 2), (2, 9), (0, 10)]);
    }

    #[test]
    fn shares_add_up_and_none_is_nothing() {
        assert_eq!([0, 1, 2].map(|nth| share(10, nth, 3)), [4, 3, 3]);
        assert_eq!([0, 1, 2].map(|nth| share(2, nth, 3)), [1, 1, 1]);
        let rate = Rate::new(10, Duration::from_millis(1_500)).unwrap();
        assert_eq!(format!("{:?}", rate_share(rate, 0, 1)), format!("{:?}", (Arg::from(10_u32), Arg::from("1500"))));
    }
}
