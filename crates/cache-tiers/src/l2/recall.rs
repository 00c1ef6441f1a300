//! Recent replies of Redis about the epoch, tags and its clock, so that not every read queries it.
//!
//! Redis notifies every process that follows of each move. A notice of a move, and each move that
//! this process makes, drops what is remembered of it; a reply to a query that started before is
//! not remembered. Changes without a notice (a flush, an evicted generation, a lost notice) are
//! found by age: a reply is used for at most [`KEEP`], which is less than two heartbeats. While
//! this process does not follow, no reply is used.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::epoch::Epoch;
use crate::tag::Tag;
use crate::text::Prehashed;

/// Maximum age of a reply, counted from before its query.
pub(super) const KEEP: Duration = Duration::from_millis(800);
/// Age from which the first reader that needs a reply renews it, while the others use the old one.
pub(super) const RENEW: Duration = Duration::from_millis(400);

/// Maximum number of remembered tags.
const TAGS: usize = 16_384;
/// Maximum number of servers with a remembered clock. A cluster has at most 1,000 servers.
const SERVERS: usize = 1024;
/// Counters for moves of tags. At worst, tags of one counter drop each other's replies.
const CELLS: usize = 64;

/// The remembered replies.
#[derive(Debug, Default)]
pub(super) struct Recall {
    epoch: Mutex<EpochMemory>,
    tags: Mutex<TagMemory>,
    clocks: Mutex<ClockMemory>,
}

/// Reply of Redis, and the time of its query.
#[derive(Debug, Clone)]
struct Told<T> {
    what: T,
    asked: Instant,
    /// Time since when a caller renews it.
    renewed: Option<Instant>,
}

impl<T> Told<T> {
    fn new(what: T, asked: Instant) -> Self {
        Self { what, asked, renewed: None }
    }

    fn is_good(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked) < KEEP
    }

    /// Returns the age of its query, in µs.
    fn age(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.asked).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether the caller is the one to renew the reply. If that caller leaves before it has,
    /// another one does so after the same time.
    fn is_due(&mut self, now: Instant) -> bool {
        let since = self.renewed.unwrap_or(self.asked);
        let is_due = !self.is_good(now) || now.saturating_duration_since(since) >= RENEW;
        if is_due {
            self.renewed = Some(now);
        }
        is_due
    }
}

#[derive(Debug, Default)]
struct EpochMemory {
    moves: u64,
    /// With the clock of its server, in µs.
    told: Option<Told<(Epoch, u64)>>,
}

#[derive(Debug, Default)]
struct ClockMemory {
    losses: u64,
    told: HashMap<String, Told<u64>>,
}

#[derive(Debug)]
struct TagMemory {
    moves: [u64; CELLS],
    told: HashMap<Tag, Told<Bytes>, Prehashed>,
}

impl Default for TagMemory {
    fn default() -> Self {
        Self { moves: [0; CELLS], told: HashMap::default() }
    }
}

fn cell(tag: &Tag) -> usize {
    // The upper bits: the lower ones choose the position in the map.
    (tag.hash() >> 32) as usize % CELLS
}

/// A query to be sent: its time, and how many moves had come by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    at: Instant,
    moves: u64,
}

/// Remembered state of the epoch and of the class that an entry carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// They are in force; the clock of the epoch's server shows at most this number of µs.
    Valid(u64),
    /// They differ, according to memory.
    Other,
    /// Nothing is remembered.
    Nothing,
}

/// Remembered state of tags.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tagged {
    /// All known generations that it carries are in force; these tags must be queried.
    Unknown(Vec<(Tag, Bytes)>),
    /// One of them differs, according to memory.
    Other,
}

impl Recall {
    /// Returns the query for the epoch, if it is due and no other caller runs it.
    pub(super) fn epoch_due(&self) -> Option<Asked> {
        let mut memory = self.epoch();
        let now = Instant::now();
        let is_due = memory.told.as_mut().is_none_or(|told| told.is_due(now));
        is_due.then_some(Asked { at: now, moves: memory.moves })
    }

    /// Remembers reply and server clock, unless epoch or class have moved since the query.
    pub(super) fn epoch_is(&self, epoch: Epoch, micros: u64, asked: Asked) {
        let mut memory = self.epoch();
        let is_newer = memory.told.as_ref().is_none_or(|told| told.asked <= asked.at);
        if memory.moves == asked.moves && is_newer {
            memory.told = Some(Told::new((epoch, micros), asked.at));
        }
    }

    /// Whether an entry of this epoch and class, which had moved this often, is valid.
    pub(super) fn judge_epoch(&self, carried: &Bytes, class: &str, moves: u64) -> Said {
        let (memory, now) = (self.epoch(), Instant::now());
        let Some(told) = memory.told.as_ref().filter(|told| told.is_good(now)) else { return Said::Nothing };
        let (epoch, micros) = &told.what;
        if epoch.is(carried) && epoch.class_moves(class) == moves {
            Said::Valid(micros.saturating_add(told.age(now)))
        } else {
            Said::Other
        }
    }

    /// The epoch or a class has moved, or is about to.
    pub(super) fn drop_epoch(&self) {
        let mut memory = self.epoch();
        memory.moves += 1;
        memory.told = None;
    }

    /// Compares the generations that an entry carries.
    pub(super) fn judge_tags(&self, carried: &[(Tag, Bytes)]) -> Tagged {
        let (mut memory, now) = (self.tags(), Instant::now());
        let mut unknown = Vec::new();
        for (tag, generation) in carried {
            match memory.told.get_mut(tag) {
                Some(told) if told.is_good(now) => {
                    if told.what != *generation {
                        return Tagged::Other;
                    }
                    if told.is_due(now) {
                        unknown.push((tag.clone(), generation.clone()));
                    }
                }
                _ => unknown.push((tag.clone(), generation.clone())),
            }
        }
        Tagged::Unknown(unknown)
    }

    /// Returns a query for these tags, which is sent now.
    pub(super) fn asking_tags<'a>(&self, tags: impl IntoIterator<Item = &'a Tag>) -> Vec<Asked> {
        let (memory, at) = (self.tags(), Instant::now());
        tags.into_iter().map(|tag| Asked { at, moves: memory.moves[cell(tag)] }).collect()
    }

    /// Remembers the reply, unless the tag has moved since the query.
    pub(super) fn tag_is(&self, tag: &Tag, generation: &[u8], asked: Asked) {
        let mut memory = self.tags();
        if memory.moves[cell(tag)] != asked.moves {
            return;
        }
        if memory.told.len() >= TAGS && !memory.told.contains_key(tag) {
            let now = Instant::now();
            memory.told.retain(|_, told| told.is_good(now));
            if memory.told.len() >= TAGS {
                memory.told.clear();
            }
        }
        // Copied, because the bytes may be a part of a large reply.
        let generation = Bytes::copy_from_slice(generation);
        memory.told.insert(tag.clone(), Told::new(generation, asked.at));
    }

    /// The tag has moved, or is about to.
    pub(super) fn drop_tag(&self, tag: &Tag) {
        let mut memory = self.tags();
        memory.moves[cell(tag)] += 1;
        memory.told.remove(tag);
    }

    /// Notices of moves may have been lost, or a server may have been replaced.
    pub(super) fn drop_all(&self) {
        self.drop_epoch();
        {
            let mut memory = self.tags();
            memory.moves.iter_mut().for_each(|moves| *moves += 1);
            memory.told.clear();
        }
        let mut memory = self.clocks();
        memory.losses += 1;
        memory.told.clear();
    }

    /// Returns the upper bound of this server's clock: it is ahead by the travel time of the reply.
    pub(super) fn clock(&self, server: &str) -> Option<u64> {
        let (memory, now) = (self.clocks(), Instant::now());
        let told = memory.told.get(server).filter(|told| told.is_good(now))?;
        Some(told.what.saturating_add(told.age(now)))
    }

    /// Returns the query for the time of this server, if it is due and no other caller runs it.
    pub(super) fn clock_due(&self, server: &str) -> Option<Asked> {
        let (mut memory, at) = (self.clocks(), Instant::now());
        let is_due = memory.told.get_mut(server).is_none_or(|told| told.is_due(at));
        is_due.then_some(Asked { at, moves: memory.losses })
    }

    /// Remembers the time of a clock in a reply.
    pub(super) fn clock_is(&self, server: String, micros: u64, asked: Asked) {
        let mut memory = self.clocks();
        if memory.losses != asked.moves {
            return;
        }
        if memory.told.len() >= SERVERS && !memory.told.contains_key(&server) {
            memory.told.clear();
        }
        memory.told.insert(server, Told::new(micros, asked.at));
    }

    fn epoch(&self) -> MutexGuard<'_, EpochMemory> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tags(&self) -> MutexGuard<'_, TagMemory> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clocks(&self) -> MutexGuard<'_, ClockMemory> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A move of this process: drops the remembered replies before it is sent, and when it ends.
pub(super) struct Moving<F: Fn()>(F);

impl<F: Fn()> Moving<F> {
    pub(super) fn new(forget: F) -> Self {
        forget();
        Self(forget)
    }
}

impl<F: Fn()> Drop for Moving<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn generation(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn learn(recall: &Recall, tag: &Tag, now: &'static str) {
        let asked = recall.asking_tags([tag]);
        recall.tag_is(tag, now.as_bytes(), asked[0]);
    }

    fn says(recall: &Recall, tag: &Tag, carried: &'static str) -> Option<bool> {
        match recall.judge_tags(&[(tag.clone(), generation(carried))]) {
            Tagged::Other => Some(false),
            Tagged::Unknown(unknown) => unknown.is_empty().then_some(true),
        }
    }

    fn epoch(recall: &Recall, id: &'static str) -> Said {
        recall.judge_epoch(&generation(id), "things", 0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_from_before_a_move_is_not_remembered_after_it() {
        let (recall, tag) = (Recall::default(), Tag::new("t"));
        let moves: [&dyn Fn(); 3] =
            [&|| recall.drop_tag(&tag), &|| recall.drop_all(), &|| drop(Moving::new(|| recall.drop_tag(&tag)))];
        for moved in moves {
            learn(&recall, &tag, "1");
            assert_eq!((says(&recall, &tag, "1"), says(&recall, &tag, "2")), (Some(true), Some(false)));
            let asked = recall.asking_tags([&tag]);
            moved();
            assert_eq!(says(&recall, &tag, "1"), None);
            recall.tag_is(&tag, b"1", asked[0]);
            assert_eq!(says(&recall, &tag, "1"), None);
        }
        let moves: [&dyn Fn(); 2] = [&|| recall.drop_epoch(), &|| recall.drop_all()];
        for moved in moves {
            let asked = recall.epoch_due().unwrap();
            recall.epoch_is(Epoch::named("a"), 1000, asked);
            assert_eq!((epoch(&recall, "a"), epoch(&recall, "b")), (Said::Valid(1000), Said::Other));
            moved();
            recall.epoch_is(Epoch::named("a"), 1000, asked);
            assert_eq!(epoch(&recall, "a"), Said::Nothing);
        }
        let asked = recall.clock_due("").unwrap();
        recall.drop_all();
        recall.clock_is(String::new(), 7, asked);
        assert_eq!(recall.clock(""), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_move_of_one_tag_leaves_most_others() {
        let recall = Recall::default();
        let tags: Vec<Tag> = (0..200).map(Tag::new).collect();
        tags.iter().for_each(|tag| learn(&recall, tag, "1"));
        recall.drop_tag(&tags[0]);
        assert_eq!(says(&recall, &tags[0], "1"), None);
        assert!(tags[1..].iter().all(|tag| says(&recall, tag, "1") == Some(true)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_is_remembered_briefly_and_renewed_by_one_reader_before_it_ends() {
        let (recall, tag) = (Recall::default(), Tag::new("t"));
        learn(&recall, &tag, "1");
        recall.epoch_is(Epoch::named("a"), 1000, recall.epoch_due().unwrap());
        recall.clock_is(String::new(), 1000, recall.clock_due("").unwrap());
        advance(RENEW / 2).await;
        assert!(recall.epoch_due().is_none() && recall.clock_due("").is_none());
        assert_eq!(recall.clock(""), Some(201_000));
        advance(RENEW / 2).await;
        // One caller queries, and the others continue.
        assert!(recall.epoch_due().is_some() && recall.epoch_due().is_none());
        assert!(recall.clock_due("").is_some() && recall.clock_due("").is_none());
        assert_eq!((says(&recall, &tag, "1"), says(&recall, &tag, "1")), (None, Some(true)));
        assert_eq!(epoch(&recall, "a"), Said::Valid(401_000));
        advance(KEEP - RENEW).await;
        assert_eq!((epoch(&recall, "a"), says(&recall, &tag, "1"), recall.clock("")), (Said::Nothing, None, None));
        assert!(recall.epoch_due().is_some(), "the caller that should query it has left");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded() {
        let recall = Recall::default();
        for tag in 0..=TAGS {
            learn(&recall, &Tag::new(tag), "1");
        }
        assert!(recall.tags().told.len() <= TAGS);
        assert_eq!(says(&recall, &Tag::new(TAGS), "1"), Some(true));
        for server in 0..=SERVERS {
            let server = server.to_string();
            let asked = recall.clock_due(&server).unwrap();
            recall.clock_is(server, 1, asked);
        }
        assert!(recall.clocks().told.len() <= SERVERS);
    }
}
