//! What several steps need: generations of tags, encoded entries, and answers.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tidegate_redis::{Error, Value};

use crate::codec::CodecError;
use crate::key::Key;
use crate::l2::epoch::Epoch;
use crate::l2::new::{Failure, New};
use crate::l2::patience::Impatience;
use crate::l2::tier::RedisTier;
use crate::tag::Tag;

impl RedisTier {
    /// Generations of all tags to be carried, created if missing, for the longest lifetime.
    pub(super) async fn carry(&self, news: impl Iterator<Item = &New>) -> Result<HashMap<Tag, Bytes>, Error> {
        let mut longest: HashMap<Tag, Duration> = HashMap::new();
        for new in news {
            for tag in &new.tags {
                let ttl = longest.entry(tag.clone()).or_default();
                *ttl = (*ttl).max(new.ttl);
            }
        }
        let mut reads = Vec::with_capacity(longest.len());
        for (tag, ttl) in &longest {
            reads.push(self.generations(std::slice::from_ref(tag), *ttl));
        }
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    pub(super) fn encode_with(new: New, epoch: &Epoch, carried: &HashMap<Tag, Bytes>) -> Result<Vec<u8>, CodecError> {
        let tags = new.tags.iter().map(|tag| (tag.clone(), carried.get(tag).cloned().unwrap_or_default())).collect();
        new.encode(epoch, tags)
    }

    pub(in crate::l2) fn pair(&self, key: &Key) -> Vec<String> {
        vec![self.names.value(key), self.names.fence(key)]
    }
}

pub(super) fn is_one(answer: &[Value]) -> bool {
    answer.first().is_some_and(|answer| answer.as_int() == Ok(1))
}

impl From<Impatience<Error>> for Impatience<Failure> {
    fn from(error: Impatience<Error>) -> Self {
        match error {
            Impatience::Failed(error) => Self::Failed(error.into()),
            Impatience::Over(whole) => Self::Over(whole),
        }
    }
}
