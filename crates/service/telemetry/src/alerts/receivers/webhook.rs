//! Posts a notice as JSON to the operator's webhook, signed if a key is configured.

use reqwest::Url;
use serde::Serialize;
use tidegate_base::identity::Identity;
use tidegate_outgoing::webhook::{Message, Sender};
use tidegate_perfmon::Transition;
use tidegate_settings::Hidden;

use super::failure::{Failure, taken};
use crate::alerts::notice::Notice;

#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) url: Url,
    pub(super) key: Option<Hidden>,
    pub(super) sender: Sender,
}

/// The body. The event id is in a header.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    step: &'a Transition,
    source: &'a Identity,
}

impl Webhook {
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        let body = serde_json::to_string(&Body { step: &notice.step, source: &notice.source })?;
        let message = Message { event: &notice.event, trace: notice.trace(), body };
        taken(self.sender.post(&self.url, self.key.as_ref(), message).await?)
    }
}
