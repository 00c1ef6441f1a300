//! The modules of a crate, followed from its roots through `mod`.

use std::collections::HashMap;

use super::scan;
use super::scope::Scope;

/// Modules of a crate, without those of its tests.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) modules: Vec<Module>,
    /// Position of the module under each path; the first, where a `cfg` chooses.
    pub(super) by_path: HashMap<Vec<String>, usize>,
    /// Lines of their files that are no tests.
    pub(super) source_lines: usize,
}

/// A module, in a file of its own or inline.
#[derive(Debug)]
pub(super) struct Module {
    /// Names from the root to it.
    pub(super) path: Vec<String>,
    pub(super) file: String,
    pub(super) scope: Scope,
}

/// Reads the modules of `roots`.
///
/// Each root has paths of its own. Their first name is the root's file.
pub(super) fn read(roots: &[String], files: &[(String, String)]) -> Result<Tree, String> {
    let texts: HashMap<&str, &str> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut tree = Tree::default();
    // Beside each file the directory in which its children are.
    let mut unread: Vec<_> =
        roots.iter().map(|root| (vec![root.clone()], root.clone(), parent(root).to_owned())).collect();
    while let Some((path, file, directory)) = unread.pop() {
        let text = texts.get(file.as_str()).ok_or_else(|| format!("{file} is declared, but not there"))?;
        let scanned = scan::scan(text).map_err(|error| format!("{file}: {error}"))?;
        tree.source_lines += text.lines().count() - scanned.test_lines;
        for scope in scanned.scopes {
            let path = [path.as_slice(), &scope.inside].concat();
            for declaration in &scope.declarations {
                let below = [vec![directory.clone()], scope.inside.clone(), vec![declaration.name.clone()]].concat();
                let below = below.join("/");
                let (flat, folder) = (format!("{below}.rs"), format!("{below}/mod.rs"));
                let child = match &declaration.path {
                    Some(named) => format!("{}/{named}", parent(&file)),
                    None if texts.contains_key(flat.as_str()) => flat,
                    None => folder,
                };
                unread.push(([path.as_slice(), std::slice::from_ref(&declaration.name)].concat(), child, below));
            }
            tree.by_path.entry(path.clone()).or_insert(tree.modules.len());
            tree.modules.push(Module { path, file: file.clone(), scope });
        }
    }
    Ok(tree)
}

fn parent(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[cfg(test)]
mod tests {
    use super::read;

    fn files(texts: &[(&str, &str)]) -> Vec<(String, String)> {
        texts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn declarations_lead_to_files() {
        let files = files(&[
            ("src/lib.rs", "mod a;\nmod b;\nmod inline { mod d; }\n#[path = \"elsewhere.rs\"]\nmod e;\n"),
            ("src/a.rs", "mod c;\n"),
            ("src/a/c.rs", "\n"),
            ("src/b/mod.rs", "\n"),
            ("src/inline/d.rs", "\n"),
            ("src/elsewhere.rs", "\n"),
            ("src/unused.rs", "\n"),
        ]);
        let tree = read(&["src/lib.rs".into()], &files).unwrap();
        let mut found: Vec<String> =
            tree.modules.iter().map(|module| format!("{} {}", module.path[1..].join("::"), module.file)).collect();
        found.sort();
        assert_eq!(
            found,
            [
                " src/lib.rs",
                "a src/a.rs",
                "a::c src/a/c.rs",
                "b src/b/mod.rs",
                "e src/elsewhere.rs",
                "inline src/lib.rs",
                "inline::d src/inline/d.rs"
            ]
        );
        assert_eq!(tree.source_lines, 10);
    }

    #[test]
    fn modules_of_tests_are_left_out() {
        let files = files(&[
            ("src/lib.rs", "mod a;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more {\n    mod x;\n}\n"),
            ("src/a.rs", "\n\n"),
        ]);
        let tree = read(&["src/lib.rs".into()], &files).unwrap();
        assert_eq!(tree.modules.len(), 2);
        assert_eq!(tree.source_lines, 3);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let failure = read(&["src/lib.rs".into()], &files(&[("src/lib.rs", "mod a;")])).unwrap_err();
        assert_eq!(failure, "src/a/mod.rs is declared, but not there");
    }
}
