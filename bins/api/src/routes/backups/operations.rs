//! Operations of `/api/backups`.

use super::{Backup, create, list};
use crate::openapi::derived::of_response;
use crate::openapi::{Audience, Routes, get, post};
use tidegate_web::answer::{Accepted, OnlyPage};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    routes
        .add(
            get("listBackups", "/api/backups", Audience::Reader, "Backups that are kept, newest first")
                .ok(of_response::<OnlyPage<Backup>>()),
            list,
        )
        .add(
            post("createBackup", "/api/backups", Audience::Admin, "Starts a job that writes a backup of all tables")
                .repeatable("The same request, sent again with the same key, makes no second backup.")
                .accepted(of_response::<Accepted<'_>>()),
            create,
        )
}
