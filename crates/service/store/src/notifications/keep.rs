//! How long what tenants were told can be read.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::tenant::TenantId;
use tokio_util::sync::CancellationToken;

use super::{number, signed};
use crate::sql::notifications::{FORGET, OLD, REMOVE};
use crate::{Store, StoreError};

/// So many are looked at for one transaction, so that other writers get their turn between.
const AT_A_TIME: i64 = 500;
const PERIOD: Duration = Duration::from_secs(60);

impl Store {
    /// Removes what is older than `keep`, each minute, until `shutdown`.
    pub async fn forget_notifications(self, keep: Duration, shutdown: CancellationToken) {
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(period.tick()).await.is_some() {
            let kept = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
            let before = clock::now().timestamp_millis().saturating_sub(kept);
            if let Err(error) = self.remove_notifications(before).await {
                tracing::warn!(%error, "old notifications can't be removed now");
            }
        }
    }

    /// Removes what was told before `before`, in milliseconds since 1970. Whoever resumes from there on is told of a gap.
    pub(crate) async fn remove_notifications(&self, before: i64) -> Result<(), StoreError> {
        loop {
            let old = self.all(&OLD, &[before.into(), AT_A_TIME.into()]).await?;
            // A tenant's numbers go from the front: what was told by a clock that was set back goes along.
            let mut up_to = BTreeMap::new();
            for row in &old {
                let tenant = row.text("tenant_id")?;
                let unreadable =
                    |_| StoreError::Unreadable { table: "notification", id: tenant.clone(), column: "tenant_id" };
                let tenant: TenantId = tenant.clone().try_into().map_err(unreadable)?;
                let seq = number(&tenant, row, "seq")?;
                let last = up_to.entry(tenant.to_string()).or_insert(seq);
                *last = seq.max(*last);
            }
            for (tenant, seq) in &up_to {
                let remove = || async {
                    let mut change = self.begin_once().await?;
                    // Those who publish lock this row first too.
                    let values = [signed(*seq).into(), tenant.into()];
                    change.run(&FORGET, &values, Touched::new()).await?;
                    change.run(&REMOVE, &values, Touched::new()).await?;
                    change.commit().await
                };
                self.db.insist(remove).await?;
            }
            if up_to.is_empty() {
                return Ok(());
            }
        }
    }
}
