//! Every key and tag of the application's cache, in one place, so that writes invalidate the same
//! names that reads store under.

use chrono::NaiveDate;
use tidegate_cache::{Key, KeyPart, Tag};
use uuid::Uuid;

use crate::session::SessionDigest;
use crate::tenant::{KeyDigest, TenantId};

/// The subject of a key, parsed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// [`tenant`].
    Tenant(TenantId),
    /// [`api_key`].
    ApiKey(KeyDigest),
    /// [`session`].
    Session(SessionDigest),
    /// [`preferences`].
    Preferences(TenantId, Uuid),
    /// [`schedule`].
    Schedule(TenantId, Uuid),
    /// [`first_page`].
    FirstPage(TenantId, usize),
    /// [`views`].
    Views(TenantId, NaiveDate),
}

impl Named {
    /// Parses a key. `None` if it was not built in this file.
    pub fn of(key: &Key) -> Option<Self> {
        let parts = key.parts()?;
        let parts: Vec<(Option<&str>, &str)> =
            parts.iter().map(|KeyPart { name, text, .. }| (name.as_deref(), text.as_str())).collect();
        let named = match parts[..] {
            [(None, "tenant"), (None, id)] => Self::Tenant(id.parse().ok()?),
            [(None, "api-key"), (None, digest)] => Self::ApiKey(digest.parse().ok()?),
            [(None, "session"), (None, digest)] => Self::Session(digest.parse().ok()?),
            [(None, "preferences"), (None, tenant), (None, user)] => {
                Self::Preferences(tenant.parse().ok()?, Uuid::try_parse(user).ok()?)
            }
            [(None, "schedule"), (None, tenant), (None, id)] => {
                Self::Schedule(tenant.parse().ok()?, Uuid::try_parse(id).ok()?)
            }
            [(None, "schedules"), (None, tenant), (Some("limit"), limit)] => {
                Self::FirstPage(tenant.parse().ok()?, limit.parse().ok()?)
            }
            [(None, "views"), (None, tenant), (None, day)] => Self::Views(tenant.parse().ok()?, day.parse().ok()?),
            _ => return None,
        };
        // A different text with the same meaning is not a key.
        (named.key() == *key).then_some(named)
    }

    fn key(&self) -> Key {
        match self {
            Self::Tenant(id) => tenant(id),
            Self::ApiKey(digest) => api_key(digest),
            Self::Session(digest) => session(digest),
            Self::Preferences(tenant, user) => preferences(tenant, *user),
            Self::Schedule(tenant, id) => schedule(tenant, *id),
            Self::FirstPage(tenant, limit) => first_page(tenant, *limit),
            Self::Views(tenant, day) => views(tenant, *day),
        }
    }
}

/// A tenant with its limits.
pub fn tenant(id: &TenantId) -> Key {
    build(Key::builder("tenant").part(id))
}

/// The tenant of an API key.
pub fn api_key(digest: &KeyDigest) -> Key {
    build(Key::builder("api-key").part(digest))
}

/// The user of a session.
pub fn session(digest: &SessionDigest) -> Key {
    build(Key::builder("session").part(digest))
}

/// All sessions of a user. They end together when the user is removed or the password changes.
pub fn sessions_of(tenant: &TenantId, user: Uuid) -> Tag {
    Tag::of(["sessions-of", tenant.as_str(), &user.to_string()])
}

/// A user's preferences, as they are sent.
pub fn preferences(tenant: &TenantId, user: Uuid) -> Key {
    build(Key::builder("preferences").part(tenant).part(user))
}

/// One schedule, as it is sent.
pub fn schedule(tenant: &TenantId, id: Uuid) -> Key {
    build(Key::builder("schedule").part(tenant).part(id))
}

/// The first page of a tenant's schedules, as it is sent. The length is in the key, so that a
/// version with another length does not use pages of this one.
pub fn first_page(tenant: &TenantId, limit: usize) -> Key {
    build(Key::builder("schedules").part(tenant).named("limit", limit))
}

/// Views of a tenant's schedules on one day. No value is cached under it. It names the count that
/// waits to be written.
pub fn views(tenant: &TenantId, day: NaiveDate) -> Key {
    build(Key::builder("views").part(tenant).part(day))
}

/// All lists of the tenant's schedules. A write to any of them invalidates all.
pub fn schedules_of(tenant: &TenantId) -> Tag {
    Tag::of(["schedules-of", tenant.as_str()])
}

/// Notices to a tenant. No value is cached under it. A commit names it so that subscribers check
/// for new notices.
pub fn notifications_of(tenant: &TenantId) -> Tag {
    Tag::of([NOTIFICATIONS, tenant.as_str()])
}

/// Whether the tag is one of [`notifications_of`].
pub fn is_of_notifications(tag: &Tag) -> bool {
    tag.as_str().split_once(':').is_some_and(|(first, _)| first == NOTIFICATIONS)
}

const NOTIFICATIONS: &str = "notifications-of";

fn build(builder: tidegate_cache::KeyBuilder) -> Key {
    builder.build().expect("the prefixes in this file are valid and parts take any text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_what_it_was_built_of() {
        let acme: TenantId = "acme".parse().unwrap();
        let id = Uuid::from_u128(7);
        for named in [
            Named::Tenant(acme.clone()),
            Named::ApiKey(KeyDigest([0xA7; 32])),
            Named::Session(KeyDigest([0x7A; 32])),
            Named::Preferences(acme.clone(), id),
            Named::Schedule(acme.clone(), id),
            Named::FirstPage(acme.clone(), 50),
            Named::Views(acme, NaiveDate::from_ymd_opt(2030, 1, 31).unwrap()),
        ] {
            assert_eq!(Named::of(&named.key()), Some(named));
        }
    }

    #[test]
    fn a_foreign_key_is_none() {
        for text in [
            "tenant",
            "tenant:acme:more",
            "tenant:",
            "api-key:xyz",
            "api-key:A7",
            "schedule:acme:7",
            "schedule:acme:00000000000000000000000000000007",
            "schedules:acme:limit=x",
            "schedules:acme:limit=050",
            "schedules:acme:cursor=:limit=50",
            "user:7",
        ] {
            assert_eq!(Named::of(&Key::parse(text).unwrap()), None, "{text}");
        }
    }
}
