//! The field by which a form proves that it came from one of the dashboard's pages.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{LASTS_SECONDS, cookie, session};
use crate::cookie::{cookies, own_name};
use crate::pages_key::PagesKey;

/// Cookie in place of a session: before the login, and if none is needed.
const NONCE: &str = "tidegate_form";

/// The value that a form has to send back. It is bound to the browser's cookie.
#[derive(Debug, Clone)]
pub(in crate::pages) struct FormToken {
    code: [u8; 32],
    /// To be set if the browser had none.
    cookie: Option<HeaderValue>,
}

impl FormToken {
    /// Bound to the session, or else to the nonce that the browser has or gets now.
    pub(in crate::pages) fn of(key: &PagesKey, headers: &HeaderMap) -> Self {
        if let Some(code) = sent_code(key, headers) {
            return Self { code, cookie: None };
        }
        let nonce = Uuid::new_v4().simple().to_string();
        Self { code: key.sign("form", &nonce), cookie: Some(cookie(NONCE, &nonce, LASTS_SECONDS, headers)) }
    }

    /// Returns the value of the field, masked with a new pad each time. A compressed response must
    /// not repeat a secret beside text that an attacker chose.
    pub(in crate::pages) fn field(&self) -> String {
        let pad: [u8; 32] = Sha256::digest(Uuid::new_v4()).into();
        let padded: Vec<u8> = pad.iter().zip(self.code).map(|(pad, byte)| pad ^ byte).collect();
        HEXLOWER.encode(&[&pad[..], &padded].concat())
    }

    /// Sets the cookie that the field is bound to.
    pub(in crate::pages) fn bind(&self, response: &mut Response) {
        if let Some(cookie) = &self.cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
    }
}

/// Whether a form was made for this browser.
pub(in crate::pages) fn is_own(key: &PagesKey, headers: &HeaderMap, field: &str) -> bool {
    let Some(expected) = sent_code(key, headers) else { return false };
    let Some(sent) = unmask(field) else { return false };
    sent.ct_eq(&expected).into()
}

/// Returns the code for the request's cookies: for the session's cookie if there is one.
fn sent_code(key: &PagesKey, headers: &HeaderMap) -> Option<[u8; 32]> {
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
