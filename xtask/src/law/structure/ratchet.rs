//! Compares found breaches with known ones: a number may only shrink.

use super::known::Known;
use super::rule::{Excess, MAX_COMMENT, MAX_CYCLE, Rule};

const TABLE: &str = "xtask/src/law/structure/known.rs";

/// Returns new and grown breaches, and the rows that must be lowered or dropped.
pub(super) fn compare(known: &[Known], found: &[Excess]) -> Vec<String> {
    let same = |row: &Known, excess: &Excess| row.rule == excess.rule && row.place == excess.place;
    let mut breaches = Vec::new();
    for excess in found {
        let Excess { rule, place, number, advice } = excess;
        let what = rule.what();
        match known.iter().find(|row| same(row, excess)).map(|row| row.number) {
            None => breaches.push(format!("{place}: {number} {what}; {advice}")),
            Some(before) if *number > before => {
                breaches.push(format!("{place}: {number} {what}, and {before} before; {advice}"));
            }
            Some(before) if *number < before => breaches.push(format!(
                "{place}: {number} {what}, fewer than the {before} of {TABLE}: lower that row to {number}"
            )),
            Some(_) => {}
        }
    }
    let unneeded = known.iter().filter(|row| !found.iter().any(|excess| same(row, excess)));
    breaches.extend(unneeded.map(|row| {
        format!("{}: no breach any more where {TABLE} has {} {}: drop that row", row.place, row.number, row.rule.what())
    }));
    breaches
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

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::law::structure::known::Known;
    use crate::law::structure::rule::{Excess, Rule};

    const ROW: Known = Known { place: "crates/a", rule: Rule::CommentWidth, number: 7 };

    fn found(number: usize) -> Excess {
        Excess { rule: Rule::CommentWidth, place: "crates/a".into(), number, advice: "wrap them".into() }
    }

    #[test]
    fn what_is_known_passes() {
        assert_eq!(compare(&[ROW], &[found(7)]), Vec::<String>::new());
    }

    #[test]
    fn what_is_new_or_grows_fails() {
        let expected = "crates/a: 7 comment lines wider than 100 columns; wrap them";
        assert_eq!(compare(&[], &[found(7)]), [expected]);
        let expected = "crates/a: 8 comment lines wider than 100 columns, and 7 before; wrap them";
        assert_eq!(compare(&[ROW], &[found(8)]), [expected]);
    }

    #[test]
    fn what_shrinks_lowers_its_row() {
        let expected = "crates/a: 6 comment lines wider than 100 columns, fewer than the 7 of \
                        xtask/src/law/structure/known.rs: lower that row to 6";
        assert_eq!(compare(&[ROW], &[found(6)]), [expected]);
        let expected = "crates/a: no breach any more where xtask/src/law/structure/known.rs has 7 comment lines \
                        wider than 100 columns: drop that row";
        assert_eq!(compare(&[ROW], &[]), [expected]);
    }

    #[test]
    fn a_row_is_for_its_rule_and_place_alone() {
        for row in [Known { place: "crates/b", ..ROW }, Known { rule: Rule::Cycle, ..ROW }] {
            let breaches = compare(&[row], &[found(7)]);
            assert_eq!(breaches.len(), 2, "{breaches:?}");
        }
    }
}
