//! Invalidation in L2, each kind in one step; patterns are in `pattern`, many keys in `batch`.

use futures_util::future::try_join_all;
use tidegate_redis::{Arg, Client, Error, Topology};

use super::epoch::EPOCH;
use super::names::Names;
use super::recall::Moving;
use super::tier::{RedisTier, millis};
use crate::key::Key;
use crate::tag::Tag;

impl RedisTier {
    /// Deletes value and fence.
    pub(super) async fn forget(&self, key: &Key) -> Result<(), Error> {
        let keys = [self.names.value(key), self.names.fence(key)];
        let _changing = self.changing([key]);
        self.client.run(&self.scripts.forget, &keys, Vec::new()).await?;
        self.ways.notify(&keys[0]).await
    }

    /// Moves the cells of these tags, then their generations: one round trip, in a cluster two.
    pub(super) async fn move_tags(&self, tags: &[&Tag]) -> Result<(), Error> {
        let _moving = Moving::new(|| tags.iter().for_each(|tag| self.recall.drop_tag(tag)));
        let mut cells: Vec<String> = tags.iter().map(|tag| Names::cell_field(tag)).collect();
        cells.sort_unstable();
        cells.dedup();
        let cells = cells.into_iter().map(Arg::from);
        if self.client.topology() != Topology::Cluster {
            let epoch = self.names.epoch();
            let slot = Client::slot_of(&epoch);
            let pairs = tags.iter().flat_map(|tag| [self.names.generation(tag), self.names.tag_mark(tag)]);
            let all = std::iter::once(epoch).chain(pairs).map(Arg::from).chain(cells).collect();
            // The keys have several slots, which does not matter on one server.
            self.client.run_in(slot, &self.scripts.tags_move, 1 + 2 * tags.len(), all).await?;
        } else {
            self.client.run(&self.scripts.epoch_move, &[self.names.epoch()], cells.collect()).await?;
            let generations = tags.iter().map(|tag| async move {
                let keys = [self.names.generation(tag), self.names.tag_mark(tag)];
                self.client.run(&self.scripts.tag_move, &keys, Vec::new()).await
            });
            try_join_all(generations).await?;
        }
        try_join_all(tags.iter().map(|tag| async { self.ways.notify(&self.names.tag_mark(tag)).await })).await?;
        Ok(())
    }

    pub(super) async fn move_class(&self, class: &str) -> Result<(), Error> {
        let _moving = Moving::new(|| self.recall.drop_epoch());
        let keys = [self.names.epoch(), self.names.class_mark(class)];
        let args = vec![Names::class_field(class).into()];
        self.client.run(&self.scripts.epoch_move, &keys, args).await?;
        self.ways.notify(&keys[1]).await
    }

    pub(super) async fn move_all(&self) -> Result<(), Error> {
        let _moving = Moving::new(|| self.recall.drop_epoch());
        let keys = [self.names.epoch(), self.names.all_mark()];
        let fresh = format!("{:032x}", rand::random::<u128>());
        let args = vec![fresh.into(), millis(EPOCH)];
        self.client.run(&self.scripts.epoch_new, &keys, args).await?;
        self.changes_everything();
        self.ways.notify(&keys[1]).await
    }
}
