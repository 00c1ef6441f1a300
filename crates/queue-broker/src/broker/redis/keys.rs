//! Names of keys. All keys of a partition share a hash tag, and so a slot.

use tidegate_redis::{Arg, Client, KeyGroup, Keyspace};

use crate::state::Priority;

/// The keys of a partition. `docs/reference/keyspace.md` of the project describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Meta,
    Job,
    Latest,
    State,
    Lease,
    Back,
    Tomb,
    Delayed,
    Done,
    Ended,
    Dead,
    Cancelled,
    Result,
    Waiting,
    Lines,
    Behind,
    Unique,
    Held,
    Groups,
    Events,
    Checkpoint,
    Log,
    Wake,
    Ready0,
    Ready1,
    Ready2,
    Ready3,
    Ready4,
}

impl Part {
    const ALL: [Self; 28] = [
        Self::Meta,
        Self::Job,
        Self::Latest,
        Self::State,
        Self::Lease,
        Self::Back,
        Self::Tomb,
        Self::Delayed,
        Self::Done,
        Self::Ended,
        Self::Dead,
        Self::Cancelled,
        Self::Result,
        Self::Waiting,
        Self::Lines,
        Self::Behind,
        Self::Unique,
        Self::Held,
        Self::Groups,
        Self::Events,
        Self::Checkpoint,
        Self::Log,
        Self::Wake,
        Self::Ready0,
        Self::Ready1,
        Self::Ready2,
        Self::Ready3,
        Self::Ready4,
    ];

    /// The last part of its key.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Job => "job",
            Self::Latest => "latest",
            Self::State => "state",
            Self::Lease => "lease",
            Self::Back => "back",
            Self::Tomb => "tomb",
            Self::Delayed => "delayed",
            Self::Done => "done",
            Self::Ended => "ended",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Result => "result",
            Self::Waiting => "waiting",
            Self::Lines => "lines",
            Self::Behind => "behind",
            Self::Unique => "unique",
            Self::Held => "held",
            Self::Groups => "groups",
            Self::Events => "events",
            Self::Checkpoint => "checkpoint",
            Self::Log => "log",
            Self::Wake => "wake",
            Self::Ready0 => "ready:0",
            Self::Ready1 => "ready:1",
            Self::Ready2 => "ready:2",
            Self::Ready3 => "ready:3",
            Self::Ready4 => "ready:4",
        }
    }

    /// The list of the ready jobs of a priority.
    pub(super) const fn ready(level: Priority) -> Self {
        match level.level() {
            0 => Self::Ready0,
            1 => Self::Ready1,
            2 => Self::Ready2,
            3 => Self::Ready3,
            _ => Self::Ready4,
        }
    }

    /// Its name in the table `K` of the scripts.
    pub(super) fn in_script(self) -> String {
        self.suffix().replace(':', "")
    }
}

/// The keys of one partition of a queue.
#[derive(Clone, Debug)]
pub(super) struct PartitionKeys {
    names: [String; Part::ALL.len()],
    /// The same names as arguments. Created once, since each call sends a dozen.
    args: [Arg; Part::ALL.len()],
    slot: u16,
}

impl PartitionKeys {
    pub(super) fn new(keyspace: &Keyspace, queue: &str, partition: u16) -> Self {
        let group = keyspace.group("q", &[queue, &partition.to_string()]);
        let names = Part::ALL.map(|part| group.key(part.suffix()));
        let args = Part::ALL.map(|part| Arg::from(names[part as usize].as_str()));
        Self { names, args, slot: Client::slot_of(group.as_str()) }
    }

    pub(super) fn get(&self, part: Part) -> &str {
        &self.names[part as usize]
    }

    pub(super) fn arg(&self, part: Part) -> Arg {
        self.args[part as usize].clone()
    }

    /// The slot of all these keys.
    pub(super) fn slot(&self) -> u16 {
        self.slot
    }
}

/// The keys that don't belong to a queue.
#[derive(Debug)]
pub(super) struct RegistryKeys {
    /// Hash: queue to number of partitions.
    pub(super) names: String,
    /// Hash: worker to the time it was last seen and its announcement.
    pub(super) workers: String,
    /// The latest revision of a document.
    pub(super) revision: String,
    group: KeyGroup,
}

impl RegistryKeys {
    pub(super) fn new(keyspace: &Keyspace) -> Self {
        let group: KeyGroup = keyspace.group("queues", &[]);
        let [names, workers, revision] = ["names", "workers", "revision"].map(|name| group.key(name));
        Self { names, workers, revision, group }
    }

    /// Hash of a collection's documents, by name.
    pub(super) fn collection(&self, collection: &str) -> String {
        self.group.key(&format!("documents:{collection}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_as_listed_and_share_a_slot() {
        let keys = PartitionKeys::new(&Keyspace::new("t").unwrap(), "email", 3);
        for part in Part::ALL {
            assert_eq!(keys.get(part), format!("t:{{q:email:3}}:{}", part.suffix()));
            assert_eq!(Client::slot_of(keys.get(part)), keys.slot());
        }
    }
}
