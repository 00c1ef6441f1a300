//! The table of imports between our packages.

use std::collections::BTreeSet;

use super::text::{PAGE, Row, listed, short};
use crate::law::table;

/// Compares the law with the rows of the page, which may join packages that import the same.
pub(super) fn compare(law: &[table::Row], page: &[Row<'_>]) -> Vec<String> {
    let mut differences = Vec::new();
    for row in law {
        let package = short(row.package);
        let expected: BTreeSet<&str> = row.may_import.iter().map(|name| short(name)).collect();
        let said: Vec<BTreeSet<&str>> = page
            .iter()
            .filter(|row| row.names(0).contains(&package))
            .map(|row| row.names(1).into_iter().collect())
            .collect();
        if said != [expected.clone()] {
            let times = if said.len() > 1 { " once" } else { "" };
            differences.push(format!("{PAGE} has to say{times} that `{package}` imports {}", listed(expected)));
        }
    }
    let names = page.iter().flat_map(|row| row.names(0));
    let unknown = names.filter(|name| !law.iter().any(|row| short(row.package) == *name));
    differences.extend(unknown.map(|name| format!("{PAGE} says what `{name}` imports, which is not there")));
    differences
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::law::page::text::Row;
    use crate::law::table;

    const LAW: &[table::Row] = &[
        table::Row { package: "tidegate-a", may_import: &["tidegate-b", "tidegate-c"] },
        table::Row { package: "tidegate-b", may_import: &[] },
        table::Row { package: "tidegate-c", may_import: &[] },
    ];

    fn differences(rows: &[[&'static str; 2]]) -> Vec<String> {
        let rows: Vec<Row<'_>> = rows.iter().map(|cells| Row { cells: cells.to_vec() }).collect();
        compare(LAW, &rows)
    }

    #[test]
    fn the_same_in_another_order_passes() {
        assert_eq!(differences(&[["`a`", "`c`, `b`"], ["`c`, `b`", "nothing of ours"]]), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_or_too_much_differs() {
        let expected = "docs/architecture.md has to say that `a` imports `b`, `c`";
        let rest = ["`c`, `b`", "nothing"];
        assert_eq!(differences(&[["`a`", "`b`"], rest]), [expected]);
        assert_eq!(differences(&[["`a`", "`b`, `c`, `d`"], rest]), [expected]);
        assert_eq!(differences(&[rest]), [expected]);
        let expected = "docs/architecture.md has to say that `c` imports nothing";
        assert_eq!(differences(&[["`a`", "`b`, `c`"], ["`b`", "nothing"], ["`c`", "`b`"]]), [expected]);
    }

    #[test]
    fn what_is_said_twice_or_of_nothing_differs() {
        let rest = ["`c`, `b`", "nothing"];
        let twice = differences(&[["`a`", "`b`, `c`"], ["`a`", "`b`, `c`"], rest]);
        assert_eq!(twice, ["docs/architecture.md has to say once that `a` imports `b`, `c`"]);
        let unknown = differences(&[["`a`", "`b`, `c`"], ["`e`", "`b`"], rest]);
        assert_eq!(unknown, ["docs/architecture.md says what `e` imports, which is not there"]);
    }
}
