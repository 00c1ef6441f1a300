//! Names of keys: all of one partition share a hash tag, and so a slot.

use tidegate_redis::{KeyGroup, Keyspace};

/// What a partition consists of. `docs/keyspace.md` of the project tells what each holds.
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
    Dead,
    Cancelled,
    Result,
    Wake,
    Ready0,
    Ready1,
    Ready2,
    Ready3,
    Ready4,
}

impl Part {
    const ALL: [Self; 18] = [
        Self::Meta,
        Self::Job,
        Self::Latest,
        Self::State,
        Self::Lease,
        Self::Back,
        Self::Tomb,
        Self::Delayed,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
        Self::Result,
        Self::Wake,
        Self::Ready0,
        Self::Ready1,
        Self::Ready2,
        Self::Ready3,
        Self::Ready4,
    ];

    /// The end of its key.
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
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Result => "result",
            Self::Wake => "wake",
            Self::Ready0 => "ready:0",
            Self::Ready1 => "ready:1",
            Self::Ready2 => "ready:2",
            Self::Ready3 => "ready:3",
            Self::Ready4 => "ready:4",
        }
    }

    /// Its name in the scripts' table `K`.
    pub(super) fn in_script(self) -> String {
        self.suffix().replace(':', "")
    }
}

/// The keys of one partition of a queue.
#[derive(Clone, Debug)]
pub(super) struct PartitionKeys([String; Part::ALL.len()]);

impl PartitionKeys {
    pub(super) fn new(keyspace: &Keyspace, queue: &str, partition: u16) -> Self {
        let group = keyspace.group("q", &[queue, &partition.to_string()]);
        Self(Part::ALL.map(|part| group.key(part.suffix())))
    }

    pub(super) fn get(&self, part: Part) -> &str {
        &self.0[part as usize]
    }
}

/// The keys that belong to no queue.
#[derive(Debug)]
pub(super) struct RegistryKeys {
    /// Queue to number of partitions.
    pub(super) names: String,
    /// Worker to what it says of itself.
    pub(super) workers: String,
    /// Worker to when it was seen.
    pub(super) seen: String,
}

impl RegistryKeys {
    pub(super) fn new(keyspace: &Keyspace) -> Self {
        let group: KeyGroup = keyspace.group("queues", &[]);
        Self { names: group.key("names"), workers: group.key("workers"), seen: group.key("seen") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_redis::Client;

    #[test]
    fn parts_are_numbered_as_listed_and_share_a_slot() {
        let keys = PartitionKeys::new(&Keyspace::new("t").unwrap(), "email", 3);
        for part in Part::ALL {
            assert_eq!(keys.get(part), format!("t:{{q:email:3}}:{}", part.suffix()));
            assert_eq!(Client::slot_of(keys.get(part)), Client::slot_of("q:email:3"));
        }
    }
}
