//! Files that are too long to read in one go.

use super::rule::{Excess, MAX_FILE, Rule};

/// How a file states why it is long.
const REASON: &str = "// Long: ";

/// Judges one file by its lines, tests included.
pub(super) fn judge(path: &str, text: &str) -> Option<Excess> {
    let number = text.lines().count();
    (number > MAX_FILE && !states_reason(text)).then(|| Excess {
        rule: Rule::FileLines,
        place: path.to_owned(),
        number,
        advice: format!("move an idea into a file of its own, or state why not in a line `{REASON}…`"),
    })
}

fn states_reason(text: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(REASON).is_some_and(|reason| !reason.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::law::structure::rule::Rule;

    fn lines(number: usize) -> String {
        "fn f() {}\n".repeat(number)
    }

    #[test]
    fn a_file_may_have_four_hundred_lines() {
        assert_eq!(judge("a.rs", &lines(400)), None);
        let excess = judge("crates/a/src/a.rs", &lines(401)).unwrap();
        assert_eq!((excess.rule, excess.place.as_str(), excess.number), (Rule::FileLines, "crates/a/src/a.rs", 401));
        assert!(excess.advice.contains("`// Long: …`"), "{}", excess.advice);
    }

    #[test]
    fn a_stated_reason_permits_more() {
        assert_eq!(judge("a.rs", &format!("//! A table.\n// Long: one row a setting.\n{}", lines(500))), None);
        assert!(judge("a.rs", &format!("//! A table.\n// Long: \n{}", lines(500))).is_some(), "no reason");
        assert!(judge("a.rs", &format!("let text = \"// Long: no comment\";\n{}", lines(500))).is_some());
    }
}
