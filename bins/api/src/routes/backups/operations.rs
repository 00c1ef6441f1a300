//! Operations of `/api/backups`.

use super::{create, list};
use crate::openapi::schema::{count, object, page, text, time};
use crate::openapi::{Circle, Routes, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let backup = object([("id", text()), ("bytes", count()), ("created_at", time())]);
    routes
        .add(
            get("listBackups", "/api/backups", Circle::Reader, "Backups that are kept, newest first").ok(page(backup)),
            list,
        )
        .add(
            post("createBackup", "/api/backups", Circle::Admin, "Starts a job that writes a backup of all tables")
                .repeatable("The same request, sent again with the same key, makes no second backup.")
                .accepted(object([("job_id", text()), ("location", text())])),
            create,
        )
}
