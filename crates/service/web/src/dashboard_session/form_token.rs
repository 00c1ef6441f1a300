//! The field by which a form proves that it came from one of the dashboard's pages.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use data_encoding::HEXLOWER;
use rand::Rng;
use uuid::Uuid;

use super::{LASTS_SECONDS, cookie, session};
use crate::cookie::{cookies, own_name};
use crate::pages_key::PagesKey;

/// Cookie in place of a session: before the login, and if none is needed.
const NONCE: &str = "tidegate_form";
/// Purpose of the signature of a form.
const PURPOSE: &str = "form";

/// The value that a form has to send back. It is bound to the browser's cookie.
#[derive(Debug, Clone)]
pub struct FormToken {
    /// The nonce with its signature.
    signed: String,
    /// To be set if the browser had none.
    cookie: Option<HeaderValue>,
}

impl FormToken {
    /// Bound to the session, or else to the nonce that the browser has or gets now.
    pub fn of(key: &PagesKey, headers: &HeaderMap) -> Self {
        if let Some(nonce) = sent_nonce(key, headers) {
            return Self { signed: key.sign(PURPOSE, &nonce), cookie: None };
        }
        let nonce = Uuid::new_v4().simple().to_string();
        let cookie = cookie(NONCE, &nonce, LASTS_SECONDS, headers);
        Self { signed: key.sign(PURPOSE, &nonce), cookie: Some(cookie) }
    }

    /// Returns the value of the field, masked with a new pad each time. A compressed response must
    /// not repeat a secret beside text that an attacker chose.
    pub fn field(&self) -> String {
        let mut pad = vec![0; self.signed.len()];
        rand::rng().fill_bytes(&mut pad);
        let padded: Vec<u8> = pad.iter().zip(self.signed.bytes()).map(|(pad, byte)| pad ^ byte).collect();
        HEXLOWER.encode(&[&pad[..], &padded].concat())
    }

    /// Sets the cookie that the field is bound to.
    pub fn bind(&self, response: &mut Response) {
        if let Some(cookie) = &self.cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
    }
}

/// Whether a form was made for this browser.
pub fn is_own(key: &PagesKey, headers: &HeaderMap, field: &str) -> bool {
    let Some(expected) = sent_nonce(key, headers) else { return false };
    // Only the server can sign a nonce, so the time of this comparison helps no client to guess.
    unmask(field).and_then(|sent| key.verify(PURPOSE, &sent)) == Some(expected)
}

/// Returns the nonce of the request's cookies: the session's if there is one.
fn sent_nonce(key: &PagesKey, headers: &HeaderMap) -> Option<String> {
    if let Some(session) = session(key, headers, tidegate_base::clock::now().timestamp()) {
        return Some(session.nonce);
    }
    let name = own_name(NONCE, headers);
    cookies(headers, &name).find(|nonce| nonce.len() == 32).map(str::to_owned)
}

fn unmask(field: &str) -> Option<String> {
    let bytes: Vec<u8> = (0..field.len() / 2)
        .map(|at| field.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()?;
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let (pad, masked) = bytes.split_at(bytes.len() / 2);
    String::from_utf8(pad.iter().zip(masked).map(|(pad, byte)| pad ^ byte).collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PagesKey {
        PagesKey::with_salt([byte; 32])
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
