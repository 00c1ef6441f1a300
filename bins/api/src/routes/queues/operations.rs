//! What `/api/queue` offers.

mod batches;
mod cron;
mod ids;
mod jobs;
mod scans;
mod whole;

use crate::openapi::Routes;

/// Adds the operations. The names `cron` and `batches` are no queues' here.
pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let routes = cron::schemas(whole::schemas(jobs::schemas(routes)));
    let routes = jobs::add(whole::add(routes));
    cron::add(batches::change(scans::add(batches::show(routes))))
}
