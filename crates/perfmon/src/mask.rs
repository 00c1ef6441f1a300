//! Text that may hold secrets, without them.

mod address;
mod card;
mod escape;
mod hook;
mod iban;
mod pair;
mod scan;
mod scheme;
mod token;
mod traits;
mod url;
mod word;

use std::borrow::Cow;
use std::ops::Range;

use escape::Unescaped;
use traits::Traits;

/// What stands in a secret's place.
const MASK: &str = "****";
/// How often a text is looked at again with its escapes resolved: a URL within a URL within a line of JSON.
const MOST_LEVELS: usize = 4;

/// Takes out of a text what looks like a secret, and puts `****` in its place:
///
/// - what follows `Bearer` and the like, but what is said of the scheme (`bearer token expired`); behind `Basic`, `Digest` and `Negotiate` what is
///   no word, and behind `Token` and `OAuth` what looks like a key;
/// - the value of a key that names a secret (`password`, `token`, `secret`, `api_key`, `cookie`, `session` and so on), as `key=value`, `key: value`,
///   `"key":"value"`, `--key value`, `key[0]=value`, `KEY 'value'`, `KEY E'value'`, `KEY $$value$$` or `<key>value</key>`, however short it is, and what
///   a user is `IDENTIFIED BY`; of the headers `Cookie`, `Set-Cookie` and `Authorization` the whole line; but
///   a placeholder (`token = ?`, `$1`) is none, nor what is said of a session, a pass, a token and the like: `session: started`;
/// - of names that are of other things too what is hardly those: behind `tokens` and `sessions` all but numbers, behind `key=` and `auth=` the same,
///   behind `key:`, `auth:` and `code` what looks like a key, behind `…_code` all unless that is a status, an error, a country and the like;
/// - keys and tokens that are known by their beginning, such as `tk_…`, `ghp_…`, `AKIA…`, and those of JSON (`eyJ…`); addresses of web hooks;
/// - user and password of a URL;
/// - e-mail addresses;
/// - numbers of cards: 13 to 19 digits, also in groups, whose check digit is right; of bank accounts (IBAN), whose country, length and check digits are;
/// - private keys in PEM;
/// - and all of these where characters are written as `%41` or `\u0041`, also several times over.
///
/// It fails closed: what doesn't end (a quote, a key block) is taken out to the text's end. It takes too much rather than too little, but it
/// can't know a secret that looks like any word: what is not to be shown at all should not be given to it.
///
/// Nothing is allocated where there is nothing to take out, and no escape in it. Costs a few passes, in proportion to the text's length whatever
/// is in it; each level of escapes costs them again.
///
/// ```
/// assert_eq!(tidegate_perfmon::mask("login of ada@example.org, token=abc123 failed"), "login of ****, token=**** failed");
/// ```
pub fn mask(text: &str) -> Cow<'_, str> {
    let traits = Traits::of(text);
    let mut secrets = Vec::new();
    find(text, &traits, &mut secrets);
    if traits.has_escapes {
        find_escaped(text, &mut secrets);
    }
    secrets.retain(|secret: &Range<usize>| !secret.is_empty() && &text[secret.clone()] != MASK);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    secrets.sort_unstable_by_key(|secret| (secret.start, secret.end));
    let mut masked = String::with_capacity(text.len());
    let mut shown = 0;
    for secret in secrets {
        if secret.start >= shown {
            masked.push_str(&text[shown..secret.start]);
            masked.push_str(MASK);
        }
        shown = shown.max(secret.end);
    }
    masked.push_str(&text[shown..]);
    Cow::Owned(masked)
}

/// Finds what a text shows as it stands; what its traits exclude isn't looked for.
fn find(text: &str, traits: &Traits, secrets: &mut Vec<Range<usize>>) {
    // The URLs first: what stands before the `@` of one is no address.
    if traits.may_have_url() {
        url::find(text, secrets);
    }
    if traits.has_at {
        address::find(text, secrets);
    }
    if traits.may_have_card() {
        card::find(text, secrets);
    }
    if traits.may_have_iban() {
        iban::find(text, secrets);
    }
    if traits.may_have_pair() {
        pair::find(text, secrets);
    }
    if traits.has_blanks {
        scheme::find(text, secrets);
    }
    token::find_keys(text, secrets);
    if traits.has_dashes {
        token::find_blocks(text, secrets);
    }
    if traits.has_slashes {
        hook::find(text, secrets);
    }
}

/// Finds what it shows to whoever resolves its escapes.
fn find_escaped(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut levels: Vec<Unescaped> = Vec::new();
    while levels.len() < MOST_LEVELS
        && let Some(plain) = Unescaped::of(levels.last().map_or(text, |level| &level.text))
    {
        let mut found = Vec::new();
        find(&plain.text, &Traits::of(&plain.text), &mut found);
        levels.push(plain);
        for secret in found {
            secrets.push(levels.iter().rev().fold(secret, |secret, level| level.place(&secret)));
        }
    }
}
