//! The start message for an operator: address, backends, and commands to try.

use std::net::SocketAddr;

use tidegate_base::stdout::say;
use tidegate_node::node::Node;
use tidegate_settings::{InnerWorker, OpenTenants};

/// Prints it on standard output. The log goes elsewhere.
pub(crate) fn print(address: SocketAddr, node: &Node) {
    if let Err(error) = say(&text(address, node)) {
        tracing::warn!(%error, "the banner can't be written to standard output");
    }
}

fn text(address: SocketAddr, node: &Node) -> String {
    let settings = &node.settings;
    let worker = match settings.worker {
        InnerWorker::Inner => "jobs run inside this process",
        InnerWorker::None => "jobs run in tidegate-worker processes",
    };
    let admin =
        if settings.tokens.admin.is_some() { " -H \"Authorization: Bearer $TIDEGATE_ADMIN_TOKEN\"" } else { "" };
    let (tenant, hint) = match settings.open_tenants {
        OpenTenants::Closed => {
            ("-H \"Authorization: Bearer $TENANT_KEY\"", " (TENANT_KEY is the api_key that the first answers)")
        }
        _ => ("-H 'X-Tenant-Id: acme'", ""),
    };
    let login = if settings.tokens.any() { " (log in with the admin or the read token)" } else { "" };
    let data = settings.data_dir.display();
    let tables = match &settings.database {
        None => format!("in {data} (tidegate.db)"),
        Some(database) => format!("on PostgreSQL ({})", database.url),
    };
    let runs_on = match (node.redis(), &settings.database) {
        (None, None) => {
            format!("Embedded default: SQLite in {data} (tidegate.db, queue.db), cache and limiters in memory")
        }
        (None, Some(_)) => format!("Tables {tables}, jobs in {data} (queue.db), cache and limiters in memory"),
        (Some(redis), _) => format!("Queue, limits and shared cache on {redis}, tables {tables}"),
    };
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    format!(
        "Tidegate {version} listens on {url}
{runs_on}; {worker}.
Dashboard: {url}/dashboard{login}

Try{hint}:
  curl -s{admin} {url}/api/tenants --json '{{\"id\":\"acme\",\"name\":\"Acme\",\"tier\":\"enterprise\"}}'
  curl -s {url}/api/schedules {tenant} --json '{{\"title\":\"Stand-up\",\"starts_at\":\"2030-01-07T09:00:00Z\",\"ends_at\":\"2030-01-07T09:15:00Z\"}}'
  curl -si {url}/api/schedules {tenant}",
        version = env!("CARGO_PKG_VERSION"),
    )
}
