//! Stocks: a quantity with reservations.

use std::time::Duration;

use tidegate_sync::{Counts, Ended, Reserve, Stock, StockError, Swept};

use crate::support::Bench;

const TTL: Duration = Duration::from_secs(600);

async fn counts(stock: &Stock) -> [u64; 3] {
    let Counts { available, reserved, sold, total, .. } = stock.counts().await.unwrap();
    assert_eq!(available + reserved + sold, total);
    [available, reserved, sold]
}

async fn reserve(stock: &Stock, id: &str, quantity: u64) -> Reserve {
    stock.reserve(id, quantity, TTL).await.unwrap()
}

pub async fn what_is_confirmed_is_sold(bench: Bench) {
    let stock = bench.stock(10).await;
    assert_eq!(reserve(&stock, "a", 3).await, Reserve::Reserved { expires_in: TTL });
    assert_eq!(counts(&stock).await, [7, 3, 0]);
    stock.confirm("a").await.unwrap();
    stock.confirm("a").await.unwrap();
    assert_eq!(counts(&stock).await, [7, 0, 3]);
    assert!(matches!(stock.release("a").await, Err(StockError::Confirmed { .. })));
    bench.advance(TTL * 2).await;
    stock.sweep(100).await.unwrap();
    assert_eq!(counts(&stock).await, [7, 0, 3]);
}

pub async fn what_is_released_is_available_again(bench: Bench) {
    let stock = bench.stock(10).await;
    let _ = reserve(&stock, "a", 10).await;
    stock.release("a").await.unwrap();
    stock.release("a").await.unwrap();
    assert_eq!(counts(&stock).await, [10, 0, 0]);
    assert!(matches!(stock.confirm("a").await, Err(StockError::Released { .. })));
    assert_eq!(reserve(&stock, "a", 10).await, Reserve::Ended(Ended::Released));
    assert_eq!(stock.counts().await.unwrap().released, 10);
}

pub async fn all_or_nothing_is_reserved(bench: Bench) {
    let stock = bench.stock(10).await;
    let _ = reserve(&stock, "a", 8).await;
    assert_eq!(reserve(&stock, "b", 3).await, Reserve::SoldOut { left: 2 });
    assert_eq!(reserve(&stock, "c", 2).await, Reserve::Reserved { expires_in: TTL });
    assert_eq!(reserve(&stock, "d", 1).await, Reserve::SoldOut { left: 0 });
    // The sold-out result is not stored.
    stock.release("a").await.unwrap();
    assert_eq!(reserve(&stock, "d", 1).await, Reserve::Reserved { expires_in: TTL });
}

pub async fn the_same_id_gets_the_same_answer(bench: Bench) {
    let stock = bench.stock(10).await;
    for _ in 0..3 {
        assert_eq!(reserve(&stock, "a", 4).await, Reserve::Reserved { expires_in: TTL });
    }
    assert_eq!(counts(&stock).await, [6, 4, 0]);
    bench.advance(TTL / 4).await;
    assert_eq!(reserve(&stock, "a", 4).await, Reserve::Reserved { expires_in: TTL * 3 / 4 });
    stock.confirm("a").await.unwrap();
    assert_eq!(reserve(&stock, "a", 4).await, Reserve::Ended(Ended::Confirmed));
    stock.add("first", 10).await.unwrap();
    assert_eq!(counts(&stock).await, [6, 0, 4]);
    stock.add("second", 5).await.unwrap();
    assert_eq!(counts(&stock).await, [11, 0, 4]);
}

pub async fn an_id_names_one_thing(bench: Bench) {
    let stock = bench.stock(10).await;
    let _ = reserve(&stock, "a", 4).await;
    assert!(matches!(stock.reserve("a", 5, TTL).await, Err(StockError::Reused { .. })));
    assert!(matches!(stock.reserve("first", 10, TTL).await, Err(StockError::Reused { .. })));
    assert!(matches!(stock.add("a", 4).await, Err(StockError::Reused { .. })));
    assert!(matches!(stock.add("first", 11).await, Err(StockError::Reused { .. })));
    assert!(matches!(stock.confirm("first").await, Err(StockError::NoReservation { .. })));
    assert!(matches!(stock.release("nothing").await, Err(StockError::NoReservation { .. })));
    assert_eq!(counts(&stock).await, [6, 4, 0]);
}

pub async fn an_expired_reservation_cannot_be_confirmed(bench: Bench) {
    let stock = bench.stock(10).await;
    let _ = reserve(&stock, "a", 4).await;
    let _ = reserve(&stock, "b", 4).await;
    bench.advance(TTL).await;
    let error = stock.confirm("a").await.unwrap_err();
    assert!(matches!(error, StockError::Expired { .. }));
    assert_eq!(error.to_string(), "reservation `a` has expired");
    assert_eq!(counts(&stock).await, [6, 4, 0]);
    stock.release("b").await.unwrap();
    assert_eq!(counts(&stock).await, [10, 0, 0]);
    assert_eq!(reserve(&stock, "b", 4).await, Reserve::Ended(Ended::Expired));
    assert_eq!(stock.counts().await.unwrap().expired, 8);
}

pub async fn abandoned_reservations_return_before_anybody_is_told_that_it_is_sold_out(bench: Bench) {
    let stock = bench.stock(60).await;
    for nth in 0..60 {
        let _ = reserve(&stock, &nth.to_string(), 1).await;
    }
    assert_eq!(reserve(&stock, "all", 60).await, Reserve::SoldOut { left: 0 });
    bench.advance(TTL).await;
    assert_eq!(counts(&stock).await, [0, 60, 0]);
    assert_eq!(reserve(&stock, "all", 60).await, Reserve::Reserved { expires_in: TTL });
    assert_eq!(counts(&stock).await, [0, 60, 0]);
}

pub async fn a_sweep_is_bounded(bench: Bench) {
    let stock = bench.stock(50).await;
    for nth in 0..50 {
        let _ = reserve(&stock, &nth.to_string(), 1).await;
    }
    bench.advance(TTL).await;
    assert_eq!(stock.sweep(20).await.unwrap(), Swept { expired: 20, forgotten: 0 });
    assert_eq!(counts(&stock).await, [20, 30, 0]);
    assert_eq!(stock.sweep(20).await.unwrap(), Swept { expired: 20, forgotten: 0 });
    assert_eq!(stock.sweep(20).await.unwrap(), Swept { expired: 10, forgotten: 0 });
    assert_eq!(counts(&stock).await, [50, 0, 0]);
}

pub async fn ids_are_forgotten_after_the_horizon(bench: Bench) {
    let stock = bench.stock(10).await.horizon(TTL * 3);
    stock.add("batch", 5).await.unwrap();
    let _ = reserve(&stock, "a", 1).await;
    stock.confirm("a").await.unwrap();
    bench.advance(TTL * 3 - Duration::from_micros(1)).await;
    assert_eq!(stock.sweep(1_000_000).await.unwrap(), Swept::default());
    assert_eq!(reserve(&stock, "a", 1).await, Reserve::Ended(Ended::Confirmed));
    bench.advance(Duration::from_micros(1)).await;
    assert_eq!(stock.sweep(1_000).await.unwrap(), Swept { expired: 0, forgotten: 1 });
    assert_eq!(reserve(&stock, "a", 1).await, Reserve::Reserved { expires_in: TTL });
    assert_eq!(counts(&stock).await, [13, 1, 1]);
    stock.add("batch", 5).await.unwrap();
    assert_eq!(counts(&stock).await, [13, 1, 1], "an addition is never forgotten");
}

pub async fn of_a_hundred_at_once_as_many_get_it_as_there_are(bench: Bench) {
    let stock = bench.stock(30).await;
    let tasks: Vec<_> = (0..100)
        .map(|nth| {
            let stock = stock.clone();
            tokio::spawn(async move { reserve(&stock, &format!("user-{nth}"), 1).await })
        })
        .collect();
    let mut got = 0;
    for task in tasks {
        got += u32::from(matches!(task.await.unwrap(), Reserve::Reserved { .. }));
    }
    assert_eq!(got, 30);
    assert_eq!(counts(&stock).await, [0, 30, 0]);
}

pub async fn quantities_are_checked(bench: Bench) {
    let stock = bench.stock(10).await;
    for quantity in [0, 1 << 53, u64::MAX] {
        assert!(matches!(stock.reserve("a", quantity, TTL).await, Err(StockError::Quantity(_))), "{quantity}");
        assert!(matches!(stock.add("a", quantity).await, Err(StockError::Quantity(_))), "{quantity}");
    }
    let most = (1 << 53) - 1;
    assert!(matches!(stock.add("more", most).await, Err(StockError::Quantity(_))));
    stock.add("more", most - 10).await.unwrap();
    assert_eq!(reserve(&stock, "all", most).await, Reserve::Reserved { expires_in: TTL });
    stock.confirm("all").await.unwrap();
    assert_eq!(counts(&stock).await, [0, 0, most]);
}

pub async fn a_removed_stock_is_gone(bench: Bench) {
    let stock = bench.stock(10).await;
    let _ = reserve(&stock, "a", 1).await;
    stock.remove().await.unwrap();
    assert!(matches!(stock.counts().await, Err(StockError::NoStock { .. })));
    assert!(matches!(stock.reserve("b", 1, TTL).await, Err(StockError::NoStock { .. })));
    assert!(matches!(stock.confirm("a").await, Err(StockError::NoReservation { .. })));
    assert_eq!(stock.sweep(10).await.unwrap(), Swept::default());
}
