//! Stylesheet, script and icon, compiled in. Each name holds a digest, so that browsers may keep
//! the file for ever and load the new one after an upgrade.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// A file, and where a page finds it.
pub(super) struct Asset {
    /// `/assets/<name>.<digest>.<kind>`.
    pub(super) path: String,
    content_type: &'static str,
    text: &'static str,
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("css", "text/css; charset=utf-8", include_str!("../../assets/dashboard.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript; charset=utf-8", include_str!("../../assets/dashboard.js")));
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_str!("../../assets/icon.svg")));

impl Asset {
    fn new(kind: &str, content_type: &'static str, text: &'static str) -> Self {
        let short = HEXLOWER.encode(&Sha256::digest(text)[..8]);
        Self { path: format!("/assets/dashboard.{short}.{kind}"), content_type, text }
    }
}

/// A file by its whole name. One of another version is not there.
pub(super) async fn show(Path(name): Path<String>) -> Result<Response, Problem> {
    let all = [&*STYLE, &*SCRIPT, &*ICON];
    let asset = all.into_iter().find(|asset| asset.path.strip_prefix("/assets/") == Some(&name));
    let asset = asset.ok_or_else(|| Problem::not_found(format!("there is no asset `{name}`")))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.text).into_response())
}
