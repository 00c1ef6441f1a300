//! Files that import one another in a cycle.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Import;
use super::rule::{Excess, MAX_CYCLE, Rule};
use crate::law::graph::{Graph, reach};

/// How many imports a message names.
const NAMED: usize = 40;

/// Counts the modules of a crate that are in too long cycles.
pub(super) fn judge(place: &str, imports: &[Import]) -> Option<Excess> {
    let long: Vec<BTreeSet<&str>> = cycles(imports).into_iter().filter(|members| members.len() > MAX_CYCLE).collect();
    let number = long.iter().map(BTreeSet::len).sum();
    (number > 0).then(|| {
        let described: Vec<String> = long.iter().map(|members| describe(members, imports)).collect();
        let advice = format!(
            "let the lower of two take what it needs as an argument, or move what both name below them: {}",
            described.join("; ")
        );
        Excess { rule: Rule::Cycle, place: place.to_owned(), number, advice }
    })
}

/// The imports between the members of a cycle, each once.
fn describe(members: &BTreeSet<&str>, imports: &[Import]) -> String {
    let within = |import: &&Import| members.contains(import.from.as_str()) && members.contains(import.to.as_str());
    let mut seen = BTreeSet::new();
    let mut lines: Vec<String> = imports
        .iter()
        .filter(within)
        .filter(|import| seen.insert((&import.from, &import.to)))
        .map(|import| format!("\n    {}:{} imports {}", import.from, import.line, import.to))
        .collect();
    lines.sort();
    let more = lines.len().saturating_sub(NAMED);
    lines.truncate(NAMED);
    let more = if more > 0 { format!("\n    and {more} more imports between these") } else { String::new() };
    format!("{} modules{}{more}", members.len(), lines.concat())
}

/// Sets of files of which each reaches each other by imports.
fn cycles(imports: &[Import]) -> Vec<BTreeSet<&str>> {
    let mut graph = Graph::new();
    for import in imports {
        graph.entry(&import.from).or_default().insert(&import.to);
    }
    let reached: BTreeMap<&str, _> = graph.keys().map(|file| (*file, reach(file, &graph))).collect();
    let mut placed = BTreeSet::new();
    let mut found = Vec::new();
    for (file, reaches) in &reached {
        let back = |other: &&&str| reached.get(**other).is_some_and(|reaches| reaches.contains_key(file));
        let members: BTreeSet<&str> = reaches.keys().filter(back).copied().collect();
        if !members.is_empty() && placed.insert(members.clone()) {
            found.push(members);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::law::structure::imports::Import;

    fn imports(pairs: &[(&str, &str)]) -> Vec<Import> {
        let import = |(from, to): &(&str, &str)| Import { from: (*from).into(), line: 1, to: (*to).into() };
        pairs.iter().map(import).collect()
    }

    #[test]
    fn four_in_a_cycle_are_too_many() {
        let three = imports(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "a")]);
        assert_eq!(judge("crates/x", &three), None);
        let four = imports(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("e", "a"), ("d", "f")]);
        let excess = judge("crates/x", &four).unwrap();
        assert_eq!((excess.place.as_str(), excess.number), ("crates/x", 4));
        for line in ["4 modules", "a:1 imports b", "b:1 imports c", "c:1 imports d", "d:1 imports a"] {
            assert!(excess.advice.contains(line), "{}", excess.advice);
        }
        assert!(!excess.advice.contains("imports f"), "{}", excess.advice);
    }

    #[test]
    fn several_cycles_add_up() {
        let one = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")];
        let other = [("p", "q"), ("q", "p"), ("q", "r"), ("r", "s"), ("s", "t"), ("t", "p")];
        let short = [("x", "y"), ("y", "x"), ("a", "p"), ("d", "x")];
        let excess = judge("crates/x", &imports(&[&one[..], &other, &short].concat())).unwrap();
        assert_eq!(excess.number, 9);
        assert!(excess.advice.contains("5 modules"), "{}", excess.advice);
    }

    #[test]
    fn no_cycle_is_none() {
        assert_eq!(judge("crates/x", &imports(&[("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("b", "d")])), None);
    }
}
