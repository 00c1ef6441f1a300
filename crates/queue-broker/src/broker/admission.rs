//! Checks whether groups accept the jobs that name them.

use serde::Deserialize;
use serde_json::Value;

use super::Broker;
use super::new_job::NewJob;
use crate::error::{BrokerError, GroupRefusal};
use crate::id::GroupId;

/// Collection of groups that have not completed.
pub const OPEN: &str = "groups.open";
/// Collection of groups that have completed.
pub const COMPLETED: &str = "groups.completed";

/// Fields of a stored group that decide about admission. Reads groups of newer versions too.
#[derive(Default, Deserialize)]
struct Terms {
    queue: Option<String>,
    #[serde(default)]
    sealed_at: Value,
}

/// Checks the groups of jobs that are to be enqueued. Costs one or two document reads for each
/// group named, and none for jobs without a group. A group that was never created accepts any job.
/// A job that is already stored may be enqueued again.
pub(super) async fn admit(broker: &dyn Broker, queue: &str, jobs: &[NewJob]) -> Result<(), BrokerError> {
    let mut admitted: Option<&GroupId> = None;
    for job in jobs {
        let Some(group) = job.group.as_ref().filter(|group| admitted != Some(*group)) else { continue };
        match refusal(broker, queue, group).await? {
            None => admitted = Some(group),
            Some(refusal) if broker.job(queue, &job.id).await?.is_none() => return Err(refusal.into()),
            Some(_) => {}
        }
    }
    Ok(())
}

async fn refusal(broker: &dyn Broker, queue: &str, group: &GroupId) -> Result<Option<GroupRefusal>, BrokerError> {
    for collection in [OPEN, COMPLETED] {
        let Some(document) = broker.document(collection, group.as_str()).await? else { continue };
        let terms: Terms = serde_json::from_str(&document.body).unwrap_or_default();
        return Ok(match terms.queue {
            Some(of_group) if of_group != queue => {
                Some(GroupRefusal::OtherQueue { group: group.clone(), queue: of_group, other: queue.to_owned() })
            }
            _ if !terms.sealed_at.is_null() => Some(GroupRefusal::Sealed(group.clone())),
            _ => None,
        });
    }
    Ok(None)
}
