//! Reads one file's tokens: modules, names, paths, and the lines of tests.
//!
//! It reads tokens and not a syntax tree, because paths also occur in the arguments of macros,
//! which have no tree.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::names;
use super::scope::{Declaration, Mention, Scope};

/// A file's modules (itself first) and how many of its lines are tests.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) scopes: Vec<Scope>,
    pub(super) test_lines: usize,
}

/// A file's tokens.
pub(super) fn tokens(text: &str) -> Result<TokenStream, String> {
    text.parse().map_err(|error| format!("not Rust: {error}"))
}

/// Reads one file.
pub(super) fn scan(text: &str) -> Result<Scanned, String> {
    let mut scanned = Scanned::default();
    scanned.module(&tokens(text)?, Vec::new());
    Ok(scanned)
}

impl Scanned {
    fn module(&mut self, tokens: &TokenStream, inside: Vec<String>) {
        let at = self.scopes.len();
        self.scopes.push(Scope { inside, ..Scope::default() });
        self.walk(tokens, at, true);
    }

    /// Walks over the tokens of the scope `at`; `top` is false inside its items.
    fn walk(&mut self, tokens: &TokenStream, at: usize, top: bool) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let (mut next, mut public, mut file) = (0, false, None);
        while let Some(token) = tokens.get(next) {
            let rest = &tokens[next + 1..];
            next += 1;
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    let Some((attribute, length)) = attribute(rest) else { continue };
                    next += length;
                    if is_test(attribute.stream()) {
                        let length = item_length(&tokens[next..]);
                        let last = tokens[next..next + length].last().unwrap_or(token);
                        self.test_lines += last.span().end().line + 1 - token.span().start().line;
                        next += length;
                    } else {
                        file = path_of(attribute.stream()).or(file);
                    }
                    continue;
                }
                TokenTree::Ident(word) if word == "pub" => {
                    public = true;
                    // `pub(in crate::a)` imports nothing.
                    next += usize::from(
                        matches!(rest.first(), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis),
                    );
                    continue;
                }
                // `impl Trait + use<'a>` is no import.
                TokenTree::Ident(word) if word == "use" && !is_mark(rest.first(), '<') => {
                    let length = rest.iter().position(|token| is_mark(Some(token), ';')).unwrap_or(rest.len());
                    let line = word.span().start().line;
                    self.scopes[at].uses.extend(names::of_use(&rest[..length], public, line));
                    next += length;
                }
                TokenTree::Ident(word) if word == "mod" && top => next += self.declare(rest, at, file.take()),
                TokenTree::Ident(word) => {
                    let word = word.to_string();
                    if top && defines(&word) {
                        self.scopes[at].defined.extend(defined(rest));
                    }
                    next += self.mention(&tokens, next - 1, at);
                    self.scopes[at].words.insert(word);
                }
                TokenTree::Group(group) => self.walk(&group.stream(), at, false),
                _ => {}
            }
            (public, file) = (false, None);
        }
    }

    /// `mod` was read, and `rest` follows. Returns how many tokens are its own.
    fn declare(&mut self, rest: &[TokenTree], at: usize, path: Option<String>) -> usize {
        match rest {
            [TokenTree::Ident(name), TokenTree::Group(body), ..] => {
                let inside = [self.scopes[at].inside.as_slice(), &[name.to_string()]].concat();
                self.module(&body.stream(), inside);
                2
            }
            [TokenTree::Ident(name), ..] => {
                self.scopes[at].declarations.push(Declaration { name: name.to_string(), path });
                1
            }
            _ => 0,
        }
    }

    /// Notes the path that begins at `tokens[first]`.
    ///
    /// Returns how many of the tokens that follow the first are part of it.
    fn mention(&mut self, tokens: &[TokenTree], first: usize, at: usize) -> usize {
        let goes_on = |at: usize| is_mark(tokens.get(at), ':') && is_mark(tokens.get(at + 1), ':');
        // `::std` and `<T as Trait>::Output` begin before it.
        if first >= 2 && goes_on(first - 2) {
            return 0;
        }
        let (mut path, mut last) = (vec![tokens[first].to_string()], first);
        while goes_on(last + 1)
            && let Some(TokenTree::Ident(word)) = tokens.get(last + 3)
        {
            path.push(word.to_string());
            last += 3;
        }
        if path.len() > 1 {
            self.scopes[at].mentions.push(Mention { path, line: tokens[first].span().start().line });
        }
        last - first
    }
}

fn is_mark(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(mark)) if mark.as_char() == character)
}

/// The attribute of which `#` was read, and how many tokens it takes.
fn attribute(rest: &[TokenTree]) -> Option<(&Group, usize)> {
    match rest {
        [TokenTree::Group(group), ..] => Some((group, 1)),
        [TokenTree::Punct(mark), TokenTree::Group(group), ..] if mark.as_char() == '!' => Some((group, 2)),
        _ => None,
    }
}

/// Whether it is a `cfg` under which there is no code but tests.
fn is_test(attribute: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = attribute.into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(word)] => word == "test",
        [TokenTree::Ident(word), TokenTree::Group(group)] => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let mut parts = inner.split(|token| is_mark(Some(token), ','));
            let part = |tokens: &[TokenTree]| is_test(tokens.iter().cloned().collect());
            match word.to_string().as_str() {
                "cfg" | "all" => parts.any(part),
                "any" => parts.all(|tokens| tokens.is_empty() || part(tokens)),
                _ => false,
            }
        }
        _ => false,
    }
}

/// `"a.rs"` of `path = "a.rs"`.
fn path_of(attribute: TokenStream) -> Option<String> {
    let tokens: Vec<TokenTree> = attribute.into_iter().collect();
    let [TokenTree::Ident(word), _, TokenTree::Literal(path)] = tokens.as_slice() else { return None };
    (word == "path").then(|| path.to_string().trim_matches('"').to_owned())
}

/// Returns the number of tokens of the item that begins here.
///
/// It ends with its braces, its semicolon or, in a list, its comma.
fn item_length(tokens: &[TokenTree]) -> usize {
    let word = tokens.iter().find_map(|token| match token {
        TokenTree::Ident(word) if word != "pub" => Some(word.to_string()),
        _ => None,
    });
    let is_item = word.is_some_and(|word| defines(&word) || STARTS.contains(&word.as_str()));
    for (index, token) in tokens.iter().enumerate() {
        let ends = match token {
            TokenTree::Punct(mark) => mark.as_char() == ';' || (mark.as_char() == ',' && !is_item),
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !is_mark(tokens.get(index + 1), ';'),
            _ => false,
        };
        // Further attributes are brackets behind `#`, and no braces.
        if ends {
            return index + 1;
        }
    }
    tokens.len()
}

/// Words that begin an item without being followed by its name.
const STARTS: &[&str] = &["async", "extern", "impl", "unsafe", "use"];

fn defines(word: &str) -> bool {
    ["const", "enum", "fn", "macro_rules", "mod", "static", "struct", "trait", "type", "union"].contains(&word)
}

/// Returns the name after a word that defines.
fn defined(rest: &[TokenTree]) -> Option<String> {
    let is_word = |token: &&TokenTree| matches!(token, TokenTree::Ident(_));
    let name = rest.iter().take(2).find(is_word)?.to_string();
    (!defines(&name) && !STARTS.contains(&name.as_str())).then_some(name)
}

#[cfg(test)]
mod tests;
