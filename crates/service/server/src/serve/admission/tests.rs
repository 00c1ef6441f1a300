use super::*;
use crate::serve::tests::settings;

/// A limit of that many connections per address.
fn admission(most_of_one: usize) -> Admission {
    let mut settings = settings(Duration::ZERO);
    settings.bounds.max_connections_per_address = most_of_one;
    Admission::new(&settings)
}

fn peer(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 1)
}

/// Returns the ids of that many tasks.
async fn ids(count: usize) -> Vec<Id> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let task = tokio::spawn(async {});
        ids.push(task.id());
        task.await.unwrap();
    }
    ids
}

#[tokio::test]
async fn a_share_is_a_networks_and_is_given_back() {
    let mut admission = admission(2);
    for (same, other) in [
        (["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], "192.0.2.2"),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], "2001:db8:0:1::1"),
    ] {
        let tickets = same[..2].iter().map(|address| admission.admit(peer(address)).unwrap()).collect::<Vec<_>>();
        assert!(admission.admit(peer(same[2])).is_none(), "{same:?}");
        assert!(admission.admit(peer(other)).is_some(), "{other}");
        let ids = ids(2).await;
        let mut busy = Vec::new();
        for (id, ticket) in ids.iter().zip(tickets) {
            let arrivals = Arrivals::new(Duration::ZERO);
            busy.push(arrivals.request().1);
            admission.served(*id, ticket, arrivals, Arc::default());
        }
        assert!(admission.admit(peer(same[2])).is_none(), "both are busy: {same:?}");
        admission.gone(ids[0]);
        assert!(admission.admit(peer(same[2])).is_some(), "{same:?}");
        assert!(admission.admit(peer(same[2])).is_none(), "{same:?}");
    }
}

fn is_told(leave: &Notify) -> bool {
    std::pin::pin!(leave.notified()).as_mut().enable()
}

#[tokio::test]
async fn what_an_address_does_not_use_makes_room_for_itself() {
    let mut admission = admission(3);
    let ids = ids(4).await;
    let mut leaves = Vec::new();
    let mut busy = None;
    for (nth, id) in ids[..3].iter().enumerate() {
        let (arrivals, leave) = (Arrivals::new(Duration::ZERO), Arc::new(Notify::new()));
        // The first one is busy. Of the others, the one that came first has been idle longest.
        if nth == 0 {
            busy = Some(arrivals.request().1);
        }
        let ticket = admission.admit(peer("192.0.2.1")).expect("there is room");
        admission.served(*id, ticket, arrivals, Arc::clone(&leave));
        leaves.push(leave);
    }
    let ticket = admission.admit(peer("192.0.2.1")).expect("it idles");
    assert_eq!(leaves.iter().map(|leave| is_told(leave)).collect::<Vec<_>>(), [false, true, false]);
    // A connection that was asked to leave is not counted a second time when it closes.
    admission.gone(ids[1]);
    let arrivals = Arrivals::new(Duration::ZERO);
    let other = arrivals.request().1;
    admission.served(ids[3], ticket, arrivals, Arc::default());
    assert!(admission.admit(peer("192.0.2.1")).is_some(), "the last idle one");
    assert!(is_told(&leaves[2]));
    assert!(admission.admit(peer("192.0.2.1")).is_none(), "those left are busy, or not served yet");
    drop((busy, other));
}

#[tokio::test]
async fn who_has_most_makes_room_first() {
    let mut admission = admission(512);
    let mut leaves = Vec::new();
    for (address, id) in ["192.0.2.1", "192.0.2.2", "192.0.2.2"].into_iter().zip(ids(3).await) {
        let ticket = admission.admit(peer(address)).unwrap();
        let leave = Arc::new(Notify::new());
        admission.served(id, ticket, Arrivals::new(Duration::ZERO), Arc::clone(&leave));
        leaves.push(leave);
    }
    assert!(admission.make_room());
    assert_eq!(
        leaves.iter().map(|leave| is_told(leave)).collect::<Vec<_>>(),
        [false, true, false],
        "not who idles longest"
    );
}

#[tokio::test]
async fn nobody_is_kept_in_mind_who_is_gone() {
    let mut admission = admission(512);
    for (nth, id) in ids(100).await.into_iter().enumerate() {
        let ticket = admission.admit(peer(&format!("192.0.2.{nth}"))).unwrap();
        admission.served(id, ticket, Arrivals::new(Duration::ZERO), Arc::default());
        admission.gone(id);
    }
    assert!(admission.shares.is_empty() && admission.places.is_empty());
}

#[test]
fn many_lie_behind_a_trusted_proxy() {
    let mut settings = settings(Duration::ZERO);
    settings.bounds.max_connections_per_address = 1;
    settings.proxies = TrustedProxies::parse("10.0.0.0/8,2001:db8::/32").unwrap();
    let mut admission = Admission::new(&settings);
    for proxy in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"] {
        assert!((0..100).all(|_| admission.admit(peer(proxy)).is_some()), "{proxy}");
    }
}

#[tokio::test]
async fn the_one_that_idles_longest_leaves_and_none_that_is_busy() {
    let mut admission = admission(1_000);
    let mut places = Vec::new();
    for id in ids(3 * AT_A_LOOK).await {
        let (arrivals, leave) = (Arrivals::new(Duration::ZERO), Arc::new(Notify::new()));
        let ticket = admission.admit(peer("192.0.2.1")).unwrap();
        admission.served(id, ticket, arrivals.clone(), Arc::clone(&leave));
        places.push((id, arrivals, leave));
    }
    // Every third connection gets a request. Two of the requests end: their connections have been
    // idle for the shortest time.
    let mut exchanges: Vec<_> = places.iter().step_by(3).map(|(_, arrivals, _)| arrivals.request().1).collect();
    for exchange in exchanges.split_off(exchanges.len() - 2) {
        drop(exchange.asking(axum::body::Body::empty()));
        drop(exchange.answering(axum::body::Body::empty()));
    }
    let mut order = Vec::new();
    for _ in 0..places.len() - exchanges.len() {
        assert!(admission.make_room());
        let nth = places.iter().position(|(_, _, leave)| is_told(leave)).expect("one is told");
        admission.gone(places[nth].0);
        order.push(nth);
    }
    assert!(!admission.make_room(), "the rest is busy");
    let never_asked = (0..places.len()).filter(|nth| nth % 3 != 0);
    let asked = (0..places.len()).step_by(3).skip(exchanges.len());
    assert_eq!(order, never_asked.chain(asked).collect::<Vec<_>>());
}
