//! The 198 features that `propense bench` measures: what a marketer's automatic set holds.

const EVENTS: [&str; 7] = ["*", "app_open", "view_item", "search", "add_to_cart", "purchase", "push_opened"];
const WINDOWS: [&str; 9] = ["1d", "3d", "7d", "14d", "30d", "90d", "180d", "365d", ""];

fn over(call: &str, windows: &[&str], filter: &str) -> Vec<String> {
    let argument = |window: &&str| if window.is_empty() { String::new() } else { format!(", '{window}'") };
    windows.iter().map(|window| format!("{call}{}){filter}", argument(window))).collect()
}

/// A call, without its bracket closed, over each of nine windows.
pub(crate) fn windowed(call: &str, filter: &str) -> Vec<String> {
    over(call, &WINDOWS, filter)
}

fn of_categories(event: &str, windows: &[&str]) -> Vec<String> {
    let of =
        |category| over(&format!("count({event}"), windows, &format!(" FILTER (WHERE category = 'c{category:02}')"));
    (0..4).flat_map(of).collect()
}

/// The features' texts, in the order of the benchmark.
pub(crate) fn features() -> Vec<String> {
    let mut texts = Vec::new();
    let mut add = |more: Vec<String>| texts.extend(more);
    let calls = EVENTS.map(|event| format!("count({event}"));
    add(calls.iter().flat_map(|call| windowed(call, "")).collect());
    let calls = ["sum", "mean", "max"].map(|function| format!("{function}(purchase.amount"));
    add(calls.iter().flat_map(|call| windowed(call, "")).collect());
    add(over("std(purchase.amount", &["90d", "365d", ""], ""));
    add(["first(purchase.amount)", "last(purchase.amount)"].map(str::to_owned).to_vec());
    let calls = ["view_item", "purchase"].map(|event| format!("distinct({event}.category"));
    add(calls.iter().flat_map(|call| windowed(call, "")).collect());
    add(windowed("active_days(*", ""));
    add(over("active_days(app_open", &["7d", "30d", "90d", "365d", ""], ""));
    for function in ["recency", "tenure", "gap_mean"] {
        add(EVENTS.iter().map(|event| format!("{function}({event})")).collect());
    }
    add(of_categories("view_item", &["7d", "30d", "90d", ""]));
    add(of_categories("purchase", &["30d", "90d", "365d", ""]));
    for event in ["*", "purchase"] {
        add([0, 6, 12, 18].map(|from| format!("hour_share({event}, {from}, {})", from + 5)).to_vec());
    }
    add(["*", "purchase"].map(|event| format!("weekday_share({event}, 6, 7)")).to_vec());
    for event in ["*", "app_open", "view_item", "purchase"] {
        add(["7d", "30d"].map(|half_life| format!("decayed_count({event}, '{half_life}')")).to_vec());
    }
    texts
}
