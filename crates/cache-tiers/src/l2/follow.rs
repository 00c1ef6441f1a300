//! Notices of changes in L2, from the server, or from processes that publish if it refuses.

use std::sync::Arc;

use tidegate_redis::{Notice, Tracking};

use super::debts::Debt;
use super::entry::EntryId;
use super::names::{self, Meaning};
use super::shared::L2;
use super::way::Way;
use crate::key::Key;

/// Attempts to follow, by one way and then the other.
#[derive(Default)]
pub(crate) struct Attempts {
    tried: Option<Way>,
    refused: Option<Way>,
}

impl Attempts {
    /// Notes that the current way failed. Returns whether both have, so that a pause is due.
    pub(crate) fn are_over(&mut self) -> bool {
        let were_both = std::mem::replace(&mut self.refused, self.tried).is_some();
        if were_both {
            self.refused = None;
        }
        were_both
    }
}

/// Receives changes.
pub(crate) struct Following {
    tracking: Tracking,
}

/// A received notice.
pub(crate) struct Word(Notice);

impl Following {
    /// Returns the next word. `None` if the server refuses, or the listener has ended.
    pub(crate) async fn next(&mut self) -> Option<Word> {
        self.tracking.recv().await.filter(|notice| *notice != Notice::Refused).map(Word)
    }
}

/// Whether a mark names this class.
pub(crate) fn is_named(class: &str, mark: &str) -> bool {
    names::escaped(class) == mark
}

/// The server refuses what it allowed until now.
#[derive(Debug, thiserror::Error)]
#[error("Redis does not let this process hear of changes any more")]
struct Forbidden;

impl L2 {
    /// Tries to follow. `None` if the server refuses, or Redis cannot be reached.
    pub(crate) async fn start_following(self: &Arc<Self>, attempts: &mut Attempts) -> Option<Following> {
        let tier = &self.tier;
        tier.replicas.iter().for_each(|replicas| replicas.start(&tier.client));
        let way = tier.ways.next(attempts.refused);
        attempts.tried = Some(way);
        match tier.ways.start(way, &tier.client, &tier.names.followed()).await {
            Ok(tracking) => {
                tier.ways.take(way);
                if way == Way::Published
                    && let Err(error) = tier.ways.make_up_for_silence(&tier.names.all_mark()).await
                {
                    self.failed("follow", &error);
                    self.owe([Debt::All]);
                }
                Some(Following { tracking })
            }
            Err(error) => {
                self.failed("follow", &error);
                None
            }
        }
    }

    /// Forgets all remembered replies, because notices of earlier changes were missed.
    pub(crate) fn forget_what_was_said(&self) {
        self.tier.recall.drop_all();
    }

    /// From now on, remembered replies may be used.
    pub(crate) fn is_followed_by(&self, following: &Following) {
        self.follows(Some(following.tracking.watch_complete()));
    }

    /// The server has withdrawn the permission to follow.
    pub(crate) fn was_forbidden_to_follow(&self) {
        self.failed("follow", &Forbidden);
    }

    /// Ignores all remembered replies until it is followed again.
    pub(crate) fn is_not_followed(&self) {
        self.follows(None);
        self.tier.recall.drop_all();
        // If publishing was chosen, it stays.
        self.tier.ways.doubt();
    }

    /// Processes a notice before L1 drops the values that it covers. A read that used the earlier
    /// memory and lands after the drop began before it.
    pub(crate) fn take_in(&self, word: &Word) -> Option<Meaning> {
        let Notice::Key(key) = &word.0 else {
            self.tier.changes_everything();
            self.tier.recall.drop_all();
            return Some(Meaning::Unknown);
        };
        let meaning = self.tier.names.meaning(key)?;
        match &meaning {
            // Comparisons find the values of tags and classes.
            Meaning::Tag(tag) => self.tier.recall.drop_tag(tag),
            Meaning::Class(_) => self.tier.recall.drop_epoch(),
            Meaning::Pattern(pattern, _) => self.tier.changes_matching(pattern),
            Meaning::Value(key) => self.tier.changes([key]),
            Meaning::All | Meaning::Unknown => {
                self.tier.changes_everything();
                self.tier.recall.drop_epoch();
            }
        }
        Some(meaning)
    }

    /// Whether L2 still holds exactly this entry, under either id.
    pub(crate) async fn holds(&self, key: &Key, id: EntryId, other: Option<EntryId>) -> bool {
        matches!(self.tier.holds(key, id, other).await, Ok(true))
    }
}
