//! Values that a batch stores in L2, under the fences of its loads or for a caller.

use std::collections::HashSet;
use std::sync::Arc;

use super::batch::FillOne;
use super::debts::Debt;
use super::entry::EntryId;
use super::new::{Filled, New};
use super::patience::Patience;
use super::seek_many::Wanted;
use super::shared::{L2, Mark};
use super::tickets::Tickets;
use crate::class::Class;
use crate::codec::Codec;
use crate::fill::Fill;
use crate::key::Key;

impl L2 {
    /// Stores the loaded values of these keys. The result of a key is `None` if L1 must not keep
    /// its value either. `began` is as in [`fill`](Self::fill), for each key.
    pub async fn fill_many<V: 'static>(
        self: &Arc<Self>,
        tickets: Option<Tickets>,
        class: &Class,
        codec: &dyn Codec<V>,
        wanted: &[Wanted<'_>],
        (fills, began): (&[Fill<V>], &[u64]),
        patience: &mut Patience,
    ) -> Vec<Option<Mark>> {
        let noticed: Vec<u64> = wanted.iter().map(|(_, inquiry)| inquiry.noticed()).collect();
        let lefts: Vec<_> = fills.iter().map(|fill| class.ttl.in_l2(fill.ttl)).collect();
        let mut marks: Vec<Option<Mark>> = began
            .iter()
            .zip(&lefts)
            .map(|(noticed, left)| Some(Mark { id: None, left: *left, noticed: *noticed }))
            .collect();
        let Some(mut tickets) = tickets.filter(|_| !self.owes()) else { return marks };
        let (mut ready, mut indexes, mut given_up) = (Vec::new(), Vec::new(), Vec::new());
        for (index, ((key, _), fill)) in wanted.iter().copied().zip(fills).enumerate() {
            // Without a ticket, L2 could not be queried for this key.
            let Some(fence) = tickets.fence(key) else { continue };
            match self.pack(&class.ttl, codec, fill) {
                Ok(new) => {
                    ready.push(FillOne { key: key.clone(), fence, new });
                    indexes.push(index);
                }
                Err(error) => {
                    self.codec_failed(class, key, &error);
                    given_up.push((index, (key.clone(), fence)));
                }
            }
        }
        let (at, fences): (Vec<usize>, Vec<_>) = given_up.into_iter().unzip();
        for (index, released) in at.into_iter().zip(self.tier.release_many(&fences, patience).await.answers) {
            if released.is_some() {
                tickets.ended(wanted[index].0);
            }
            // No longer in force: it was invalidated.
            if released == Some(false) {
                marks[index] = None;
            }
        }
        let (filled, failures) = self.tier.fill_many(ready, &tickets.epoch, patience).await;
        // As far as this process knows, the values are good. So L1 serves them for its capped time.
        failures.iter().for_each(|error| self.failed("fill", error));
        let mut asked: Vec<(usize, EntryId, u64)> = Vec::with_capacity(indexes.len());
        for (index, filled) in indexes.into_iter().zip(filled) {
            match filled {
                Some(Filled::Stored(id)) => {
                    tickets.ended(wanted[index].0);
                    asked.push((index, id, noticed[index]));
                }
                // The fence may be in force if a tag was invalidated or L2 was not reached.
                Some(Filled::Refused) => marks[index] = None,
                None => {}
            }
        }
        let confirmed = self.confirmed(wanted, asked.clone(), patience).await;
        for ((index, id, _), noticed) in asked.into_iter().zip(confirmed) {
            marks[index] = noticed.map(|noticed| Mark { id: Some(id), left: lefts[index], noticed });
        }
        marks
    }

    /// Stores the values of a caller, if L1 accepted them. Otherwise, and if a value cannot be
    /// stored, its key is invalidated instead, at once or as soon as possible.
    pub async fn put_many(self: &Arc<Self>, puts: Vec<(Key, Option<New>)>) {
        let mut patience = self.patience_for(puts.len());
        let owing = self.owing(puts.iter().map(|(key, _)| Debt::Key(key.clone())).collect());
        let owing = owing.again_after(patience.left());
        let owes = self.owes();
        let (mut stored, mut forgotten) = (Vec::new(), Vec::new());
        for (key, new) in puts {
            match new {
                Some(new) if !owes => stored.push((key, new)),
                _ => forgotten.push(key),
            }
        }
        let stored_keys: Vec<Key> = stored.iter().map(|(key, _)| key.clone()).collect();
        let mut unsettled = HashSet::new();
        if !stored.is_empty() {
            let (done, failures) = self.tier.put_many(stored, &mut patience).await;
            failures.iter().for_each(|error| self.failed("put", error));
            unsettled.extend(stored_keys.into_iter().zip(done).filter(|(_, is_done)| !is_done).map(|(key, _)| key));
        }
        let forgotten_keys: Vec<&Key> = forgotten.iter().collect();
        let told = self.tier.forget_many(&forgotten_keys, &mut patience).await;
        told.failures.iter().for_each(|error| self.failed("put", error));
        let untold = forgotten.iter().zip(told.answers).filter(|(_, answer)| answer.is_none());
        unsettled.extend(untold.map(|(key, _)| key.clone()));
        owing.settled_but(&unsettled);
    }
}
