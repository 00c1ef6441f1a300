//! Who looks at the pages.
//!
//! A session is a cookie that says role, beginning and nonce, with a code over them (HMAC-SHA256) whose key comes of the tokens and
//! of the installation. So nothing is stored: it holds on every instance of an installation and while the database is down, and
//! ends after twelve hours, by logging out, or when a token is changed. It counts for the pages alone, never for `/api`, where only a sent token does.
//!
//! Without tokens there is no login; a cookie with a nonce is all that forms need.

use std::borrow::Cow;

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tidegate_perfmon::Refused;
use tidegate_settings::{Settings, Tokens};
use uuid::Uuid;

use super::layout::Here;
use super::live;
use crate::app::App;
use crate::cookie::{came_by_tls, cookies, own_name};
use crate::peer::is_direct_loopback;
use crate::problem::Problem;

/// Where who isn't known is led.
pub(super) const LOGIN: &str = "/dashboard/login";
const SESSION: &str = "tidegate_session";
/// Stands in for a session where there is none: before the login, and where none is needed.
const NONCE: &str = "tidegate_form";
/// Of one name.
const MOST_COOKIES: usize = 4;
const LASTS_SECONDS: i64 = 12 * 60 * 60;
/// A clock of another instance may be ahead by so much.
const SKEW_SECONDS: i64 = 60;

/// What the pages sign with.
pub(crate) struct Key {
    /// None where none is set.
    tokens: Option<Tokens>,
    salt: [u8; 32],
}

impl Key {
    /// Of the tokens, and of what tells this installation from others, which is 128 bits of chance that lie in its database and that
    /// no answer holds: of tokens alone, whoever sees a form could try guesses of them at home, and who has one token make
    /// another's session. Of chance where there are no tokens, since then nothing outlives the process that should.
    pub(crate) fn new(settings: &Settings, installation: &str) -> Self {
        let tokens = settings.tokens.any().then(|| settings.tokens.clone());
        let mut salt = Sha256::new();
        if tokens.is_some() {
            salt.update(installation);
        } else {
            salt.update(Uuid::new_v4());
            salt.update(Uuid::new_v4());
        }
        Self { tokens, salt: salt.finalize().into() }
    }

    /// Made at each use: a token may be replaced while the process runs, and the sessions before
    /// end then.
    fn bytes(&self) -> [u8; 32] {
        let Some(tokens) = &self.tokens else { return self.salt };
        let mut digest = Sha256::new();
        digest.update(tokens.derive("pages"));
        digest.update(self.salt);
        digest.finalize().into()
    }

    fn sign(&self, purpose: &str, text: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.bytes()).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// What somebody may do on the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Look.
    Reader,
    /// Look and change.
    Admin,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reader => "read",
            Self::Admin => "admin",
        }
    }

    /// Whether somebody could have logged in as that.
    const fn has_token(self, settings: &Settings) -> bool {
        match self {
            Self::Reader => settings.tokens.read.is_some(),
            Self::Admin => settings.tokens.admin.is_some(),
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Reader, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// Somebody who may see the pages.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) role: Role,
    /// Whether there is a session to be ended.
    pub(super) has_session: bool,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    /// Who isn't known is led to the login.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        if !app.settings().tokens.any() {
            return open(app, parts)
                .map(|()| Self { role: Role::Admin, has_session: false })
                .map_err(IntoResponse::into_response);
        }
        match role(app, &parts.headers) {
            Some(role) => Ok(Self { role, has_session: true }),
            None => Err((Extension(Refused), Redirect::to(&login(parts))).into_response()),
        }
    }
}

/// The login, that leads back to the page which was wanted.
fn login(parts: &Parts) -> String {
    let wanted = parts.uri.path_and_query().map(PathAndQuery::as_str).filter(|_| parts.method == Method::GET);
    match wanted.and_then(Next::of) {
        Some(Next(path)) if path != Here::Overview.path() => {
            format!("{LOGIN}?next={}", utf8_percent_encode(&path, NON_ALPHANUMERIC))
        }
        _ => LOGIN.to_owned(),
    }
}

/// A page to go on to: one of ours, wherever the name of it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next(pub(super) String);

impl Next {
    /// None where it is no page of the dashboard, or too long to be one.
    pub(super) fn of(path: &str) -> Option<Self> {
        const LONGEST: usize = 1_024;
        let rest = path.strip_prefix(Here::Overview.path())?;
        let is_ours = rest.is_empty() || rest.starts_with(['/', '?']);
        let is_a_page = ![LOGIN, "/dashboard/logout", live::PATH].iter().any(|other| path.starts_with(other));
        let is_plain = path.len() <= LONGEST && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        (is_ours && is_a_page && is_plain && !climbs(path)).then(|| Self(path.to_owned()))
    }
}

/// Whether a path leaves the directory that it begins with, for a browser that resolves dots and
/// decodes percent signs.
fn climbs(target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_decode_str(path).collect::<Vec<_>>();
    let has_dots = decoded.split(|byte| *byte == b'/').any(|segment| segment == b"." || segment == b"..");
    // What is still encoded after that may be decoded once more on its way.
    has_dots
        || path.contains("//")
        || decoded.iter().any(|byte| matches!(byte, b'\\' | b'%') || byte.is_ascii_control())
}

/// As what the sender of a session is logged in.
pub(super) fn role(app: &App, headers: &HeaderMap) -> Option<Role> {
    let session = session(app.pages_key(), headers, tidegate_base::clock::now().timestamp())?;
    session.role.has_token(app.settings()).then_some(session.role)
}

/// Whether the pages are open to who asks, where no token is set.
pub(super) fn open(app: &App, parts: &Parts) -> Result<(), Problem> {
    let mut headers = Cow::Borrowed(&parts.headers);
    if is_link(parts) {
        // Whoever follows a link from elsewhere sees a page and changes nothing, nor sees the page that led here any of it.
        headers.to_mut().remove("sec-fetch-site");
    }
    if is_direct_loopback(app.settings(), &parts.extensions, &headers) {
        return Ok(());
    }
    Err(Problem::forbidden(
        "without tokens, the dashboard is open to direct connections from this machine only; \
         set TIDEGATE_ADMIN_TOKEN and TIDEGATE_READ_TOKEN",
    ))
}

/// Whether a browser loads a page of its own, in no frame.
fn is_link(parts: &Parts) -> bool {
    let says = |name: &str, what: &str| parts.headers.get(name).is_some_and(|value| value == what);
    matches!(parts.method, Method::GET | Method::HEAD)
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

/// What a form has to send back, so that only our own pages' forms count. Bound to the browser's cookie.
#[derive(Debug, Clone)]
pub(super) struct FormToken {
    code: [u8; 32],
    /// To be set where the browser had none.
    cookie: Option<HeaderValue>,
}

impl FormToken {
    /// Bound to the session, else to the nonce that the browser has or is given now.
    pub(super) fn of(key: &Key, headers: &HeaderMap) -> Self {
        if let Some(code) = sent_code(key, headers) {
            return Self { code, cookie: None };
        }
        let nonce = Uuid::new_v4().simple().to_string();
        Self { code: key.sign("form", &nonce), cookie: Some(cookie(NONCE, &nonce, LASTS_SECONDS, headers)) }
    }

    /// As a field holds it: behind a pad that is another each time, since an answer that is compressed must not repeat a secret
    /// beside what a stranger chose.
    pub(super) fn field(&self) -> String {
        let pad: [u8; 32] = Sha256::digest(Uuid::new_v4()).into();
        let padded: Vec<u8> = pad.iter().zip(self.code).map(|(pad, byte)| pad ^ byte).collect();
        HEXLOWER.encode(&[&pad[..], &padded].concat())
    }

    /// Sets the cookie that the field is bound to.
    pub(super) fn bind(&self, response: &mut Response) {
        if let Some(cookie) = &self.cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
    }
}

/// Whether a form was made for this browser.
pub(super) fn is_own(key: &Key, headers: &HeaderMap, field: &str) -> bool {
    let Some(expected) = sent_code(key, headers) else { return false };
    let Some(sent) = unmask(field) else { return false };
    sent.ct_eq(&expected).into()
}

/// Of the cookies that came with a request; the session's where there is one.
fn sent_code(key: &Key, headers: &HeaderMap) -> Option<[u8; 32]> {
    if let Some(session) = session(key, headers, tidegate_base::clock::now().timestamp()) {
        return Some(key.sign("form", &session.nonce));
    }
    let name = own_name(NONCE, headers);
    let nonce = cookies(headers, &name).find(|nonce| nonce.len() == 32)?;
    Some(key.sign("form", nonce))
}

fn unmask(field: &str) -> Option<[u8; 32]> {
    let bytes: Vec<u8> = (0..field.len() / 2)
        .map(|at| field.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()?;
    let (pad, masked) = bytes.split_at_checked(32)?;
    let code: Vec<u8> = pad.iter().zip(masked).map(|(pad, byte)| pad ^ byte).collect();
    if masked.len() == 32 { code.try_into().ok() } else { None }
}

#[derive(Debug, PartialEq, Eq)]
struct Session {
    role: Role,
    nonce: String,
}

/// The cookie that begins a session of that role.
pub(super) fn begin(key: &Key, role: Role, headers: &HeaderMap) -> HeaderValue {
    let text = issue(key, role, tidegate_base::clock::now().timestamp(), &Uuid::new_v4().simple().to_string());
    cookie(SESSION, &text, LASTS_SECONDS, headers)
}

/// The cookie that ends it.
pub(super) fn end(headers: &HeaderMap) -> HeaderValue {
    cookie(SESSION, "", 0, headers)
}

fn issue(key: &Key, role: Role, at: i64, nonce: &str) -> String {
    let said = format!("{}.{at}.{nonce}", role.name());
    let code = HEXLOWER.encode(&key.sign("session", &said));
    format!("{said}.{code}")
}

fn session(key: &Key, headers: &HeaderMap, now: i64) -> Option<Session> {
    // A browser sends one, and one of each path; more are somebody's who wants them all to be looked at.
    cookies(headers, &own_name(SESSION, headers)).take(MOST_COOKIES).find_map(|text| read(key, text, now))
}

fn read(key: &Key, text: &str, now: i64) -> Option<Session> {
    let (said, code) = text.rsplit_once('.')?;
    let expected = HEXLOWER.encode(&key.sign("session", said));
    if !bool::from(expected.as_bytes().ct_eq(code.as_bytes())) {
        return None;
    }
    let mut parts = said.split('.');
    let (role, at, nonce) = (Role::of(parts.next()?)?, parts.next()?.parse::<i64>().ok()?, parts.next()?);
    (at - SKEW_SECONDS..at + LASTS_SECONDS).contains(&now).then(|| Session { role, nonce: nonce.to_owned() })
}

/// `Lax`, so that a link in a mail or an alert leads in whoever is logged in; nothing is changed but by a form with its token.
/// Whoever falsely says that it came by TLS only keeps its own cookie from itself.
fn cookie(name: &str, value: &str, max_age: i64, headers: &HeaderMap) -> HeaderValue {
    let secure = if came_by_tls(headers) { "; Secure" } else { "" };
    let name = own_name(name, headers);
    let text = format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).expect("names and values are of hexadecimal digits, dots and letters")
}

#[cfg(test)]
mod tests {
    use tidegate_settings::RawSettings;

    use super::*;

    const NOW: i64 = 1_900_000_000;

    fn key(byte: u8) -> Key {
        Key { tokens: None, salt: [byte; 32] }
    }

    #[test]
    fn a_session_lasts_twelve_hours_and_under_its_key_alone() {
        let text = issue(&key(1), Role::Reader, NOW, "abc");
        let read = |key: &Key, now| read(key, &text, now).map(|session| session.role);
        assert_eq!(read(&key(1), NOW), Some(Role::Reader));
        assert_eq!(read(&key(1), NOW + LASTS_SECONDS - 1), Some(Role::Reader));
        assert_eq!(read(&key(1), NOW + LASTS_SECONDS), None);
        assert_eq!(read(&key(1), NOW - SKEW_SECONDS - 1), None);
        assert_eq!(read(&key(2), NOW), None);
    }

    #[test]
    fn tokens_alone_make_no_key() {
        let tokens = [("TIDEGATE_ADMIN_TOKEN", "admin-token-0123456789")];
        let tokens = tokens.map(|(name, value)| (name.into(), value.into()));
        let settings = RawSettings::load(None, tokens).unwrap().check().unwrap();
        let key = |installation| Key::new(&settings, installation).bytes();
        assert_eq!(key("a"), key("a"), "every instance of one has the same");
        assert_ne!(key("a"), key("b"));
        assert_ne!(key("a"), settings.tokens.derive("pages"));
    }

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

    #[test]
    fn a_cookie_that_came_by_tls_stays_there() {
        for (proto, is_secure) in [("https", true), ("http", false)] {
            let name = header::HeaderName::from_static("x-forwarded-proto");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(proto))]);
            let cookie = cookie(NONCE, "a", 1, &headers);
            assert_eq!(cookie.to_str().unwrap().ends_with("; Secure"), is_secure, "{proto}");
            assert_eq!(cookie.to_str().unwrap().starts_with("__Host-"), is_secure, "{proto}");
        }
    }

    #[test]
    fn nobody_changes_what_a_session_says() {
        let text = issue(&key(1), Role::Reader, NOW, "abc");
        for forged in [
            text.replace("read", "admin"),
            text.replace(&NOW.to_string(), "2000000000"),
            String::new(),
            ".".into(),
            text[..text.len() - 1].to_owned(),
        ] {
            assert_eq!(read(&key(1), &forged, NOW), None, "{forged}");
        }
    }

    #[test]
    fn a_form_counts_with_the_cookie_that_it_was_made_for() {
        let with = |nonce: &str| {
            HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&format!("a=b; {NONCE}={nonce}")).unwrap())])
        };
        let (mine, other) = (with(&"1".repeat(32)), with(&"2".repeat(32)));
        let token = FormToken::of(&key(1), &mine);
        assert!(token.cookie.is_none());
        assert_ne!(token.field(), token.field(), "each answer has its own pad");
        assert!(is_own(&key(1), &mine, &token.field()));
        assert!(!is_own(&key(1), &other, &token.field()));
        assert!(!is_own(&key(2), &mine, &token.field()));
        assert!(!is_own(&key(1), &HeaderMap::new(), &token.field()));
        for wrong in ["", "00", "é", &"0".repeat(128), &token.field()[2..], &format!("{}00", token.field())] {
            assert!(!is_own(&key(1), &mine, wrong), "{wrong}");
        }
    }
}
