//! `deny.toml` repeats the law of imports, and must be consistent with it.
//!
//! cargo-deny does not distinguish kinds of dependencies. So a package that may import another for
//! its tests alone is listed there as a wrapper.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::table::{CONFINED, ROWS, TESTKIT};

/// The packages of ours that may import each package that is confined.
type Importers<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Returns every difference.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(root.join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
    compare(&law(), &text)
}

/// Content of the tables.
fn law() -> Importers<'static> {
    let mut importers = Importers::new();
    for law in CONFINED {
        importers.entry(law.dependency).or_default().extend(law.only_in.iter().chain(law.dev_only_in));
    }
    for row in ROWS {
        // `deny.toml` cannot state that the testkit is for tests alone.
        for dependency in row.may_import.iter().filter(|&&dependency| dependency != TESTKIT) {
            importers.entry(dependency).or_default().insert(row.package);
        }
    }
    importers
}

/// Compares the law with the text of `deny.toml`.
fn compare(law: &Importers<'_>, text: &str) -> Result<Vec<String>, String> {
    let file: toml::Table = text.parse().map_err(|error| format!("deny.toml: {error}"))?;
    let bans = file.get("bans").and_then(|bans| bans.get("deny")).and_then(toml::Value::as_array);
    let bans = bans.map(Vec::as_slice).unwrap_or_default();
    let mut said = Importers::new();
    for ban in bans {
        let name = ban.get("crate").and_then(toml::Value::as_str);
        let name = name.ok_or_else(|| format!("deny.toml: an entry of `bans.deny` names no crate: {ban:?}"))?;
        let wrappers = ban.get("wrappers").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        said.entry(name).or_default().extend(wrappers.iter().filter_map(toml::Value::as_str));
    }
    let is_ours = |name: &&str| ROWS.iter().any(|row| row.package == *name);
    let mut differences = Vec::new();
    for (dependency, importers) in law {
        // The wrappers that are not ours import it for reasons of their own.
        let wrappers = said.get(dependency).cloned().unwrap_or_default();
        let (ours, foreign): (BTreeSet<&str>, BTreeSet<&str>) = wrappers.into_iter().partition(is_ours);
        if ours != *importers {
            let names: Vec<String> = importers.union(&foreign).map(|name| format!("\"{name}\"")).collect();
            differences.push(format!(
                "deny.toml differs from the law; it should say {{ crate = \"{dependency}\", wrappers = [{}] }}",
                names.join(", ")
            ));
        }
    }
    let unlawful = said.iter().filter(|(name, wrappers)| !law.contains_key(*name) && wrappers.iter().any(is_ours));
    differences.extend(
        unlawful.map(|(name, _)| format!("deny.toml confines `{name}`, of which xtask/src/law/table.rs says nothing")),
    );
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{Importers, check, compare};

    fn law() -> Importers<'static> {
        Importers::from([("axum", BTreeSet::from(["tidegate-api", "tidegate-node"]))])
    }

    #[track_caller]
    fn assert_differences(text: &str, expected: &[&str]) {
        assert_eq!(compare(&law(), text).unwrap(), expected, "{text}");
    }

    #[test]
    fn the_file_says_what_the_law_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(root), Ok(Vec::new()));
    }

    #[test]
    fn the_same_in_another_order_passes() {
        let text = r#"bans.deny = [{ crate = "axum", wrappers = ["tidegate-node", "tidegate-api"] }]"#;
        assert_differences(text, &[]);
    }

    #[test]
    fn too_few_and_too_many_wrappers_differ() {
        let expected = "deny.toml differs from the law; it should say \
                        { crate = \"axum\", wrappers = [\"tidegate-api\", \"tidegate-node\"] }";
        for text in [
            "",
            r#"bans.deny = [{ crate = "axum" }]"#,
            r#"bans.deny = [{ crate = "axum", wrappers = ["tidegate-api"] }]"#,
            r#"bans.deny = [{ crate = "axum", wrappers = ["tidegate-api", "tidegate-node", "tidegate-cli"] }]"#,
        ] {
            assert_differences(text, &[expected]);
        }
    }

    #[test]
    fn packages_that_are_not_ours_may_be_wrappers() {
        let text = r#"bans.deny = [{ crate = "axum", wrappers = ["tidegate-api", "tidegate-node", "tonic"] }]"#;
        assert_differences(text, &[]);
        let text = r#"bans.deny = [{ crate = "axum", wrappers = ["tidegate-api", "tonic"] }]"#;
        let expected = "deny.toml differs from the law; it should say \
                        { crate = \"axum\", wrappers = [\"tidegate-api\", \"tidegate-node\", \"tonic\"] }";
        assert_differences(text, &[expected]);
    }

    #[test]
    fn a_ban_without_a_law_differs() {
        let axum = r#"{ crate = "axum", wrappers = ["tidegate-api", "tidegate-node"] }"#;
        let text = format!(r#"bans.deny = [{axum}, {{ crate = "redis", wrappers = ["tidegate-benches"] }}]"#);
        assert_differences(&text, &["deny.toml confines `redis`, of which xtask/src/law/table.rs says nothing"]);
        let text = format!(r#"bans.deny = [{axum}, {{ crate = "redis", wrappers = ["apalis-redis"] }}]"#);
        assert_differences(&text, &[]);
    }

    #[test]
    fn an_entry_without_a_crate_is_an_error() {
        assert!(compare(&law(), r#"bans.deny = [{ wrappers = ["tidegate-api"] }]"#).is_err());
    }
}
