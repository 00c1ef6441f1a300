//! Operations of `/api/queue`.

mod batches;
mod cron;
mod ids;
mod jobs;
mod scans;
mod whole;

use crate::openapi::Routes;

/// Adds the operations. `cron` and `batches` are reserved and cannot be queue names.
pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let routes = cron::schemas(whole::schemas(jobs::schemas(routes)));
    let routes = jobs::add(whole::add(routes));
    cron::add(batches::change(scans::add(batches::show(routes))))
}
