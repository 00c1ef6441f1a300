//! Imports between files: paths, resolved to the file that defines their target.

use super::modules::{Module, Tree};
use super::scope::Use;

/// One file that names an item of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) from: String,
    pub(super) line: usize,
    pub(super) to: String,
}

/// Target of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// A module itself.
    Module(usize),
    /// An item of a module.
    Item(usize),
}

/// How far re-exports of re-exports are followed.
const DEPTH: usize = 16;

/// The imports of a crate.
pub(super) fn of(tree: &Tree) -> Vec<Import> {
    let mut found = Vec::new();
    for module in &tree.modules {
        let uses = module.scope.uses.iter();
        let uses = uses.filter_map(|used| tree.import(module, used).map(|at| (used.line, at)));
        let mentions = module.scope.mentions.iter();
        let mentions = mentions.filter_map(|mention| {
            let (Target::Module(at) | Target::Item(at)) = tree.resolve(&module.path, &mention.path, DEPTH)?;
            Some((mention.line, at))
        });
        for (line, at) in uses.chain(mentions) {
            let (from, to) = (module.file.clone(), tree.modules[at].file.clone());
            if from != to {
                found.push(Import { from, line, to });
            }
        }
    }
    found
}

impl Tree {
    /// The module that `used` makes `module` depend on.
    fn import(&self, module: &Module, used: &Use) -> Option<usize> {
        let target = self.resolve(&module.path, &used.path, DEPTH)?;
        let (Target::Module(at) | Target::Item(at)) = target;
        let words = &module.scope.words;
        let is_named = used.name.as_ref().is_some_and(|name| words.contains(name));
        // A parent does not use the names that it only passes on.
        if used.public && !is_named && self.modules[at].path.starts_with(&module.path) {
            return None;
        }
        // Paths that begin with the name of a module show which of its items are used.
        let leads_on = |name: &String| module.scope.mentions.iter().any(|mention| mention.path[0] == *name);
        if matches!(target, Target::Module(_)) && used.name.as_ref().is_some_and(leads_on) {
            return None;
        }
        Some(at)
    }

    /// Follows `path` from the module `from`; `None` if it leads out of the crate.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => self.by_path.get(&from[..1])?,
            "self" => self.by_path.get(from)?,
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let start = self.by_path.get(&from[..from.len().checked_sub(ups)?])?;
                return self.descend(*start, &path[ups..], depth);
            }
            name => match self.lookup(*self.by_path.get(from)?, name, depth)? {
                Target::Module(at) => return self.descend(at, rest, depth),
                item @ Target::Item(_) => return Some(item),
            },
        };
        self.descend(*start, rest, depth)
    }

    /// Follows `path` down from a module.
    fn descend(&self, at: usize, path: &[String], depth: usize) -> Option<Target> {
        let Some((name, rest)) = path.split_first() else { return Some(Target::Module(at)) };
        match self.lookup(at, name, depth) {
            Some(Target::Module(below)) => self.descend(below, rest, depth),
            Some(item) => Some(item),
            // A macro may have made it, or it comes from another crate.
            None => Some(Target::Item(at)),
        }
    }

    /// Resolves `name` in a module: a module below it, an item of its own, or a name that a `use`
    /// binds.
    fn lookup(&self, at: usize, name: &str, depth: usize) -> Option<Target> {
        let Module { path, scope, .. } = &self.modules[at];
        let below = [path.as_slice(), &[name.to_owned()]].concat();
        if let Some(below) = self.by_path.get(&below) {
            return Some(Target::Module(*below));
        }
        if scope.defined.contains(name) {
            return Some(Target::Item(at));
        }
        let depth = depth.checked_sub(1)?;
        let bound = scope.uses.iter().find(|used| used.name.as_deref() == Some(name) && used.path != [name]);
        if let Some(used) = bound {
            return self.resolve(path, &used.path, depth);
        }
        scope.uses.iter().filter(|used| used.glob).find_map(|used| match self.resolve(path, &used.path, depth)? {
            Target::Module(all) if all != at => self.lookup(all, name, depth),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
