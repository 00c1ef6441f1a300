//! Comments that are too wide.
//!
//! Text that is neither a token nor blank is a comment, so a `//` in a string does not count as
//! one.

use proc_macro2::{Span, TokenStream, TokenTree};

use super::rule::{Excess, MAX_COMMENT, Rule};
use super::scan;

/// Number of places that a message names.
const NAMED: usize = 10;

/// Counts the wide comments of a crate.
pub(super) fn judge(place: &str, files: &[(String, String)]) -> Result<Option<Excess>, String> {
    let mut places = Vec::new();
    for (path, text) in files {
        let lines = wide(text).map_err(|error| format!("{path}: {error}"))?;
        places.extend(lines.into_iter().map(|line| format!("{path}:{line}")));
    }
    let number = places.len();
    Ok((number > 0).then(|| {
        let more = if number > NAMED { ", … (`git diff` shows yours)" } else { "" };
        places.truncate(NAMED);
        let advice = format!("wrap them at {MAX_COMMENT} columns: {}{more}", places.join(", "));
        Excess { rule: Rule::CommentWidth, place: place.to_owned(), number, advice }
    }))
}

/// Lines of which a comment reaches beyond the limit. Links and rows of tables may.
fn wide(text: &str) -> Result<Vec<usize>, String> {
    let mut code = vec![0; text.lines().count() + 1];
    cover(&mut code, scan::tokens(text)?);
    let lines = text.lines().enumerate().filter(|(_, line)| line.chars().count() > MAX_COMMENT);
    let wide = lines.filter(|(index, line)| {
        let comment: String = line.chars().skip(code[*index]).collect();
        !comment.trim().is_empty() && !is_free(comment.trim())
    });
    Ok(wide.map(|(index, _)| index + 1).collect())
}

/// Whether a comment cannot be wrapped.
fn is_free(comment: &str) -> bool {
    let text = comment.trim_start_matches(['/', '!', '*', ' ']);
    let definition = text.starts_with('[') && text.contains("]: ");
    definition || text.starts_with('|') || text.contains("http://") || text.contains("https://")
}

/// Notes for each line the column at which its code ends.
fn cover(code: &mut [usize], tokens: TokenStream) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                // The brackets of a documentation comment have its span too.
                if !is_comment(group.span()) {
                    end(code, group.span_open());
                    end(code, group.span_close());
                }
                cover(code, group.stream());
            }
            token if is_comment(token.span()) => {}
            token => end(code, token.span()),
        }
    }
}

fn is_comment(span: Span) -> bool {
    span.source_text().is_some_and(|text| text.starts_with("//") || text.starts_with("/*"))
}

fn end(code: &mut [usize], span: Span) {
    let (first, last) = (span.start(), span.end());
    // A string over several lines leaves no room for a comment but on its last.
    for line in first.line..last.line {
        code[line - 1] = usize::MAX;
    }
    code[last.line - 1] = code[last.line - 1].max(last.column);
}

#[cfg(test)]
mod tests {
    use super::{judge, wide};

    fn words(columns: usize) -> String {
        "word ".repeat(columns / 5)
    }

    #[test]
    fn comments_of_every_kind_are_measured() {
        let long = words(110);
        for text in [
            format!("//! {long}\n"),
            format!("/// {long}\nfn f() {{}}\n"),
            format!("// {long}\n"),
            format!("fn f() {{}} // {long}\n"),
            format!("/* {long} */\n"),
            format!("/** {long} */\nfn f() {{}}\n"),
        ] {
            assert_eq!(wide(&text).unwrap(), [1], "{text}");
        }
        assert_eq!(wide(&format!("fn f() {{\n    /*\n    {long}\n    */\n}}\n")).unwrap(), [3]);
    }

    #[test]
    fn a_hundred_columns_are_not_too_wide() {
        assert_eq!(wide(&format!("// {}\n", "é".repeat(97))).unwrap(), Vec::<usize>::new());
        assert_eq!(wide(&format!("// {}\n", "é".repeat(98))).unwrap(), [1]);
    }

    #[test]
    fn code_links_and_tables_are_free() {
        let long = words(110);
        for text in [
            format!("const A: &str = \"// {long}\";\n"),
            format!("const A: &str = \"\n// {long}\n// {long}\n\";\n"),
            format!("const A: &str = r#\"\n// {long}\"#;\n"),
            format!("/// | {long} |\nfn f() {{}}\n"),
            format!("// See https://example.org/{long}\n"),
            format!("//! [`A`]: crate::{long}\n"),
        ] {
            assert_eq!(wide(&text).unwrap(), Vec::<usize>::new(), "{text}");
        }
    }

    #[test]
    fn a_message_names_the_first_ten() {
        let text = format!("// {}\n", words(110)).repeat(12);
        let excess = judge("crates/a", &[("crates/a/src/lib.rs".into(), text)]).unwrap().unwrap();
        assert_eq!(excess.number, 12);
        assert!(excess.advice.starts_with("wrap them at 100 columns: crates/a/src/lib.rs:1, "), "{}", excess.advice);
        assert!(excess.advice.ends_with("crates/a/src/lib.rs:10, … (`git diff` shows yours)"), "{}", excess.advice);
    }
}
