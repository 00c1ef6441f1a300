//! Where the API is.

use reqwest::Url;

use crate::failure::Failure;

/// Reads the address of the API. A path before that of the API is kept, for a proxy that adds one.
pub(super) fn url(text: &str) -> Result<Url, Failure> {
    // The text is not quoted: it may hold a password.
    let bad = |reason: &str| Failure::usage(format!("--url or TIDEGATE_URL: {reason}, such as http://127.0.0.1:8080"));
    let url = Url::parse(text.trim()).map_err(|error| bad(&format!("not a URL ({error}): give one")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(bad("give a URL that begins with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("give a URL without a login, and the token in TIDEGATE_TOKEN"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("give a URL without a query"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_of_an_api_is_refused_without_being_quoted() {
        let bad = [
            "",
            " ",
            "localhost:8080",
            "ftp://host",
            "http://",
            "http://user:secret@host",
            "http://host?token=secret",
            "http://host#secret",
            "file:///etc/passwd",
            "http://[::1",
            "http://host:99999",
            "\u{0}",
            "javascript:secret",
        ];
        for text in bad {
            let failure = url(text).expect_err(text).to_string();
            assert!(!failure.contains("secret") && failure.contains("--url"), "{text}: {failure}");
        }
    }

    #[test]
    fn a_path_before_that_of_the_api_is_kept() {
        assert_eq!(url(" https://host/tidegate/ ").unwrap().path(), "/tidegate/");
    }
}
