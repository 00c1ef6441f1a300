//! Snapshot of which server has which keys. A scan of all keys uses it to detect whether keys moved
//! meanwhile.

use futures_util::future::try_join_all;

use crate::client::{Client, Node};
use crate::command::Command;
use crate::config::Topology;
use crate::error::Error;
use crate::info::Fields;

/// The run id of every primary, and in a cluster the slots that it serves.
///
/// A cursor of `SCAN` is only valid for one run of one server. Between two equal layouts that are
/// [settled](Self::is_settled), no key moved from one primary to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Runs and slots, sorted.
    servers: Vec<(String, String)>,
}

impl Layout {
    /// Whether no slot is being migrated. During a migration, the keys of the slot move one by one.
    pub fn is_settled(&self) -> bool {
        self.servers.iter().all(|(_, slots)| !slots.contains('['))
    }
}

impl Client {
    /// Reads the layout from every primary: one short command for each, three in a cluster.
    ///
    /// # Errors
    /// [`Error`] of any primary.
    pub async fn layout(&self) -> Result<Layout, Error> {
        // A new primary has to be known first.
        self.shards().refresh().await;
        let nodes = self.primaries();
        let mut servers = try_join_all(nodes.iter().map(|node| self.tells_of_itself(node))).await?;
        servers.sort_unstable();
        Ok(Layout { servers })
    }

    async fn tells_of_itself(&self, node: &Node) -> Result<(String, String), Error> {
        let info = self.execute_on(node, Command::new("INFO").arg("server")).await?.into_text()?;
        let run = Fields::parse(&info).text("run_id").unwrap_or_default().to_owned();
        if self.topology() != Topology::Cluster {
            return Ok((run, String::new()));
        }
        let nodes = self.execute_on(node, Command::new("CLUSTER").arg("NODES")).await?.into_text()?;
        Ok((run, own_slots(&nodes)))
    }
}

/// The slots of the server that returned this answer to `CLUSTER NODES`. Slots in migration are in
/// brackets.
fn own_slots(nodes: &str) -> String {
    let own = nodes.lines().find(|line| {
        let flags = line.split_ascii_whitespace().nth(2).unwrap_or_default();
        flags.split(',').any(|flag| flag == "myself")
    });
    own.unwrap_or_default().split_ascii_whitespace().skip(8).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_slots_count() {
        let nodes = "07c3 127.0.0.1:1@2 master - 0 1 4 connected 1-5 [6->-e7d1]\n\
            e7d1 127.0.0.1:3@4 myself,master - 0 0 1 connected 0 7-9 [6-<-07c3]\n";
        assert_eq!(own_slots(nodes), "0 7-9 [6-<-07c3]");
        assert_eq!(own_slots(""), "");
        assert_eq!(own_slots("x y myself"), "");
    }

    #[test]
    fn a_slot_on_its_way_is_not_settled() {
        let layout = |slots: &str| Layout { servers: vec![("a".to_owned(), slots.to_owned())] };
        assert!(layout("0-5").is_settled() && layout("").is_settled());
        assert!(!layout("0-5 [3->-b]").is_settled());
    }
}
