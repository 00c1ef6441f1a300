//! The names that a `use` binds.

use proc_macro2::{Delimiter, TokenTree};

use super::scope::Use;

/// Parses the tokens between `use` and its semicolon.
pub(super) fn of_use(tokens: &[TokenTree], public: bool, line: usize) -> Vec<Use> {
    let mut found = Vec::new();
    branch(tokens, &[], &mut |path, name, glob| found.push(Use { path, name, glob, public, line }));
    found
}

fn branch(tokens: &[TokenTree], before: &[String], bind: &mut impl FnMut(Vec<String>, Option<String>, bool)) {
    let mut path = before.to_vec();
    let mut renamed = None;
    let mut rest = tokens.iter();
    while let Some(token) = rest.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => renamed = rest.next().map(ToString::to_string),
            // `a::{self}` is `a`.
            TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(mark) if mark.as_char() == '*' => return bind(path, None, true),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let branches = inner.split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ','));
                return branches.filter(|tokens| !tokens.is_empty()).for_each(|tokens| branch(tokens, &path, bind));
            }
            _ => {}
        }
    }
    let name = renamed.or_else(|| path.last().cloned()).filter(|name| name != "_");
    bind(path, name, false);
}

#[cfg(test)]
mod tests {
    use proc_macro2::{TokenStream, TokenTree};

    use super::of_use;

    fn names(text: &str) -> Vec<String> {
        let tokens: Vec<TokenTree> = text.parse::<TokenStream>().unwrap().into_iter().collect();
        let uses = of_use(&tokens, false, 1);
        uses.iter().map(|used| format!("{}={}", used.name.as_deref().unwrap_or("-"), used.path.join("::"))).collect()
    }

    #[test]
    fn one_name() {
        assert_eq!(names("crate::a::B"), ["B=crate::a::B"]);
        assert_eq!(names("crate::a::B as C"), ["C=crate::a::B"]);
        assert_eq!(names("super::super::a"), ["a=super::super::a"]);
        assert_eq!(names("self::a"), ["a=self::a"]);
        assert_eq!(names("::serde::Serialize"), ["Serialize=serde::Serialize"]);
    }

    #[test]
    fn no_name() {
        assert_eq!(names("crate::a::B as _"), ["-=crate::a::B"]);
        assert_eq!(names("crate::a::*"), ["-=crate::a"]);
        assert_eq!(names("super::*"), ["-=super"]);
    }

    #[test]
    fn several_names() {
        assert_eq!(
            names("crate::{a::{self, B as C, d::*}, e::{f::G,},}"),
            ["a=crate::a", "C=crate::a::B", "-=crate::a::d", "G=crate::e::f::G"]
        );
        assert_eq!(names("super::{a, self as up}"), ["a=super::a", "up=super"]);
    }
}
