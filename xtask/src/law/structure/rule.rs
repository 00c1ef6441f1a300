//! The rules, their limits, and excesses over them.

use std::fmt;

/// A measure of the law, with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Modules of a crate in import cycles of more than [`MAX_CYCLE`] modules.
    Cycle,
    /// Thousands of lines of non-test source of a crate.
    CrateLines,
    /// Lines of a file that states no reason for its length.
    FileLines,
    /// Comment lines of a crate wider than [`MAX_COMMENT`] columns.
    CommentWidth,
}

/// Most modules that may import one another in a cycle.
pub(super) const MAX_CYCLE: usize = 3;

/// Most lines of non-test source of a crate, in thousands.
pub(super) const MAX_CRATE_THOUSANDS: usize = 15;

/// Most lines of a file without a stated reason.
pub(super) const MAX_FILE: usize = 400;

/// Most columns of a comment.
pub(in crate::law) const MAX_COMMENT: usize = 100;

/// A number beyond its rule's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) rule: Rule,
    /// Package directory or file, relative to the workspace.
    pub(super) place: String,
    pub(super) number: usize,
    /// Exact location and advice.
    pub(super) advice: String,
}

impl Rule {
    /// Describes what the number counts.
    fn what(self) -> String {
        match self {
            Self::Cycle => format!("modules in import cycles of more than {MAX_CYCLE}"),
            Self::CrateLines => "thousand lines of non-test source".to_owned(),
            Self::FileLines => "lines without a stated reason".to_owned(),
            Self::CommentWidth => format!("comment lines wider than {MAX_COMMENT} columns"),
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}; {}", self.place, self.number, self.rule.what(), self.advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excess_says_where_how_much_and_what_to_do() {
        let excess =
            Excess { rule: Rule::CommentWidth, place: "crates/a".into(), number: 7, advice: "wrap them".into() };
        assert_eq!(excess.to_string(), "crates/a: 7 comment lines wider than 100 columns; wrap them");
    }
}
