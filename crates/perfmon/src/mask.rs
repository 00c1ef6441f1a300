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

/// Replaces a secret.
const MASK: &str = "****";
/// How many levels of escapes are resolved in a text: a URL within a URL within a line of JSON.
const MOST_LEVELS: usize = 4;

/// Takes out of a text what looks like a secret, and puts `****` in its place:
///
/// - the text after `Bearer` and similar schemes, unless it is a comment on the scheme
///   (`bearer token expired`); after `Basic`, `Digest` and `Negotiate` only text that is not a
///   word, and after `Token` and `OAuth` only text that looks like a key;
/// - the value of a key that names a secret (`password`, `token`, `secret`, `api_key`, `cookie`,
///   `session` and so on), however short it is. It may be written as `key=value`, `key: value`,
///   `"key":"value"`, `--key value`, `key[0]=value`, `KEY 'value'`, `KEY E'value'`, `KEY $$value$$`
///   or `<key>value</key>`. The password in `IDENTIFIED BY` is one too. For the headers `Cookie`,
///   `Set-Cookie` and `Authorization` it is the whole line. A placeholder (`token = ?`, `$1`) is
///   not a value, and neither is the status of a session, a pass, a token and the like:
///   `session: started`;
/// - for names that are also used for other things, only values that look secret: after `tokens`,
///   `sessions`, `key=` and `auth=` anything but a number; after `key:`, `auth:` and `code` text
///   that looks like a key; after `…_code` anything, unless the code is a status, an error, a
///   country and the like;
/// - keys and tokens with a known prefix, such as `tk_…`, `ghp_…` and `AKIA…`, JSON Web Tokens
///   (`eyJ…`), and webhook addresses;
/// - user and password of a URL;
/// - e-mail addresses;
/// - card numbers: 13 to 19 digits, also in groups, with a correct check digit; bank account
///   numbers (IBAN) with a correct country, length and check digits;
/// - private keys in PEM;
/// - and all of these where characters are written as `%41` or `\u0041`, also several times over.
///
/// It fails closed: an unterminated quote or key block is masked up to the end of the text. It
/// masks too much rather than too little. It cannot recognise a secret that looks like an ordinary
/// word: do not pass text that must never be shown.
///
/// Nothing is allocated if there is nothing to mask and no escape. The cost is a few passes,
/// proportional to the text's length whatever its content. Each level of escapes costs them again.
///
/// ```
/// let masked = tidegate_perfmon::mask("login of ada@example.org, token=abc123 failed");
/// assert_eq!(masked, "login of ****, token=**** failed");
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
    // The URLs first: the text before the `@` of a URL is no e-mail address.
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

/// Finds the secrets that show once its escapes are resolved.
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
