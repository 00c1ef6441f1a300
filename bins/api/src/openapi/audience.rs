//! The audience of operations.

use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every client. An operation that requires more checks it itself.
    Public,
    /// Operators, by the read token or the admin token.
    Reader,
    /// Operators, by the admin token.
    Admin,
    /// Services that ask for decisions, by the service token or the admin token.
    Service,
    /// A tenant, by its API key.
    Tenant,
    /// A tenant about itself, and operators by the read token.
    TenantOrReader,
    /// A tenant for itself, and operators: the read token reads, the admin token changes.
    TenantOrOperator,
}

impl Audience {
    /// Its word in the document, under `x-audience`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Reader => "reader",
            Self::Admin => "admin",
            Self::Service => "service",
            Self::Tenant => "tenant",
            Self::TenantOrReader => "tenant-or-reader",
            Self::TenantOrOperator => "tenant-or-operator",
        }
    }

    /// The security requirement of OpenAPI: one of these is enough.
    pub(super) fn security(self, is_read: bool) -> Value {
        // A user speaks for its tenant by the cookie of its session.
        match self {
            Self::Public => json!([]),
            Self::Reader => json!([{"operator": ["read"]}]),
            Self::Admin => json!([{"operator": ["admin"]}]),
            Self::Service => json!([{"operator": ["service"]}]),
            Self::Tenant => json!([{"tenant": []}, {"session": []}]),
            Self::TenantOrReader => json!([{"tenant": []}, {"session": []}, {"operator": ["read"]}]),
            Self::TenantOrOperator => {
                let role = if is_read { "read" } else { "admin" };
                json!([{"tenant": []}, {"session": []}, {"operator": [role]}])
            }
        }
    }
}
