//! Invalidation by pattern: a walk over all keys of all primaries, in steps.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tidegate_redis::{Client, Command, Error, Layout, Node, Topology, Value};

use super::entry;
use super::tier::{RedisTier, is_foreign};
use crate::pattern::Pattern;

/// Approximate number of keys per step of a walk.
const STEP: u64 = 1000;
/// Maximum number of keys of one `UNLINK`.
const BATCH: usize = 256;
/// Bytes from the start of an entry that certainly contain the name of its class.
const START: u64 = 1023;
/// Maximum number of walks, if keys move from one primary to another meanwhile.
const WALKS: usize = 3;

impl RedisTier {
    /// Deletes entries with a matching key (of one class if named), and fences of such loads.
    ///
    /// The fences go first, in a walk of their own. So a load that can still fill during the walk
    /// over the values has started after the call. On each node, `SCAN` shows everything that
    /// existed from its start to its end. If keys moved from one node to another meanwhile, or
    /// could have, the whole walk is repeated. A key that moves once and slipped through the first
    /// walk is found by the second.
    pub(super) async fn forget_matching(&self, pattern: &Pattern, class: Option<&str>) -> Result<(), Error> {
        self.changes_matching(pattern);
        let [fences, values] = self.names.globs(pattern);
        for _ in 0..WALKS {
            // An account without that permission does not know, and walks as if all keys moved.
            let before = self.client.layout().await.ok();
            let nodes = self.client.primaries();
            for node in &nodes {
                self.walk(node, &fences, pattern, None).await?;
            }
            for node in &nodes {
                self.walk(node, &values, pattern, class).await?;
            }
            let Some(before) = before.filter(Layout::is_settled) else { continue };
            if self.client.layout().await.is_ok_and(|after| after == before) {
                break;
            }
        }
        self.changes_matching(pattern);
        let mark = self.names.pattern_mark(pattern, class);
        self.client.run(&self.scripts.mark, &[&mark], Vec::new()).await?;
        self.ways.notify(&mark).await
    }

    async fn walk(&self, node: &Node, glob: &str, pattern: &Pattern, class: Option<&str>) -> Result<(), Error> {
        let mut cursor = "0".to_owned();
        loop {
            let scan = Command::new("SCAN").arg(&cursor).arg("MATCH").arg(glob).arg("COUNT").arg(STEP).idempotent();
            let mut answer = self.client.execute_on(node, scan).await?.into_array()?.into_iter();
            cursor = answer.next().unwrap_or(Value::Nil).into_text()?;
            let mut found = Vec::new();
            for name in answer.next().unwrap_or(Value::Array(Vec::new())).into_array()? {
                // This crate does not write names that are not text.
                let Ok(name) = name.into_text() else { continue };
                if self.names.key_of(&name).is_some_and(|key| pattern.matches(key.as_str())) {
                    found.push(name);
                }
            }
            if let Some(class) = class {
                found = self.of_class(found, class).await?;
            }
            self.unlink(found).await?;
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    async fn of_class(&self, names: Vec<String>, class: &str) -> Result<Vec<String>, Error> {
        let kept = try_join_all(names.into_iter().map(|name| async move {
            let range = Command::new("GETRANGE").key(&name).arg(0_u64).arg(START).idempotent();
            // A value that cannot be read is no use to any reader.
            let start = match self.client.execute(range).await {
                Err(error) if is_foreign(&error) => return Ok(Some(name)),
                other => other?.into_bytes()?,
            };
            Ok::<_, Error>(entry::class_of(&start).is_none_or(|of| of == class).then_some(name))
        }));
        Ok(kept.await?.into_iter().flatten().collect())
    }

    async fn unlink(&self, names: Vec<String>) -> Result<(), Error> {
        let is_cluster = self.client.topology() == Topology::Cluster;
        let mut by_slot: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for name in names {
            let slot = if is_cluster { Client::slot_of(&name) } else { 0 };
            by_slot.entry(slot).or_default().push(name);
        }
        let batches = by_slot.values().flat_map(|names| names.chunks(BATCH)).map(|names| {
            let unlink = names.iter().fold(Command::new("UNLINK"), Command::key);
            self.client.execute(unlink.idempotent())
        });
        try_join_all(batches).await?;
        Ok(())
    }
}
