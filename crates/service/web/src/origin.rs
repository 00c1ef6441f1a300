//! The origin of a request that a browser sends with its cookies.

use axum::http::{HeaderMap, Uri, header};

/// Whether the browser reports that the request is from this origin. Old browsers and other clients
/// report nothing.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    // Pages cannot forge it, and proxies do not change it, unlike the host.
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let authority = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()?.into_parts().authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    authority.zip(host).is_some_and(|(origin, host)| origin.as_str().eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_comes_from_here_is_of_the_same_origin() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let host = (header::HOST, HeaderValue::from_static("tide.example:8080"));
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            is_same_origin(&pairs.chain([host]).collect())
        };
        assert!(of(&[]));
        assert!(of(&[("origin", "https://tide.example:8080")]));
        assert!(of(&[("sec-fetch-site", "same-origin"), ("origin", "https://elsewhere.example")]));
        for foreign in
            ["https://evil.example", "null", "https://tide.example", "https://tide.example:8080.evil.example"]
        {
            assert!(!of(&[("origin", foreign)]), "{foreign}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(!of(&[("sec-fetch-site", site)]), "{site}");
        }
    }
}
