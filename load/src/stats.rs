//! Percentiles, medians and ratios.

use serde::Serialize;

/// The middle, smallest and largest of some figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`; `None` when there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) };
        Some(Spread { median, min, max })
    }
}

/// The value that at least `per_cent` of `samples` do not exceed (nearest rank); 0 when there are none.
/// Reorders `samples`.
pub(crate) fn percentile(samples: &mut [u64], per_cent: f64) -> u64 {
    if samples.is_empty() {
        return 0;
    }
    let rank = (per_cent / 100.0 * samples.len() as f64).ceil() as usize;
    let index = rank.clamp(1, samples.len()) - 1;
    *samples.select_nth_unstable(index).1
}

/// Each round's `values` over the same round's `base`, then their spread: two figures of different rounds are
/// never divided, because the machine's speed moves between rounds.
pub(crate) fn ratio(values: &[f64], base: &[f64]) -> Option<Spread> {
    let ratios: Vec<f64> = values.iter().zip(base).filter(|(_, b)| **b > 0.0).map(|(v, b)| v / b).collect();
    Spread::of(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let mut samples: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut samples, 50.0), 50);
        assert_eq!(percentile(&mut samples, 99.0), 99);
        assert_eq!(percentile(&mut samples, 100.0), 100);
        assert_eq!(percentile(&mut samples, 0.0), 1);
        assert_eq!(percentile(&mut [7], 99.0), 7);
        assert_eq!(percentile(&mut [1, 2], 99.0), 2);
        assert_eq!(percentile(&mut [], 99.0), 0);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(Spread::of(&[4.0, 1.0, 3.0, 2.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of(&[5.0]), Some(Spread { median: 5.0, min: 5.0, max: 5.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The medians of both are 2, yet one was twice as fast in the middle round.
        let spread = ratio(&[1.0, 4.0, 3.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { median: 1.0, min: 1.0, max: 2.0 });
    }

    #[test]
    fn a_missing_base_gives_no_ratio() {
        assert_eq!(ratio(&[1.0], &[]), None);
        assert_eq!(ratio(&[1.0], &[0.0]), None);
    }
}
