use std::collections::BTreeSet;

use super::{Common, common, pages, single};

const ROUTES: &str = "
    pub(crate) fn router(app: &App) -> Router {
        let front = RateLimitLayer::with_policy(limits::Front(*app)).reject_with(limits::refuse);
        let guarded = outermost(app, guarded, (fn_layer(*app, client::layer), front, fn_layer(*app, shed::layer)));
        guarded.merge(outermost(app, probes, Identity::new()))
    }

    fn outermost<L>(app: &App, routes: Router, within: L) -> Router {
        let compression = wire::Worthwhile { above: 1 };
        routes.layer((
            *app.access_log(),
            fn_layer(compression, wire::layer),
            PerfLayer::new(app.node().registry().clone(), route_of),
            MapRequestLayer::new(linger::linger),
            within,
        ))
    }";

fn of(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn layers_around_all_are_named_in_their_order() {
    let expected = Common {
        of_all: of(&["access_log", "wire", "PerfLayer", "linger"]),
        within: of(&["client", "RateLimitLayer", "shed"]),
    };
    assert_eq!(common(ROUTES), Ok(expected));
}

#[test]
fn a_layer_that_moves_is_seen() {
    let before = "fn_layer(*app, client::layer), front,";
    assert!(ROUTES.contains(before));
    let moved = common(&ROUTES.replace(before, "front, fn_layer(*app, client::layer),")).unwrap();
    assert_eq!(moved.within, ["RateLimitLayer", "client", "shed"]);
    let moved = common(&ROUTES.replace("*app.access_log(),", "").replace("within,", "*app.access_log(), within,"));
    assert_eq!(moved.unwrap().of_all, ["wire", "PerfLayer", "linger", "access_log"]);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for (from, to) in [
        ("fn outermost", "fn inmost"),
        ("within,\n", "within, fn_layer((), panics::layer),\n"),
        ("routes.layer((", "routes.layered(("),
        ("let front", "let other"),
        ("fn router", "fn routers"),
    ] {
        let text = ROUTES.replacen(from, to, 1);
        assert_ne!(text, ROUTES, "{from}");
        assert!(common(&text).is_err(), "{from}: {:?}", common(&text));
    }
}

const GUARDED: &str = "
    impl Routes {
        fn guarded(&self, operation: &Operation, route: MethodRouter<App>) -> MethodRouter<App> {
            let app = self.app;
            let timed = |route: MethodRouter<App>| {
                if operation.is_unhurried { route } else { route.route_layer(fn_layer(app, timeout::layer)) }
            };
            let needing = |route: MethodRouter<App>, need| timed(route.route_layer(fn_layer((app, need), access::layer)));
            match operation.audience {
                // A comment.
                Audience::Public | Audience::TenantOrReader => timed(route),
                Audience::TenantOrOperator => {
                    timed(route.route_layer(fn_layer(app, manager::layer)))
                }
                Audience::Reader => needing(route, Need::Read),
                Audience::Tenant if operation.is_unhurried => route.route_layer(fn_layer(app, caller::layer)),
                Audience::Tenant => route.route_layer((fn_layer(app, caller::layer), fn_layer(app, timeout::layer))),
            }
        }
    }";

#[test]
fn each_audience_has_its_layers() {
    let found = single(GUARDED).unwrap();
    let of_audience = |names: &[&str]| found.get(&of(names).into_iter().collect::<BTreeSet<_>>()).cloned();
    assert_eq!(of_audience(&["Public", "TenantOrReader"]), Some(of(&["timeout"])));
    assert_eq!(of_audience(&["TenantOrOperator"]), Some(of(&["timeout", "manager"])));
    assert_eq!(of_audience(&["Reader"]), Some(of(&["timeout", "access"])));
    assert_eq!(of_audience(&["Tenant", "is_unhurried"]), Some(of(&["caller"])));
    assert_eq!(of_audience(&["Tenant"]), Some(of(&["caller", "timeout"])));
    assert_eq!(found.len(), 5);
}

#[test]
fn calls_of_which_the_order_does_not_read_as_it_is_are_refused() {
    let chained = "Audience::Tenant => route.route_layer(fn_layer(app, caller::layer)).route_layer(fn_layer(app, timeout::layer)),";
    let text = GUARDED.replace(
        "Audience::Tenant => route.route_layer((fn_layer(app, caller::layer), fn_layer(app, timeout::layer))),",
        chained,
    );
    assert!(text.contains(chained));
    assert!(single(&text).is_err());
}

#[test]
fn of_pages_the_last_layer_is_the_outermost() {
    let text = "pub(crate) fn routes(app: &App) -> Router<App> {
        Router::new()
            .route(LIVE, get(live::follow).layer(Extension(live)))
            .layer(fn_layer(*app, timeout::layer))
            .layer(fn_layer(*app, layer))
    }";
    assert_eq!(pages(text, "pages"), Ok(of(&["pages", "timeout"])));
}
