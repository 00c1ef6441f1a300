//! The table of foreign packages that only some of ours may import.

use std::collections::BTreeSet;

use super::text::{PAGE, Row, listed, short};
use crate::law::table::{Confined, ConfinedName};

/// Compares the laws with the rows of the page.
///
/// The cells are: the library, the packages that import it, those that have it as a dev-dependency,
/// and the files if not all of a package may name it.
pub(super) fn compare(laws: &[Confined], files: &[ConfinedName], page: &[Row<'_>]) -> Vec<String> {
    let mut differences = Vec::new();
    for law in laws {
        let always: BTreeSet<&str> = law.only_in.iter().map(|name| short(name)).collect();
        let for_tests: BTreeSet<&str> = law.dev_only_in.iter().map(|name| short(name)).collect();
        let named = files.iter().filter(|file| file.name == law.dependency);
        let paths: BTreeSet<String> =
            named.flat_map(|file| file.only_in.iter().map(|path| format!("{}/{path}", file.directory))).collect();
        let paths: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
        let expected = [always, for_tests, paths];
        let mut rows = page.iter().filter(|row| row.names(0).contains(&law.dependency));
        let said = rows.next().map(|row| [1, 2, 3].map(|cell| row.names(cell).into_iter().collect::<BTreeSet<_>>()));
        if said.as_ref() != Some(&expected) || rows.next().is_some() {
            let [always, for_tests, paths] = expected.map(listed);
            differences.push(format!(
                "{PAGE} has to say of `{}`: packages {always}; as a dev-dependency {for_tests}; files {paths}",
                law.dependency
            ));
        }
    }
    let names = page.iter().flat_map(|row| row.names(0));
    let unknown = names.filter(|name| !laws.iter().any(|law| law.dependency == *name));
    differences.extend(unknown.map(|name| format!("{PAGE} confines `{name}`, of which the law says nothing")));
    differences
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::law::page::text::Row;
    use crate::law::table::{Confined, ConfinedName};

    const LAWS: &[Confined] =
        &[Confined { dependency: "sqlx", only_in: &["tidegate-queue", "tidegate-store"], dev_only_in: &["xtask"] }];
    const FILES: &[ConfinedName] = &[
        ConfinedName { name: "sqlx", directory: "crates/queue/src", only_in: &["broker/sqlite"] },
        ConfinedName { name: "axum", directory: "crates/queue/src", only_in: &["handler"] },
    ];
    const RIGHT: [&str; 4] = ["`sqlx`", "`store`, `queue`", "`xtask`", "`crates/queue/src/broker/sqlite`"];

    fn differences(rows: &[[&'static str; 4]]) -> Vec<String> {
        let rows: Vec<Row<'_>> = rows.iter().map(|cells| Row { cells: cells.to_vec() }).collect();
        compare(LAWS, FILES, &rows)
    }

    #[test]
    fn what_the_law_says_passes() {
        assert_eq!(differences(&[RIGHT]), Vec::<String>::new());
    }

    #[test]
    fn each_cell_counts() {
        let expected = "docs/architecture.md has to say of `sqlx`: packages `queue`, `store`; as a dev-dependency \
                        `xtask`; files `crates/queue/src/broker/sqlite`";
        for (cell, text) in [(1, "`store`"), (2, ""), (3, "`crates/queue/src/broker`"), (0, "`maud`")] {
            let mut row = RIGHT;
            row[cell] = text;
            assert!(differences(&[row]).contains(&expected.to_owned()), "{row:?}");
        }
        assert_eq!(differences(&[RIGHT, RIGHT]), [expected]);
        assert_eq!(differences(&[]), [expected]);
    }

    #[test]
    fn a_row_without_a_law_differs() {
        let expected = "docs/architecture.md confines `maud`, of which the law says nothing";
        assert_eq!(differences(&[RIGHT, ["`maud`", "`api`", "", ""]]), [expected]);
    }
}
