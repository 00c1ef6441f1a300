//! Every key and tag of the application's cache, in one place: what a read stores under, a write names.

use tidegate_cache::{Key, Tag};

use crate::tenant::{KeyDigest, TenantId};

/// A tenant with its limits.
pub fn tenant(id: &TenantId) -> Key {
    build(Key::builder("tenant").part(id))
}

/// Whose an API key is.
pub fn api_key(digest: &KeyDigest) -> Key {
    build(Key::builder("api-key").part(digest))
}

/// One schedule, as it is sent.
pub fn schedule(tenant: &TenantId, id: uuid::Uuid) -> Key {
    build(Key::builder("schedule").part(tenant).part(id))
}

/// One page of a tenant's schedules, as it is sent.
pub fn schedule_page(tenant: &TenantId, limit: usize, cursor: Option<&str>) -> Key {
    build(Key::builder("schedules").part(tenant).named("limit", limit).named("cursor", cursor.unwrap_or_default()))
}

/// Everything that lists schedules of the tenant: a write to any of them makes it stale.
pub fn schedules_of(tenant: &TenantId) -> Tag {
    Tag::of(["schedules-of", tenant.as_str()])
}

fn build(builder: tidegate_cache::KeyBuilder) -> Key {
    builder.build().expect("the prefixes in this file are valid and parts take any text")
}
