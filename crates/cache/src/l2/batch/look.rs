//! Reads of many keys.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use tidegate_redis::{Arg, Error, Value};

use super::judge::Seen;
use crate::key::Key;
use crate::l2::entry::{Entry, HEAD};
use crate::l2::look::Looked;
use crate::l2::names::Names;
use crate::l2::patience::{Impatience, Patience};
use crate::l2::steps::{Answered, BYTES, Item, run_many};
use crate::l2::tier::{RedisTier, millis};

/// A key to read, with the head of an entry that is known to be invalid.
pub(in crate::l2) struct Look<'a> {
    pub(in crate::l2) key: &'a Key,
    pub(in crate::l2) reject: Option<Bytes>,
}

impl RedisTier {
    /// Reads keys. With a `fence`, also joins the loads of keys that have no value.
    pub(in crate::l2) async fn look_many(
        &self,
        looks: &[Look<'_>],
        class: &str,
        fence: &str,
        patience: &mut Patience,
    ) -> Answered<Looked> {
        let mut items = Vec::with_capacity(looks.len());
        for look in looks {
            let head = look.reject.clone().unwrap_or_default();
            items.push(Item { names: self.pair(look.key), args: vec![head.into()], bytes: 0 });
        }
        let common = [Arg::from(fence), millis(self.fence), Arg::from(BYTES), self.abandoned_below()];
        let mut aside = patience.clone();
        let field = Names::class_field(class);
        let fields = [field.as_str()];
        let epoch = aside.spend(self.epoch_fields(&fields));
        let looked = run_many(&self.client, &self.scripts.look_many, &common, items, 2, patience);
        let (looked, epoch) = join(looked, epoch).await;
        let mut failures = looked.failures;
        let epoch = match epoch {
            Ok(epoch) => epoch,
            Err(error) => {
                failures.push(error);
                return Answered { answers: looks.iter().map(|_| None).collect(), failures };
            }
        };
        let mut seen = Vec::with_capacity(looks.len());
        for answer in looked.answers {
            seen.push(answer.and_then(|values| match self::seen(values, fence) {
                Ok(seen) => Some(seen),
                Err(error) => {
                    failures.push(Impatience::Failed(error));
                    None
                }
            }));
        }
        match self.judge(seen, class, epoch, patience).await {
            Ok(answers) => Answered { answers, failures },
            Err(error) => {
                failures.push(error);
                Answered { answers: looks.iter().map(|_| None).collect(), failures }
            }
        }
    }
}

fn seen(values: Vec<Value>, fence: &str) -> Result<Seen, Error> {
    let mut values = values.into_iter();
    let value = values.next().unwrap_or(Value::Nil).into_optional_bytes()?;
    let second = values.next().unwrap_or(Value::Nil);
    let Some(bytes) = value else {
        let in_force = second.into_text()?;
        return Ok(Seen::Done(Looked::Fenced { is_first: in_force == fence, fence: in_force }));
    };
    // Negative if it has no expiry. This crate never writes such an entry.
    let left = Duration::from_millis(u64::try_from(second.as_int()?).unwrap_or_default());
    // A foreign value may be shorter.
    let head = bytes.slice(..bytes.len().min(HEAD));
    Ok(match Entry::decode(&bytes) {
        Ok(entry) => Seen::Entry { entry, left, head },
        Err(error) => Seen::Done(Looked::Unreadable { head, error }),
    })
}
