//! One crate, judged by every rule.

use super::rule::{Excess, MAX_CRATE_THOUSANDS, Rule};
use super::{comments, cycle, imports, length, modules};

/// A crate's Rust files.
pub(super) struct Sources {
    /// The package's directory.
    pub(super) place: String,
    /// Files at which the compiler starts to read its library and programs.
    pub(super) roots: Vec<String>,
    /// Paths and texts.
    pub(super) files: Vec<(String, String)>,
}

/// Returns the excesses over a limit.
pub(super) fn judge(sources: &Sources) -> Result<Vec<Excess>, String> {
    let tree = modules::read(&sources.roots, &sources.files)?;
    let mut found = Vec::new();
    found.extend(cycle::judge(&sources.place, &imports::of(&tree)));
    found.extend(crate_lines(&sources.place, tree.source_lines));
    for (path, text) in &sources.files {
        found.extend(length::judge(path, text));
    }
    found.extend(comments::judge(&sources.place, &sources.files)?);
    Ok(found)
}

/// Judges the lines of a crate's library and programs without their tests.
fn crate_lines(place: &str, lines: usize) -> Option<Excess> {
    let thousands = lines.div_ceil(1000);
    (thousands > MAX_CRATE_THOUSANDS).then(|| Excess {
        rule: Rule::CrateLines,
        place: place.to_owned(),
        number: thousands,
        advice: format!("{lines} lines of non-test source: move a part with an idea of its own into another crate"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Sources, crate_lines, judge};
    use crate::law::structure::rule::Rule;

    #[test]
    fn a_crate_may_have_fifteen_thousand_lines() {
        assert_eq!(crate_lines("crates/a", 15_000), None);
        let excess = crate_lines("crates/a", 15_001).unwrap();
        assert_eq!((excess.rule, excess.place.as_str(), excess.number), (Rule::CrateLines, "crates/a", 16));
        assert!(excess.advice.starts_with("15001 lines of non-test source: move a part"), "{}", excess.advice);
    }

    #[test]
    fn tests_are_no_source() {
        let code = "fn f() {}\n".repeat(15_000);
        let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
        let sources = |more: &str| Sources {
            place: "crates/a".into(),
            roots: vec!["crates/a/src/lib.rs".into()],
            files: vec![
                ("crates/a/src/lib.rs".into(), format!("// Long: a fixture.\n{code}{more}")),
                ("crates/a/tests/a.rs".into(), "fn f() {}\n".repeat(300)),
            ],
        };
        // With the line that states the reason, one more than a crate may have.
        let rules = |more: &str| judge(&sources(more)).unwrap().into_iter().map(|e| e.number).collect::<Vec<_>>();
        assert_eq!(rules(tests), [16]);
        let mut fewer = sources(tests);
        fewer.files[0].1 = fewer.files[0].1.replacen("fn f() {}\n", "", 1);
        assert_eq!(judge(&fewer).unwrap(), []);
    }
}
