//! The layers of the API, read from the code that puts them around routes. The outermost comes
//! first.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The layers around every route.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Common {
    /// Around the probes too.
    pub(super) of_all: Vec<String>,
    /// Layers within those, around all routes but the probes.
    pub(super) within: Vec<String>,
}

/// Reads `fn outermost` and the routes that `fn router` passes to it, without the probes.
pub(super) fn common(text: &str) -> Result<Common, String> {
    let file = tokens(text)?;
    let (outermost, router) = (body(&file, "outermost")?, body(&file, "router")?);
    let around = call(&outermost, "layer").ok_or("`fn outermost` calls no `layer`")?;
    let mut of_all = around.first().and_then(|tuple| tuple_of(tuple)).ok_or("`layer` is given no tuple")?;
    if of_all.pop().is_none_or(|last| text_of(&last) != "within") {
        return Err("the innermost layer in `fn outermost` is not `within`".to_owned());
    }
    let given = call(&router, "outermost").ok_or("`fn router` calls no `outermost`")?;
    let within = given.get(2).and_then(|tuple| tuple_of(tuple)).ok_or("`outermost` is given no tuple")?;
    let named = |layers: Vec<Vec<TokenTree>>| {
        layers.iter().map(|layer| name_of(layer, &router)).collect::<Result<Vec<_>, String>>()
    };
    Ok(Common { of_all: named(of_all)?, within: named(within)? })
}

/// The layers of single routes, under the names of the audiences and conditions that get them.
pub(super) type Single = BTreeMap<BTreeSet<String>, Vec<String>>;

/// Reads the arms of the `match` in `fn guarded`.
pub(super) fn single(text: &str) -> Result<Single, String> {
    let guarded = body(&tokens(text)?, "guarded")?;
    let mut helpers = BTreeMap::new();
    for statement in guarded.split(|token| is_mark(token, ';')) {
        if let [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(_), rest @ ..] = statement
            && word == "let"
        {
            let layers = layers_in(rest, &helpers)?;
            helpers.insert(name.to_string(), layers);
        }
    }
    let start = guarded.iter().position(|token| is_word(token, "match")).ok_or("`fn guarded` has no `match`")?;
    let arms = guarded[start..].iter().find_map(|token| group(token, Delimiter::Brace));
    let arms: Vec<TokenTree> = arms.ok_or("the `match` of `fn guarded` has no arms")?;
    let (mut found, mut rest) = (Single::new(), arms.as_slice());
    while let Some(arrow) = rest.windows(2).position(|pair| is_mark(&pair[0], '=') && is_mark(&pair[1], '>')) {
        let (pattern, answer) = (&rest[..arrow], &rest[arrow + 2..]);
        let is_block = answer.first().is_some_and(|token| group(token, Delimiter::Brace).is_some());
        let end = answer.iter().position(|token| is_mark(token, ',')).unwrap_or(answer.len());
        let end = if is_block { 1 } else { end };
        let names = words(pattern).into_iter().filter(|word| !["Audience", "if", "operation"].contains(&word.as_str()));
        found.insert(names.collect(), layers_in(&answer[..end], &helpers)?);
        // The comma stays, and is no word of the next pattern.
        rest = &answer[end..];
    }
    Ok(found)
}

/// Reads the layers that `fn routes` puts around all pages, one call of `layer` after another. The
/// module's own layer is named `own`.
pub(super) fn pages(text: &str, own: &str) -> Result<Vec<String>, String> {
    let routes = body(&tokens(text)?, "routes")?;
    let mut found = Vec::new();
    for pair in routes.windows(2) {
        if is_word(&pair[0], "layer")
            && let Some(given) = group(&pair[1], Delimiter::Parenthesis)
        {
            let name = if text_of(&given).ends_with(",layer)") { own.to_owned() } else { name_of(&given, &[])? };
            // Each layer is around those before it.
            found.insert(0, name);
        }
    }
    Ok(found)
}

/// Returns the names of the modules of which a `layer` is used, and those of helpers, in order.
fn layers_in(tokens: &[TokenTree], helpers: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>, String> {
    let is_call = |word: &TokenTree| is_word(word, "route_layer") || is_word(word, "layer");
    let is_chain = |four: &[TokenTree]| is_call(&four[0]) && is_mark(&four[2], '.') && is_call(&four[3]);
    if tokens.windows(4).any(is_chain) {
        return Err("one call of `route_layer` follows another: give both layers to one, as a tuple".to_owned());
    }
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(inner) => {
                let inner: Vec<TokenTree> = inner.stream().into_iter().collect();
                found.extend(layers_in(&inner, helpers)?);
            }
            TokenTree::Ident(word) => {
                let path = tokens.get(at + 1..at + 4).unwrap_or_default();
                if let [first, second, last] = path
                    && is_mark(first, ':')
                    && is_mark(second, ':')
                    && is_word(last, "layer")
                {
                    found.push(word.to_string());
                } else if let Some(layers) = helpers.get(&word.to_string()) {
                    found.extend(layers.iter().cloned());
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The name of a layer from the expression that makes it; `inside` has the variables.
fn name_of(layer: &[TokenTree], inside: &[TokenTree]) -> Result<String, String> {
    let text = text_of(layer);
    let unknown = || format!("it is not known which layer `{text}` is");
    if let Some(function) = text.strip_prefix("fn_layer(").and_then(|rest| rest.rsplit(',').next()) {
        // `client::layer)`
        return function.split("::").next().map(str::to_owned).filter(|_| function.contains("::")).ok_or_else(unknown);
    }
    if let Some(function) = text.strip_prefix("MapRequestLayer::new(") {
        return function.split("::").next().map(str::to_owned).ok_or_else(unknown);
    }
    if text.starts_with(char::is_uppercase) {
        return text.split("::").next().map(str::to_owned).ok_or_else(unknown);
    }
    if let Some((_, method)) = text.strip_suffix("()").and_then(|text| text.rsplit_once('.')) {
        return Ok(method.to_owned());
    }
    let is_let =
        |three: &[TokenTree]| is_word(&three[0], "let") && is_word(&three[1], &text) && is_mark(&three[2], '=');
    let at = inside.windows(3).position(is_let).ok_or_else(unknown)?;
    let value: Vec<TokenTree> = inside[at + 3..].iter().take_while(|token| !is_mark(token, ';')).cloned().collect();
    name_of(&value, &[])
}

fn tokens(text: &str) -> Result<Vec<TokenTree>, String> {
    let stream: TokenStream = text.parse().map_err(|error| format!("not Rust: {error}"))?;
    Ok(stream.into_iter().collect())
}

/// The body of the function of that name, wherever it stands.
fn body(tokens: &[TokenTree], name: &str) -> Result<Vec<TokenTree>, String> {
    find_body(tokens, name).ok_or_else(|| format!("there is no `fn {name}`"))
}

fn find_body(tokens: &[TokenTree], name: &str) -> Option<Vec<TokenTree>> {
    let is_head = |pair: &[TokenTree]| is_word(&pair[0], "fn") && is_word(&pair[1], name);
    if let Some(at) = tokens.windows(2).position(is_head) {
        return tokens[at..].iter().find_map(|token| group(token, Delimiter::Brace));
    }
    tokens.iter().filter_map(|token| group(token, Delimiter::Brace)).find_map(|inner| find_body(&inner, name))
}

/// The arguments of the first call of that name.
fn call(tokens: &[TokenTree], name: &str) -> Option<Vec<Vec<TokenTree>>> {
    let here = tokens.windows(2).find(|pair| is_word(&pair[0], name));
    if let Some(given) = here.and_then(|pair| group(&pair[1], Delimiter::Parenthesis)) {
        return Some(split(&given));
    }
    tokens.iter().find_map(|token| match token {
        TokenTree::Group(inner) => call(&inner.stream().into_iter().collect::<Vec<_>>(), name),
        _ => None,
    })
}

/// The parts of a tuple.
fn tuple_of(tokens: &[TokenTree]) -> Option<Vec<Vec<TokenTree>>> {
    let [tuple] = tokens else { return None };
    group(tuple, Delimiter::Parenthesis).map(|parts| split(&parts))
}

/// Splits the tokens at commas.
fn split(tokens: &[TokenTree]) -> Vec<Vec<TokenTree>> {
    tokens.split(|token| is_mark(token, ',')).filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
}

fn group(token: &TokenTree, delimiter: Delimiter) -> Option<Vec<TokenTree>> {
    match token {
        TokenTree::Group(group) if group.delimiter() == delimiter => Some(group.stream().into_iter().collect()),
        _ => None,
    }
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn words(tokens: &[TokenTree]) -> Vec<String> {
    let word = |token: &TokenTree| match token {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        _ => None,
    };
    tokens.iter().filter_map(word).collect()
}

/// The source without its blanks.
fn text_of(tokens: &[TokenTree]) -> String {
    let text = tokens.iter().cloned().collect::<TokenStream>().to_string();
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

#[cfg(test)]
mod tests;
