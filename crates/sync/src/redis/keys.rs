//! All keys of this crate. `docs/reference/keyspace.md` documents them too.

use tidegate_redis::Keyspace;

use crate::once::Operation;
use crate::permit::{Place, PlaceKind};

/// Keys of a lock `{l:name}` or a semaphore `{s:name}`.
pub(super) struct PermitKeys {
    /// ZSET of owner → end of its lease.
    pub(super) holders: String,
    /// STRING, the highest token so far.
    pub(super) fence: String,
    /// ZSET of waiting owner → arrival.
    pub(super) queue: String,
    /// ZSET of waiting owner → time at which it counts as dead.
    pub(super) alive: String,
}

impl PermitKeys {
    pub(super) fn new(keyspace: &Keyspace, place: &Place) -> Self {
        let area = match place.kind {
            PlaceKind::Lock => "l",
            PlaceKind::Semaphore => "s",
        };
        let group = keyspace.group(area, &[&place.name]);
        Self {
            holders: group.key("holders"),
            fence: group.key("fence"),
            queue: group.key("queue"),
            alive: group.key("alive"),
        }
    }
}

/// Key of one operation, a HASH.
pub(super) fn once(keyspace: &Keyspace, operation: &Operation) -> String {
    keyspace.group("o", &[&operation.scope, &operation.key]).as_str().to_owned()
}

/// Keys of a stock: HASH state, ZSET open, ZSET closed.
pub(super) fn stock(keyspace: &Keyspace, name: &str) -> [String; 3] {
    let group = keyspace.group("st", &[name]);
    ["state", "open", "closed"].map(|key| group.key(key))
}

/// Keys of one partition of a ledger: HASH state, ZSET forget, ZSET transit, ZSET credits.
/// Partition 0 has the name of an undivided ledger, so that each step on it learns the number of
/// partitions.
pub(super) fn ledger(keyspace: &Keyspace, name: &str, partition: u16) -> [String; 4] {
    let group = match partition {
        0 => keyspace.group("lg", &[name]),
        _ => keyspace.group("lg", &[name, &partition.to_string()]),
    };
    ["state", "forget", "transit", "credits"].map(|key| group.key(key))
}

/// Key of a Redlock on each of its masters: a STRING, the owner.
pub(super) fn redlock(keyspace: &Keyspace, name: &str) -> String {
    keyspace.group("l", &[name]).key("redlock")
}
