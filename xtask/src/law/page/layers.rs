//! The tables of the API's layers.

use std::collections::BTreeSet;

use super::stack::{self, Common, Single};
use super::text::{PAGE, Row, listed, table};

/// Puts the layers around all routes.
const ROUTES: &str = "bins/api/src/routes.rs";
/// Puts layers around the routes of an operation.
const OPERATIONS: &str = "bins/api/src/openapi/routes.rs";
/// Puts layers around the pages.
const PAGES: &str = "bins/api/src/pages.rs";

/// Compares the page with the code, which `read` returns by its path.
pub(super) fn check(page: &str, read: impl Fn(&str) -> Result<String, String>) -> Result<Vec<String>, String> {
    let of = |path: &'static str| move |error: String| format!("{path}: {error}");
    let common = stack::common(&read(ROUTES)?).map_err(of(ROUTES))?;
    let mut single = stack::single(&read(OPERATIONS)?).map_err(of(OPERATIONS))?;
    let pages = stack::pages(&read(PAGES)?, "pages").map_err(of(PAGES))?;
    single.insert(BTreeSet::from(["pages".to_owned()]), pages);
    let mut differences = compare_common(&common, &table(page, "Layers around every route")?);
    differences.extend(compare_single(&single, &table(page, "Layers around single routes")?));
    Ok(differences)
}

/// One row for each layer, from the outermost: its name, and whether it is around the probes too.
fn compare_common(common: &Common, page: &[Row<'_>]) -> Vec<String> {
    let name = |row: &Row<'_>| row.names(1).first().map(|name| (*name).to_owned());
    let order: Vec<String> = page.iter().filter_map(name).collect();
    let of_probes = page.iter().filter(|row| row.cells.get(2) == Some(&"yes"));
    let of_probes: Vec<String> = of_probes.filter_map(name).collect();
    let mut differences = Vec::new();
    let expected = [common.of_all.as_slice(), &common.within].concat();
    if order != expected {
        differences.push(format!(
            "{PAGE} has to list the layers in the order in which {ROUTES} has them: {}",
            listed(expected.iter().map(String::as_str))
        ));
    } else if of_probes != common.of_all {
        differences.push(format!(
            "{PAGE} has to say `yes` for the probes of these layers alone: {}",
            listed(common.of_all.iter().map(String::as_str))
        ));
    }
    differences
}

/// One row for audiences and conditions, and their layers from the outermost.
fn compare_single(single: &Single, page: &[Row<'_>]) -> Vec<String> {
    let said: Single = page
        .iter()
        .map(|row| {
            let of = |cell| row.names(cell).into_iter().map(str::to_owned);
            (of(0).collect(), of(1).collect())
        })
        .collect();
    let mut differences = Vec::new();
    // Audiences with the same layers may share a row.
    let all = |audiences: &Single| -> Vec<(String, Vec<String>)> {
        let mut pairs = Vec::new();
        for (names, layers) in audiences {
            let is_condition = |name: &&String| *name == "is_unhurried";
            let suffix = if names.iter().any(|name| is_condition(&name)) { " if `is_unhurried`" } else { "" };
            for name in names.iter().filter(|name| !is_condition(name)) {
                pairs.push((format!("`{name}`{suffix}"), layers.clone()));
            }
        }
        pairs.sort();
        pairs
    };
    let (expected, said) = (all(single), all(&said));
    for (routes, layers) in expected.iter().filter(|pair| !said.contains(pair)) {
        let layers = listed(layers.iter().map(String::as_str));
        differences.push(format!("{PAGE} has to say that the layers of {routes} are, from the outermost: {layers}"));
    }
    let unknown = said.iter().filter(|pair| !expected.contains(pair));
    differences.extend(unknown.map(|(routes, layers)| {
        let layers = listed(layers.iter().map(String::as_str));
        format!("{PAGE} says that the layers of {routes} are {layers}, which they are not")
    }));
    differences
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{compare_common, compare_single};
    use crate::law::page::stack;
    use crate::law::page::text::Row;

    fn rows<const N: usize>(rows: &[[&'static str; N]]) -> Vec<Row<'static>> {
        rows.iter().map(|cells| Row { cells: cells.to_vec() }).collect()
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_order_of_the_page_is_that_of_the_stack() {
        let stack = stack::Common { of_all: owned(&["wire", "panics"]), within: owned(&["client", "shed"]) };
        let page = [
            ["1", "`wire`", "yes", "Headers"],
            ["2", "`panics`", "yes", "500"],
            ["3", "`client`, by `x`", "", "Address"],
            ["4", "`shed`", "", "503"],
        ];
        assert_eq!(compare_common(&stack, &rows(&page)), Vec::<String>::new());
        let expected = "docs/architecture.md has to list the layers in the order in which bins/api/src/routes.rs has \
                        them: `wire`, `panics`, `client`, `shed`";
        for (one, other) in [(0, 1), (1, 2), (2, 3)] {
            let mut page = page;
            page.swap(one, other);
            assert_eq!(compare_common(&stack, &rows(&page)), [expected], "{one}");
        }
        assert_eq!(compare_common(&stack, &rows(&page[..3])), [expected]);
        let mut wrong = page;
        wrong[1][2] = "";
        let expected = "docs/architecture.md has to say `yes` for the probes of these layers alone: `wire`, `panics`";
        assert_eq!(compare_common(&stack, &rows(&wrong)), [expected]);
    }

    #[test]
    fn each_audience_has_its_layers_on_the_page() {
        let single = [
            (&["Public"][..], &["timeout"][..]),
            (&["Tenant"], &["caller", "timeout"]),
            (&["Tenant", "is_unhurried"], &["caller"]),
            (&["Reader"], &["timeout", "access"]),
            (&["Admin"], &["timeout", "access"]),
        ];
        let single = single.map(|(names, layers)| (owned(names).into_iter().collect::<BTreeSet<_>>(), owned(layers)));
        let single = single.into_iter().collect();
        let page = [
            ["`Public`", "`timeout`"],
            ["`Reader`, `Admin`", "`timeout`, then `access`"],
            ["`Tenant`", "`caller`, `timeout`"],
            ["`Tenant`, where it `is_unhurried`", "`caller`"],
        ];
        assert_eq!(compare_single(&single, &rows(&page)), Vec::<String>::new());
        let mut swapped = page;
        swapped[2][1] = "`timeout`, `caller`";
        assert_eq!(
            compare_single(&single, &rows(&swapped)),
            [
                "docs/architecture.md has to say that the layers of `Tenant` are, from the outermost: `caller`, `timeout`",
                "docs/architecture.md says that the layers of `Tenant` are `timeout`, `caller`, which they are not"
            ]
        );
        assert_eq!(compare_single(&single, &rows(&page[..3])).len(), 1);
    }
}
