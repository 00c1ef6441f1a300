//! Documents, one hash per collection: name to `revision body`.

use tidegate_redis::{Command, Value};

use super::broker::RedisBroker;
use super::reply::{Unreadable, failed, unreadable};
use crate::broker::Document;
use crate::broker::documents::check_body;
use crate::error::BrokerError;
use crate::timestamp::Timestamp;

const READ: &str = "read a document";
const WRITE: &str = "write a document";
const TIME: &str = "read the time";

pub(super) fn parsed(stored: Value) -> Result<Document, Unreadable> {
    let stored = stored.into_text()?;
    let (revision, body) = stored.split_once(' ').ok_or("a document without a revision")?;
    Ok(Document { revision: revision.parse()?, body: body.to_owned() })
}

impl RedisBroker {
    pub(super) async fn one_document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError> {
        let command = Command::new("HGET").key(self.registry.collection(collection)).arg(name).idempotent();
        match self.client.execute(command).await.map_err(failed(READ))? {
            Value::Nil => Ok(None),
            stored => parsed(stored).map(Some).map_err(unreadable(READ)),
        }
    }

    pub(super) async fn write_document(
        &self,
        collection: &str,
        name: &str,
        expected: Option<u64>,
        body: Option<String>,
    ) -> Result<bool, BrokerError> {
        check_body(body.as_deref())?;
        let keys = [self.registry.collection(collection), self.registry.revision.clone()];
        let args = vec![
            name.into(),
            expected.map_or_else(String::new, |revision| revision.to_string()).into(),
            u32::from(body.is_some()).into(),
            body.unwrap_or_default().into(),
        ];
        let reply = self.client.run(&self.scripts.put_document, &keys, args).await;
        Ok(reply.and_then(|done| done.as_int()).map_err(failed(WRITE))? == 1)
    }

    pub(super) async fn all_documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError> {
        let command = Command::new("HGETALL").key(self.registry.collection(collection)).idempotent();
        let pairs = self.client.execute(command).await.and_then(Value::into_map).map_err(failed(READ))?;
        let one = |(name, stored): (Value, Value)| Ok((name.into_text()?, parsed(stored)?));
        let mut all = pairs.into_iter().map(one).collect::<Result<Vec<_>, Unreadable>>().map_err(unreadable(READ))?;
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(all)
    }

    pub(super) async fn time(&self) -> Result<Timestamp, BrokerError> {
        let reply = self.client.run(&self.scripts.now, &[&self.registry.names], Vec::new()).await;
        reply.and_then(|now| now.as_int()).map(Timestamp::from_unix_ms).map_err(failed(TIME))
    }
}
