//! Charts as SVG, each with its figures as text. The policy of the pages forbids inline styles.

use maud::{Markup, html};
use tidegate_perfmon::Slot;

use super::text;

const WIDTH: usize = 120;
const HEIGHT: f64 = 24.0;
/// Space for the line itself at the top and at the bottom.
const MARGIN: f64 = 2.0;
/// Number of shades of a cell in the heat map, beside none.
const SHADES: u32 = 5;

/// Returns the points of a line through the counts, with the highest count at the top.
#[expect(clippy::cast_precision_loss, reason = "places on a screen")]
pub(super) fn points(slots: &[Slot]) -> String {
    let most = slots.iter().map(|slot| slot.count).max().unwrap_or(0).max(1) as f64;
    let step = WIDTH as f64 / slots.len().saturating_sub(1).max(1) as f64;
    let point = |(at, slot): (usize, &Slot)| {
        let y = HEIGHT - MARGIN - slot.count as f64 / most * (HEIGHT - 2.0 * MARGIN);
        format!("{:.1},{y:.1}", at as f64 * step)
    };
    slots.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

/// Returns the highest count of a second, in words.
pub(super) fn peak(slots: &[Slot]) -> String {
    format!("peak {}/s", slots.iter().map(|slot| slot.count).max().unwrap_or(0))
}

/// A line over the last minute. `key` names the element whose points are updated.
pub(super) fn sparkline(key: &str, what: &str, points: &str, peak: &str) -> Markup {
    html! {
        div.trace {
            svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label={ "Requests per second to " (what) " in the last 60 s" } {
                title { "Requests per second to " (what) " in the last 60 s" }
                polyline points=(points) data-live-points=(key) {}
            }
            span.note data-live={ "peak " (key) } { (peak) }
        }
    }
}

/// Minutes from left to right, latency from bottom to top. More requests make a stronger colour.
pub(super) fn heat_map(minutes: &[Slot]) -> Markup {
    let most = minutes.iter().flat_map(|slot| slot.buckets).max().unwrap_or(0);
    let labels = labels();
    let columns = minutes.len();
    html! {
        div.heat {
            ol aria-hidden="true" { @for label in labels.iter().rev() { li { (label) } } }
            svg viewBox={ "0 0 " (columns) " " (Slot::BUCKETS) } preserveAspectRatio="none" role="img" aria-label="Requests by latency in each of the last 60 minutes; the table below has the figures" {
                @for (x, slot) in minutes.iter().enumerate() {
                    @for (bucket, &count) in slot.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
                        rect x=(x) y=(Slot::BUCKETS - 1 - bucket) width="0.92" height="0.92" class={ "heat-" (shade(count, most)) } {
                            title { (count) " × " (labels[bucket]) ", " (ago(columns - 1 - x)) }
                        }
                    }
                }
            }
            div.axis { span { "60 min ago" } span { "30" } span { "now" } }
        }
        @if most > 0 { p.key {
            "1 " svg viewBox="0 0 5 1" preserveAspectRatio="none" aria-hidden="true" {
                @for shade in 1..=SHADES { rect x=(shade - 1) y="0" width="1" height="1" class={ "heat-" (shade) } {} }
            }
            " " (most) " requests"
        } }
        details {
            summary { "Figures as a table" }
            @if most == 0 {
                p.none { "No requests in the last 60 minutes." }
            } @else {
                div.wide tabindex="0" role="region" aria-label="Requests by latency and minute" {
                    table {
                        caption.visually-hidden { "Requests by latency and minute, without empty minutes" }
                        thead { tr { th scope="col" { "Minute" } @for label in &labels { th.number scope="col" { (label) } } } }
                        tbody {
                            @for (x, slot) in minutes.iter().enumerate().rev().filter(|(_, slot)| slot.count > 0) {
                                tr {
                                    th scope="row" { (ago(columns - 1 - x)) }
                                    @for count in slot.buckets { td.number { @if count > 0 { (count) } @else { (text::NONE) } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn labels() -> Vec<String> {
    let bounds = Slot::BOUNDS.iter().map(|bound| format!("≤ {}", short(bound.as_secs_f64())));
    bounds.chain(Slot::BOUNDS.last().map(|bound| format!("> {}", short(bound.as_secs_f64())))).collect()
}

fn short(seconds: f64) -> String {
    if seconds < 1.0 { format!("{} ms", seconds * 1_000.0) } else { format!("{seconds} s") }
}

fn ago(minutes: usize) -> String {
    if minutes == 0 { "now".to_owned() } else { format!("{minutes} min ago") }
}

/// On a logarithmic scale, because a few slow requests among many fast ones are the interesting
/// ones.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 1, times 5"
)]
fn shade(count: u64, most: u64) -> u32 {
    let share = ((count + 1) as f64).ln() / ((most + 1) as f64).ln();
    ((share * f64::from(SHADES)).ceil() as u32).clamp(1, SHADES)
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::{ManualClock, Registry, StatusClass, Window};

    use super::*;

    #[test]
    fn shades_go_by_the_logarithm_and_none_is_invisible() {
        assert_eq!(
            [shade(1, 1), shade(1, 1_000_000), shade(1_000, 1_000_000), shade(1_000_000, 1_000_000)],
            [5, 1, 3, 5]
        );
    }

    #[test]
    fn a_line_stays_within_its_picture() {
        let registry = Registry::builder().clock(ManualClock::new()).build();
        let none = registry.slots(None, Window::Seconds(60));
        assert_eq!(points(&none).split(' ').count(), 60);
        assert!(points(&none).starts_with("0.0,22.0 ") && points(&none).ends_with("120.0,22.0"));
        for _ in 0..7 {
            registry.endpoint("GET", "/").record(StatusClass::Success, std::time::Duration::ZERO);
        }
        registry.tick(std::time::Duration::from_secs(1));
        let slots = registry.slots(None, Window::Seconds(60));
        assert!(points(&slots).ends_with("120.0,2.0"), "{}", points(&slots));
        assert_eq!(peak(&slots), "peak 7/s");
    }
}
