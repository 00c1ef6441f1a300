//! References to other modules in one module's text.

use std::collections::HashSet;

/// A module, in a file of its own or inline.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// Names of the inline modules that lead from the file to it.
    pub(super) inside: Vec<String>,
    /// Modules that have a file of their own.
    pub(super) declarations: Vec<Declaration>,
    pub(super) uses: Vec<Use>,
    /// Paths elsewhere than in `use`.
    pub(super) mentions: Vec<Mention>,
    /// Names of its items.
    pub(super) defined: HashSet<String>,
    /// All words elsewhere than in `use`.
    pub(super) words: HashSet<String>,
}

/// `mod name;`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) name: String,
    /// Value of the attribute `path`.
    pub(super) path: Option<String>,
}

/// One name of a `use`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) path: Vec<String>,
    /// The name that it binds; `None` for `*` and `_`.
    pub(super) name: Option<String>,
    /// Whether it is a `*`.
    pub(super) glob: bool,
    /// Whether others may see the name.
    pub(super) public: bool,
    pub(super) line: usize,
}

/// A path of at least two segments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}
