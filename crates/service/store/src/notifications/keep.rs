//! Removes old notifications.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::tenant::TenantId;
use tokio_util::sync::CancellationToken;

use super::{number, signed};
use crate::sql::notifications::{FORGET, OLD, REMOVE};
use crate::{Store, StoreError};

/// Number of rows that one transaction considers. Other writers can run between transactions.
const AT_A_TIME: i64 = 500;
const PERIOD: Duration = Duration::from_secs(60);

impl Store {
    /// Removes notifications older than `keep` every minute, until `shutdown`.
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

    /// Removes notifications from before `before`, in milliseconds since 1970. A client that
    /// resumes before that point receives a gap.
    pub(crate) async fn remove_notifications(&self, before: i64) -> Result<(), StoreError> {
        loop {
            let old = self.all(&OLD, &[before.into(), AT_A_TIME.into()]).await?;
            // Numbers are removed from the front. Earlier numbers with a later time, from a clock
            // that was set back, are removed too.
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
                    // Publishers lock this row first, too.
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
