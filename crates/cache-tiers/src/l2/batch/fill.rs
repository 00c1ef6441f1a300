//! Loaded values that L2 takes unless they were invalidated meanwhile.

use std::collections::HashSet;

use super::shared::is_one;
use crate::key::Key;
use crate::l2::epoch::Epoch;
use crate::l2::names::Names;
use crate::l2::new::{Failure, Filled, New};
use crate::l2::patience::{Impatience, Patience};
use crate::l2::steps::{Item, run_many};
use crate::l2::tier::{RedisTier, millis};

/// Result of a load, with the fence under which it may be stored.
pub(in crate::l2) struct FillOne {
    pub(in crate::l2) key: Key,
    pub(in crate::l2) fence: String,
    pub(in crate::l2) new: New,
}

impl RedisTier {
    /// Stores loaded values, except those invalidated meanwhile.
    pub(in crate::l2) async fn fill_many(
        &self,
        fills: Vec<FillOne>,
        epoch: &Epoch,
        patience: &mut Patience,
    ) -> (Vec<Option<Filled>>, Vec<Impatience<Failure>>) {
        let _changing = self.changing(fills.iter().map(|fill| &fill.key));
        let mut answers: Vec<Option<Filled>> = fills.iter().map(|_| None).collect();
        let mut failures = Vec::new();
        let carried = match patience.spend(self.carry(fills.iter().map(|fill| &fill.new))).await {
            Ok(carried) => carried,
            Err(error) => return (answers, vec![error.into()]),
        };
        // The cells are read after the generations, as for one key.
        let mut moved = HashSet::new();
        if !carried.is_empty() {
            let cells: HashSet<String> = carried.keys().map(Names::cell_field).collect();
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            match patience.spend(self.epoch_fields(&cells)).await {
                Ok(now) if now.is_of(epoch) => {
                    let differ = cells.iter().filter(|cell| now.count(cell) != epoch.count(cell));
                    moved.extend(differ.map(|cell| (*cell).to_owned()));
                }
                Ok(_) => moved.extend(cells.into_iter().map(str::to_owned)),
                Err(error) => return (answers, vec![error.into()]),
            }
        }
        let (mut items, mut stored) = (Vec::with_capacity(fills.len()), Vec::with_capacity(fills.len()));
        for (index, fill) in fills.into_iter().enumerate() {
            if fill.new.tags.iter().any(|tag| moved.contains(&Names::cell_field(tag))) {
                answers[index] = Some(Filled::Refused);
                continue;
            }
            let (id, ttl) = (fill.new.id, millis(fill.new.ttl));
            match Self::encode_with(fill.new, epoch, &carried) {
                Ok(entry) => {
                    let bytes = entry.len();
                    let args = vec![fill.fence.into(), entry.into(), ttl];
                    items.push(Item { names: self.pair(&fill.key), args, bytes });
                    stored.push((index, id));
                }
                Err(error) => failures.push(Impatience::Failed(error.into())),
            }
        }
        let filled = run_many(&self.client, &self.scripts.fill_many, &[], items, 1, patience).await;
        for ((index, id), answer) in stored.into_iter().zip(filled.answers) {
            answers[index] = answer.map(|answer| if is_one(&answer) { Filled::Stored(id) } else { Filled::Refused });
        }
        failures.extend(filled.failures.into_iter().map(Into::into));
        (answers, failures)
    }
}
