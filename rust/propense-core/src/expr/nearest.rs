//! The known name that a misspelt one was probably meant to be.

/// The candidate closest to a name by edit distance, if it is close enough to be worth proposing.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = name.to_lowercase();
    let length = lower.chars().count();
    let allowed = (name.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (candidate.to_lowercase(), candidate))
        // The difference in length is a distance at least: a name of megabytes takes no table of them.
        .filter(|(candidate, _)| candidate.chars().count().abs_diff(length) <= allowed)
        .map(|(lower_candidate, candidate)| (strsim::damerau_levenshtein(&lower, &lower_candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, candidate)| candidate.to_owned())
}

/// The question that follows what is said of an unknown name; empty if no name is near.
#[must_use]
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_is_proposed_if_any_is_close() {
        let names = ["at_risk", "vip", "buys.most_likely"];
        let proposed = |name: &str| nearest(name, names);
        assert_eq!(proposed("at_rsik"), Some("at_risk".to_owned()));
        assert_eq!(proposed("VIPS"), Some("vip".to_owned()));
        assert_eq!(proposed("buys.most"), None);
        assert_eq!(proposed("buys_most_likly"), Some("buys.most_likely".to_owned()));
        assert_eq!(proposed("wxyz"), None);
        assert_eq!(nearest("vip", []), None);
    }

    #[test]
    fn a_name_of_megabytes_is_near_to_none_at_once() {
        assert_eq!(nearest(&"vip".repeat(1 << 20), ["vip", "at_risk"]), None);
    }
}
