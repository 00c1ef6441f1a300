//! When will it be full?

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use tidegate_perfmon::outlook::{Outlook, Settings};

pub(crate) fn main() {
    let mut outlook = Outlook::new(Settings::default());
    // Once a minute: bytes on a disk of 100 GB that grows by 1 % an hour, unevenly.
    for minute in 0..240_u32 {
        let gigabytes = 90.0 + f64::from(minute) / 60.0 + f64::from(minute * 7 % 5) * 0.01;
        outlook.push("disk", u64::from(minute), gigabytes, 0.05);
    }
    let trend = outlook.trend("disk").expect("four hours are enough");
    assert!(trend.is_significant());
    println!("{:.2} GB an hour", trend.slope * 60.0);
    let reach = outlook.reach("disk", 95.0).expect("it grows, and will not stop before");
    println!("95 GB in {} minutes, between {} and {:?}", reach.expected, reach.earliest, reach.latest);
    assert!((40..=80).contains(&reach.expected), "{reach:?}");
    assert_eq!(outlook.anomalies().count(), 0, "it grows as it always did");
}
