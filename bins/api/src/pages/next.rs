//! The page that opens after a login.

use percent_encoding::percent_decode_str;

use crate::pages::here::{Here, LIVE, LOGIN, LOGOUT};

/// A page of the dashboard, whatever the source of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next(pub(super) String);

impl Next {
    /// `None` if it is not a page of the dashboard, or too long.
    pub(super) fn of(path: &str) -> Option<Self> {
        const LONGEST: usize = 1_024;
        let rest = path.strip_prefix(Here::Overview.path())?;
        let is_ours = rest.is_empty() || rest.starts_with(['/', '?']);
        let is_a_page = ![LOGIN, LOGOUT, LIVE].iter().any(|other| path.starts_with(other));
        let is_plain = path.len() <= LONGEST && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        (is_ours && is_a_page && is_plain && !climbs(path)).then(|| Self(path.to_owned()))
    }
}

/// Whether a path leaves its first directory, for a browser that resolves dots and decodes percent
/// signs.
fn climbs(target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_decode_str(path).collect::<Vec<_>>();
    let has_dots = decoded.split(|byte| *byte == b'/').any(|segment| segment == b"." || segment == b"..");
    // What is still encoded after that may be decoded once more on its way.
    has_dots
        || path.contains("//")
        || decoded.iter().any(|byte| matches!(byte, b'\\' | b'%') || byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_our_own_pages_alone() {
        let ours = [
            "/dashboard",
            "/dashboard/queues",
            "/dashboard/queues/import?state=dead",
            "/dashboard?said=x",
            "/dashboard/queues/a.b/jobs/a%20b..c",
            "/dashboard/limits?client=%2e%2e/x",
        ];
        for ours in ours {
            assert_eq!(Next::of(ours), Some(Next(ours.to_owned())));
        }
        let long = format!("/dashboard/{}", "x".repeat(2_000));
        for other in [
            "",
            "/",
            "//evil.example",
            "https://evil.example/dashboard",
            "/dashboards",
            "/dashboard.evil.example",
            "/dashboard/login",
            "/dashboard/logout",
            "/dashboard/live",
            "/dashboard/\\evil",
            "/dashboard/\r\nset-cookie: a=b",
            "/dashboard/é",
            "/dashboard/../../x",
            "/dashboard/..",
            "/dashboard/./x",
            "/dashboard/%2e%2E/x",
            "/dashboard/.%2e/x",
            "/dashboard/%252e%252e/x",
            "/dashboard%2f..%2fx",
            "/dashboard/..%2fx",
            "/dashboard/queues/%5c..%5cx",
            "/dashboard//evil.example",
            "/dashboard/../x?state=dead",
            "/dashboard/%0d%0aset-cookie:a=b",
            &long,
        ] {
            assert_eq!(Next::of(other), None, "{other}");
        }
    }
}
