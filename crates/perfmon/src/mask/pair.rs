//! Values of keys that name a secret.

mod key;
mod link;
mod secret;
mod told;
mod value;

use std::ops::Range;

use self::key::kind_of;
use self::link::{is_key, start_of_value};
use self::told::is_told;
use self::value::{Ends, escape_of_quote, value_at};
use super::scan::end_of;

pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut at = 0;
    let mut lines = Ends::default();
    while at < text.len() {
        let start = end_of(text, at, is_key);
        let end = end_of(text, start, |char| !is_key(char));
        at = text.ceil_char_boundary(end.max(at + 1));
        let Some((start_of_value, link)) = start_of_value(text, start, end) else { continue };
        // Whether it is a secret's is asked last: most words have no value.
        let Some(kind) = kind_of(text, start, end, link) else { continue };
        let value = value_at(text, start_of_value, (kind, escape_of_quote(&text[..start])), link, &mut lines);
        let is_quoted = value.start > start_of_value;
        let is_in_dollars = is_quoted && text[..value.start].ends_with('$');
        if (is_in_dollars || kind.may_be(&text[value.clone()]))
            && (is_quoted || !is_told(text, &text[start..end], &value, link))
        {
            // Keys within a value are gone with it.
            at = at.max(value.end);
            secrets.push(value);
        }
    }
}
