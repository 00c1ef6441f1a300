//! The law of words: what readers look up, or have to read twice, in comments and in Markdown.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::rust_files;
use super::structure::MAX_COMMENT;
use crate::links;

const SOURCES: [&str; 5] = ["benches", "bins", "crates", "examples", "xtask"];
/// It quotes the words.
const EXEMPT: &str = "xtask/src/law/prose.rs";

/// First words of a `///` that leave out the subject.
const OPENERS: [&str; 16] = [
    "Of",
    "None of",
    "Those",
    "Them",
    "What",
    "Who",
    "Whom",
    "Whose",
    "Whoever",
    "Where",
    "By whom",
    "From whom",
    "So many",
    "As many",
    "How it is",
    "That it",
];

const PEOPLE: &str = "name the client, caller, operator or process";
const REPORT: &str = "write report, return or announce";

/// Words in lower case, and what to write instead.
const WORDS: [(&str, &str); 27] = [
    ("anybody", PEOPLE),
    ("anyone who", PEOPLE),
    ("everybody", PEOPLE),
    ("no one", PEOPLE),
    ("nobody", PEOPLE),
    ("somebody", PEOPLE),
    ("whoever", PEOPLE),
    ("whomever", PEOPLE),
    ("stranger", "write unauthenticated client"),
    ("strangers", "write unauthenticated clients"),
    ("asker", "write caller"),
    ("tell", REPORT),
    ("telling", REPORT),
    ("tells", REPORT),
    ("told", REPORT),
    ("teach", "write register"),
    ("teaches", "write register"),
    ("hang up", "write register, or close"),
    ("dear", "write expensive"),
    ("dearer", "write more expensive"),
    ("farewell", "write graceful shutdown"),
    ("in hands", "write in progress"),
    ("by chance", "write randomly"),
    ("seldom", "write rarely"),
    ("lest", "write so that ... not"),
    ("thereby", "start a new sentence"),
    ("thereof", "write of it"),
];

/// Returns every breach.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut paths: Vec<PathBuf> = links::documents(root).map_err(|error| error.to_string())?;
    // Old entries stay as they were published.
    paths.retain(|path| !path.ends_with("CHANGELOG.md"));
    for directory in SOURCES {
        paths.extend(rust_files(&root.join(directory)).map_err(|error| format!("{directory}: {error}"))?);
    }
    let mut breaches = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if name != EXEMPT {
            breaches.extend(judge(&name, &text));
        }
    }
    Ok(breaches)
}

fn judge(path: &str, text: &str) -> Vec<String> {
    let lines = if path.ends_with(".rs") { comments(text) } else { paragraphs(text) };
    let mut breaches = Vec::new();
    for Line { number, text, is_first, is_wide } in lines {
        let prose = without_code(text);
        let mut breach = |says: String| breaches.push(format!("{path}:{number}: {says}"));
        if let Some(opener) = OPENERS.iter().find(|opener| is_first && begins(&prose, opener)) {
            breach(format!("begins with `{opener}`: put the subject first"));
        }
        if is_wide {
            breach(format!("is wider than {MAX_COMMENT} columns: wrap it"));
        }
        let words = format!(" {} ", words(&prose));
        for (word, instead) in WORDS.iter().filter(|(word, _)| words.contains(&format!(" {word} "))) {
            breach(format!("has `{word}`: {instead}"));
        }
    }
    breaches
}

/// A line of prose.
struct Line<'a> {
    number: usize,
    text: &'a str,
    /// Whether it is the first line of a `///`.
    is_first: bool,
    is_wide: bool,
}

/// The comments that have a line of their own, without the examples in them. Their width is a rule
/// of the structure law.
fn comments(text: &str) -> Vec<Line<'_>> {
    let (mut lines, mut is_code, mut was_comment) = (Vec::new(), false, false);
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            (is_code, was_comment) = (false, false);
            continue;
        };
        let text = comment.trim_start_matches(['/', '!']).trim();
        let is_first = comment.starts_with('/') && !was_comment;
        was_comment = true;
        if text.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push(Line { number: index + 1, text, is_first, is_wide: false });
        }
    }
    lines
}

/// The lines of a Markdown file outside of code. Rows of tables and links may be wide.
fn paragraphs(text: &str) -> Vec<Line<'_>> {
    let (mut lines, mut is_code) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let is_free = line.starts_with('|') || line.contains("http://") || line.contains("https://");
            let is_wide = !is_free && line.chars().count() > MAX_COMMENT;
            lines.push(Line { number: index + 1, text: line, is_first: false, is_wide });
        }
    }
    lines
}

/// Removes what is in backticks.
fn without_code(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

fn begins(prose: &str, opener: &str) -> bool {
    let rest = prose.trim_start().strip_prefix(opener);
    rest.is_some_and(|rest| !rest.starts_with(|character: char| character.is_alphanumeric()))
}

/// All words in lower case, with one space between two.
fn words(prose: &str) -> String {
    let words = prose.split(|character: char| !character.is_alphanumeric() && character != '\'');
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn a_word_is_found_in_every_kind_of_comment_and_in_markdown() {
        for (path, text) in [
            ("a.rs", "//! Nobody waits.\n"),
            ("a.rs", "/// It is for nobody.\nfn f() {}\n"),
            ("a.rs", "fn f() {\n    // For nobody,\n}\n"),
            ("a.md", "- nobody\n"),
            ("a.md", "| a | Nobody. |\n"),
        ] {
            let found = judge(path, text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].ends_with("has `nobody`: name the client, caller, operator or process"), "{found:?}");
        }
        assert_eq!(judge("a.md", "\nThis happens by\nchance, or by chance.\n").len(), 1, "of one line");
    }

    #[test]
    fn code_is_no_prose() {
        for (path, text) in [
            ("a.rs", "let nobody = \"nobody\";\n"),
            ("a.rs", "/// The user `nobody`.\nfn f() {}\n"),
            ("a.rs", "/// ```\n/// let nobody = 1; // nobody\n/// ```\nfn f() {}\n"),
            ("a.md", "```sh\nnobody\n```\n"),
            ("a.md", "Nobodies retell what untold hung up.\n"),
        ] {
            assert_eq!(judge(path, text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(judge("a.rs", "/// ```\n/// a\n/// ```\n/// nobody\nfn f() {}\n").len(), 1);
    }

    #[test]
    fn a_documentation_comment_begins_with_its_subject() {
        let found = judge("a.rs", "/// Whose turn it is.\nfn f() {}\n");
        assert_eq!(found, ["a.rs:1: begins with `Whose`: put the subject first"]);
        for text in ["/// Turns,\n/// Whose end is near.\nfn f() {}\n", "// Of two.\n", "/// Offers one.\nfn f() {}\n"]
        {
            assert_eq!(judge("a.rs", text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn markdown_has_a_hundred_columns_but_for_tables_and_links() {
        let wide = "é".repeat(101);
        assert_eq!(judge("a.md", &format!("{wide}\n")), ["a.md:1: is wider than 100 columns: wrap it"]);
        for text in [format!("| {wide} |\n"), format!("https://example.org/{wide}\n"), format!("```\n{wide}\n```\n")] {
            assert_eq!(judge("a.md", &text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(judge("a.md", &format!("{}\n", "é".repeat(100))), Vec::<String>::new());
    }
}
