//! Values that a load, a write or a caller stores in L2.

use std::sync::Arc;
use std::time::Duration;

use super::debts::Debt;
use super::new::{Filled, New};
use super::patience::Patience;
use super::shared::{L2, Mark};
use super::ticket::Ticket;
use crate::class::Class;
use crate::codec::{Codec, CodecError, Format};
use crate::fill::Fill;
use crate::inquiry::Inquiry;
use crate::key::Key;
use crate::ttl::TtlClass;

/// Maximum time that Redis keeps an entry, grace included: the epoch outlives it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl L2 {
    /// The right to fill a write's result. It ends when another operation changes the key.
    pub async fn fence(self: &Arc<Self>, key: &Key, patience: &mut Patience) -> Option<Ticket> {
        if self.owes() {
            return None;
        }
        let taken =
            async { Ok::<_, tidegate_redis::Error>((self.tier.take_part(key).await?, self.tier.open_epoch().await?)) };
        match patience.spend(taken).await {
            Ok((fence, epoch)) => Some(Ticket::new(self, key, fence, epoch, None)),
            Err(error) => {
                self.failed("fence", &error);
                None
            }
        }
    }

    /// Stores a loaded value. `None` if L1 must not keep it either. `began` is the number of
    /// notices that the flight had received when the loader was called. If L2 is not reached, only
    /// this number shows whether the value is older than a change.
    pub async fn fill<V: 'static>(
        self: &Arc<Self>,
        ticket: Option<Ticket>,
        class: &Class,
        codec: &dyn Codec<V>,
        fill: &Fill<V>,
        (inquiry, began): (&Inquiry, u64),
        patience: &mut Patience,
    ) -> Option<Mark> {
        let left = class.ttl.in_l2(fill.ttl);
        let alone = Some(Mark { id: None, left, noticed: began });
        let Some(ticket) = ticket.filter(|_| !self.owes()) else { return alone };
        let mut noticed = inquiry.noticed();
        let new = match self.pack(&class.ttl, codec, fill) {
            Ok(new) => new,
            Err(error) => {
                self.codec_failed(class, ticket.key(), &error);
                return match patience.spend(ticket.give_up()).await {
                    Ok(false) => None,
                    _ => alone,
                };
            }
        };
        let key = ticket.key().clone();
        match patience.spend(ticket.fill(new)).await {
            Ok(Filled::Stored(id)) => {
                noticed = self.confirm(&key, id, inquiry, noticed, patience).await?;
                Some(Mark { id: Some(id), left, noticed })
            }
            Ok(Filled::Refused) => None,
            Err(error) => {
                self.failed("fill", &error);
                // As far as known, the value is good. So L1 serves it for its capped time.
                alone
            }
        }
    }

    /// Notifies others that a fill changed the key, if Redis does not. Returns whether it did.
    ///
    /// A load's fill needs no notice, because the values of other processes are still valid.
    pub async fn announce(&self, key: &Key, patience: &mut Patience) -> bool {
        match patience.spend(self.tier.ways.notify(&self.tier.names.value(key))).await {
            Ok(()) => true,
            Err(error) => {
                self.failed("tell", &error);
                false
            }
        }
    }

    /// Stores a value of a caller, if L1 accepted it. Otherwise, and if it cannot be stored, the
    /// key is invalidated, now or as soon as possible. Returns whether L2 was reached now.
    pub async fn put(self: &Arc<Self>, key: &Key, new: Option<New>) -> bool {
        let mut patience = self.patience();
        let left = patience.left();
        let owing = self.owing(vec![Debt::Key(key.clone())]).again_after(left);
        let done = match new {
            Some(new) if !self.owes() => patience.spend(self.tier.put(key, new, left)).await,
            _ => patience.spend(async { Ok(self.tier.forget(key).await?) }).await,
        };
        match done {
            Ok(()) => {
                owing.settled();
                true
            }
            Err(error) => {
                self.failed("put", &error);
                false
            }
        }
    }

    /// Returns the bytes to store.
    pub fn pack<V: 'static>(&self, class: &TtlClass, codec: &dyn Codec<V>, fill: &Fill<V>) -> Result<New, CodecError> {
        let value = codec.encode_shared(&fill.value)?;
        let (length, limit) = (value.len(), codec.limit());
        if length > limit {
            return Err(CodecError::TooBig { length, limit });
        }
        let fresh = class.in_l2(fill.ttl);
        let ttl = fresh.saturating_add(class.grace_of(fill.is_negative, fill.ttl)).min(LONGEST.max(fresh));
        let (id, grace) = (self.tier.next_id(), ttl - fresh);
        Ok(New { id, class: *class, tags: fill.tags.clone(), ttl, grace, codec: Format::of(codec), value })
    }
}
