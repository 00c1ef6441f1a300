//! A node's knowledge of published quotas, and the limiters that follow them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::field::{Field, one_error};
use crate::{Limiter, Quota, QuotaError, Quotas};

#[derive(Default)]
pub(super) struct Known {
    /// Published fields by limiter name, including withdrawn ones.
    pub(super) fields: BTreeMap<String, Field>,
    registered: Vec<Registered>,
    /// Names whose text cannot be applied on this node.
    pub(super) refused: BTreeMap<String, QuotaError>,
}

struct Registered {
    limiter: Arc<dyn Limiter>,
    /// The limiter's own quotas from before, while others are published.
    own: Option<Quotas>,
}

impl Known {
    pub(super) fn register(&mut self, limiter: Arc<dyn Limiter>) {
        let name = limiter.name().to_owned();
        let mut registered = Registered { limiter, own: None };
        if let Some(field) = self.fields.get(&name)
            && let Err(error) = registered.follow(field)
        {
            self.refused.insert(name, error);
        }
        self.registered.push(registered);
    }

    pub(super) fn date(&self, name: &str) -> u64 {
        self.fields.get(name).map_or(0, |field| field.date)
    }

    /// The quotas to publish so that `quota` joins the other published windows. Applies nothing.
    pub(super) fn plan(&self, name: &str, quota: Quota) -> Result<Quotas, QuotaError> {
        // A text that cannot be parsed is replaced.
        let published = self.fields.get(name).and_then(|field| field.quotas().ok().flatten());
        let here = || self.registered.iter().filter(|one| one.limiter.name() == name);
        let windows = here().next().map(Registered::own);
        let is_window = |quota: &Quota| match &windows {
            Some(windows) => windows.len() > 1 && has_window(windows, quota),
            None => published.is_some_and(|published| published.len() > 1),
        };
        let others = published.iter().flat_map(|quotas| quotas.iter());
        let others = others.filter(|other| is_window(other) && other.period_micros() != quota.period_micros());
        let planned: Vec<_> = others.copied().chain([quota]).collect();
        let planned = Quotas::new(&planned).map_err(one_error)?;
        here().try_for_each(|one| one.ensure_follows(&planned))?;
        Ok(planned)
    }

    /// Stores a field that is at least as new as the known one, and applies it if its text differs.
    /// Returns whether a newer field is known.
    pub(super) fn learn(&mut self, name: String, field: Field) -> bool {
        let known = self.fields.get(&name);
        if known.is_some_and(|known| known.date > field.date) {
            return true;
        }
        let is_same = known.map_or(field.text.is_empty(), |known| known.text == field.text);
        if !is_same {
            self.refused.remove(&name);
            for one in self.registered.iter_mut().filter(|one| one.limiter.name() == name) {
                if let Err(error) = one.follow(&field) {
                    self.refused.insert(name.clone(), error);
                }
            }
        }
        self.fields.insert(name, field);
        false
    }
}

impl Registered {
    /// The limiter's quotas without publication.
    fn own(&self) -> Quotas {
        self.own.unwrap_or_else(|| self.limiter.quotas())
    }

    fn ensure_follows(&self, published: &Quotas) -> Result<(), QuotaError> {
        let own = self.own();
        // A limiter with a single quota would otherwise apply the last of several.
        if published.len() > 1
            && let Some(other) = published.iter().find(|quota| own.len() == 1 || !has_window(&own, quota))
        {
            return Err(QuotaError::NoSuchWindow { period: other.period() });
        }
        published.iter().try_for_each(|quota| self.limiter.accepts(*quota))
    }

    /// Applies the published quotas to the limiter. Other windows get its own quotas.
    fn follow(&mut self, field: &Field) -> Result<(), QuotaError> {
        let Some(published) = field.quotas()? else {
            // A quota that was set while nothing was published is kept.
            return self.own.take().map_or(Ok(()), |own| self.set_all(&own));
        };
        self.ensure_follows(&published)?;
        let own = *self.own.insert(self.own());
        if own.len() > 1 {
            let target = published.iter().try_fold(own, |target, quota| target.with(*quota))?;
            self.set_all(&target)
        } else {
            self.set_all(&published)
        }
    }

    fn set_all(&self, quotas: &Quotas) -> Result<(), QuotaError> {
        let before = self.limiter.quotas();
        // Unchanged quotas are skipped, because applying one iterates over all keys.
        let mut changed = quotas.iter().filter(|quota| !before.contains(quota));
        changed.try_for_each(|quota| self.limiter.set_quota(*quota))
    }
}

fn has_window(windows: &Quotas, quota: &Quota) -> bool {
    windows.iter().any(|window| window.period_micros() == quota.period_micros())
}
