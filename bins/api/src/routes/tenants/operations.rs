//! Operations of `/api/tenants`.

use serde_json::{Value, json};
use tidegate_model::user::User;

use super::{MAX_NAME, create, keys, list, reindex, show, users};
use crate::openapi::derived::of_response;
use crate::openapi::schema::{
    count, name_of, named, object, or_null, page, tenant_id, text, text_of, time, told, uuid,
};
use crate::openapi::{Audience, Operation, Routes, delete, get, post, put};
use tidegate_web::answer::Accepted;

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let body = object([
        ("id", tenant_id()),
        ("name", name_of(MAX_NAME)),
        ("tier?", named("Tier")),
        ("limits?", named("OwnLimits")),
    ]);
    let mut created = tenant();
    created["properties"]["api_key"] = told(text(), "The first key; shown only once.");
    let routes = routes
        .schema("Tenant", tenant())
        .add(
            post("createTenant", "/api/tenants", Audience::Admin, "Creates a tenant, with its first API key")
                .body(body, json!({"id": "acme", "name": "Acme", "tier": "enterprise"}))
                .created(created)
                .fails(409, "A tenant with this id exists."),
            create,
        )
        .add(
            get("listTenants", "/api/tenants", Audience::Reader, "Tenants, by id").paged(200).ok(page(named("Tenant"))),
            list,
        )
        .add(
            get("showTenant", "/api/tenants/{id}", Audience::TenantOrReader, "A tenant with its plan")
                .part("id", text(), "acme")
                .ok(named("Tenant")),
            show,
        );
    let routes = routes.add(
        post(
            "reindexTenant",
            "/api/tenants/{id}/reindex",
            Audience::Admin,
            "Starts a job that computes anew when the schedules of a tenant are due, and removes them from the cache",
        )
        .part("id", text(), "acme")
        .accepted(of_response::<Accepted<'_>>())
        .fails(409, "A job reindexes this tenant already."),
        reindex::create,
    );
    members(routes)
}

fn tenant() -> Value {
    object([
        ("id", text()),
        ("name", text()),
        ("tier", named("Tier")),
        ("limits", named("OwnLimits")),
        ("effective_limits", named("EffectiveLimits")),
        ("epoch", count()),
        ("created_at", time()),
    ])
}

fn members(routes: Routes) -> Routes {
    const KEYS: &str = "/api/tenants/{id}/keys";
    const USERS: &str = "/api/tenants/{id}/users";
    const USER: &str = "/api/tenants/{id}/users/{user}";
    const SOME_ID: &str = "018f3c1e-7a4b-7c5d-8e9f-0123456789ab";
    const PASSWORD: &str = "correct horse battery staple";
    let of_tenant = |operation: Operation| operation.part("id", text(), "acme");
    let of_user = |operation: Operation| of_tenant(operation).part("user", uuid(), SOME_ID);
    let key = object([("id", uuid()), ("name", text()), ("created_at", time())]);
    let mut made = key.clone();
    made["properties"]["api_key"] = told(text(), "The key; shown only once.");
    let new_user = object([("email", text()), ("name", text()), ("password", text())]);
    let user = json!({"email": "ada@example.org", "name": "Ada", "password": PASSWORD});
    routes
        .schema("User", of_response::<User>())
        .add(
            of_tenant(post("createKey", KEYS, Audience::TenantOrOperator, "Issues another API key"))
                .body(object([("name", text_of(1, 100))]), json!({"name": "backup"}))
                .created(made)
                .fails(409, "The tenant has reached its maximum."),
            keys::create,
        )
        .add(
            of_tenant(get("listKeys", KEYS, Audience::TenantOrOperator, "The API keys, without their values"))
                .ok(page(key)),
            keys::list,
        )
        .add(
            of_tenant(delete(
                "revokeKey",
                "/api/tenants/{id}/keys/{key}",
                Audience::TenantOrOperator,
                "Revokes an API key",
            ))
            .part("key", uuid(), SOME_ID)
            .silent(204),
            keys::revoke,
        )
        .add(
            of_tenant(post("createUser", USERS, Audience::TenantOrOperator, "Adds a user"))
                .body(new_user, user)
                .created(named("User"))
                .fails(409, "A user with this e-mail exists, or no seat is left."),
            users::create,
        )
        .add(
            of_tenant(get("listUsers", USERS, Audience::TenantOrOperator, "Users, in order of their creation"))
                .paged(200)
                .ok(page(named("User"))),
            users::list,
        )
        .add(of_user(get("showUser", USER, Audience::TenantOrOperator, "One user")).ok(named("User")), users::show)
        .add(
            of_user(delete(
                "deleteUser",
                USER,
                Audience::TenantOrOperator,
                "Deletes a user, with sessions and preferences",
            ))
            .silent(204),
            users::delete,
        )
        .add(
            of_user(put(
                "setPassword",
                "/api/tenants/{id}/users/{user}/password",
                Audience::TenantOrOperator,
                "Sets a password, and ends the user's sessions",
            ))
            .body(
                object([("password", text()), ("current?", told(or_null(text()), "Required from a user."))]),
                json!({"password": PASSWORD}),
            )
            .silent(204)
            .fails(409, "The password was changed meanwhile."),
            users::set_password,
        )
}
