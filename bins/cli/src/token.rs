//! The token: from a file or a variable, never from an argument. Process lists show those.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use reqwest::header::HeaderValue;

use crate::failure::Failure;
use crate::options::variable;

const VARIABLE: &str = "TIDEGATE_TOKEN";
const FILE_VARIABLE: &str = "TIDEGATE_TOKEN_FILE";
/// Maximum number of bytes read of a token file.
const LONGEST: u64 = 64 << 10;

/// The value of the header `Authorization`. `None` if no token is set.
pub(crate) fn authorization(file: Option<&Path>) -> Result<Option<HeaderValue>, Failure> {
    let (token, file_of_variable) = (variable(VARIABLE), variable(FILE_VARIABLE));
    match (file, token, file_of_variable) {
        (Some(file), _, _) => from_file(file).map(Some),
        (None, Some(_), Some(_)) => {
            Err(Failure::usage(format!("set only one of {VARIABLE} and {FILE_VARIABLE}: both are set")))
        }
        (None, Some(token), None) => from_variable(token).map(Some),
        (None, None, Some(file)) => from_file(Path::new(&file)).map(Some),
        (None, None, None) => Ok(None),
    }
}

fn from_variable(token: OsString) -> Result<HeaderValue, Failure> {
    let token = token.into_string().unwrap_or_default();
    bearer(&token, VARIABLE)
}

fn from_file(file: &Path) -> Result<HeaderValue, Failure> {
    let named = format!("the token file {}", file.display());
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    read.map_err(|error| Failure::usage(format!("{named} can't be read: {error}")))?;
    bearer(&text, &named)
}

/// The header of a token. Errors name where it is from, never the token.
fn bearer(token: &str, origin: &str) -> Result<HeaderValue, Failure> {
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!(
            "{origin} holds no token: a token is one line of visible ASCII characters"
        )));
    }
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut header = header.map_err(|_| Failure::usage(format!("{origin} holds no token")))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_no_token_is_refused_without_being_quoted() {
        for token in ["", "  \n", "two secret-words", "secret\nlines", "gehe\u{ef}m-secret"] {
            let failure = bearer(token, "here").unwrap_err();
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }

    #[test]
    fn the_line_break_at_the_end_of_a_file_is_not_part_of_the_token() {
        assert_eq!(bearer("abc\n", "here").unwrap(), "Bearer abc");
    }
}
