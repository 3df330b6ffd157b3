//! Numbers for people.

/// `12.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Whole per cent; all of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    (part * 100).checked_div(whole).unwrap_or(100)
}

/// `38 of 40 (95 %)`.
pub(crate) fn share(part: u64, whole: u64) -> String {
    format!("{part} of {whole} ({} %)", percent(part, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_that_suits() {
        for (bytes, expected) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn shares_are_told_beside_what_they_are_of() {
        assert_eq!((share(37, 40), share(0, 0)), ("37 of 40 (92 %)".to_owned(), "0 of 0 (100 %)".to_owned()));
    }
}
