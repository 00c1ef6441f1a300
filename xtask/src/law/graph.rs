//! Reachability in a graph of imports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The nodes that each node imports.
pub(super) type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Returns the nodes that `from` reaches, each with the node before it on a shortest way. `from`
/// itself is among them if a way leads back to it.
pub(super) fn reach<'a>(from: &'a str, graph: &Graph<'a>) -> BTreeMap<&'a str, &'a str> {
    let mut before = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(node) = next.pop_front() {
        for &below in graph.get(node).into_iter().flatten() {
            before.entry(below).or_insert_with(|| {
                next.push_back(below);
                node
            });
        }
    }
    before
}
