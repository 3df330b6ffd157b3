//! The `Range` header, read as Swift reads it (`swift.common.swob.Range`).

use crate::http::Head;

/// The ranges that a request asks for; none when it asks for none, or in a way that HTTP says to ignore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(Option<u64>, Option<u64>)>);

/// What to send of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    /// All of it.
    Whole,
    /// From the first offset up to but not including the second.
    Part(u64, u64),
    /// Several parts of it: those of [`Ranges::parts`].
    Several,
    /// Nothing of it was asked for.
    Unsatisfiable,
}

impl Ranges {
    /// The ranges that a request asks for.
    pub(crate) fn of(head: &Head) -> Ranges {
        head.header("range").and_then(Ranges::parse).unwrap_or_default()
    }

    /// Takes the value of the header apart; `None` when it is not valid.
    pub(crate) fn parse(value: &str) -> Option<Ranges> {
        let value = value.replace(' ', "");
        let list = value.strip_prefix("bytes=")?;
        list.split(',').map(parse_one).collect::<Option<Vec<_>>>().map(Ranges)
    }

    /// How many ranges were asked for.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The end that the one range has, where it says one: not for suffixes and open ends.
    pub(crate) fn last_byte(&self) -> Option<u64> {
        match self.0.as_slice() {
            [(Some(_), Some(last))] => Some(*last),
            _ => None,
        }
    }

    /// The parts that there are of `size` bytes, each from an offset up to but not including another.
    pub(crate) fn parts(&self, size: u64) -> Vec<(u64, u64)> {
        self.0.iter().filter_map(|range| resolve(*range, size)).collect()
    }

    /// What to send of `size` bytes.
    pub(crate) fn select(&self, size: u64) -> Selected {
        match self.parts(size).as_slice() {
            _ if self.0.is_empty() => Selected::Whole,
            [] => Selected::Unsatisfiable,
            [(0, 0)] => Selected::Whole,
            [(start, end)] => Selected::Part(*start, *end),
            _ => Selected::Several,
        }
    }
}

fn parse_one(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    };
    match (number(first)?, number(last)?) {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        pair => Some(pair),
    }
}

fn resolve(range: (Option<u64>, Option<u64>), size: u64) -> Option<(u64, u64)> {
    match range {
        (None, Some(0)) => None,
        (None, Some(suffix)) => Some((size.saturating_sub(suffix), size)),
        (Some(first), _) if first >= size => None,
        (Some(first), Some(last)) => Some((first, size.min(last.saturating_add(1)))),
        (Some(first), None) => Some((first, size)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(value: &str, size: u64) -> Selected {
        Ranges::parse(value).unwrap_or_default().select(size)
    }

    #[test]
    fn ranges_are_read_as_swift_reads_them() {
        assert_eq!(select("bytes=0-", 10), Selected::Part(0, 10));
        assert_eq!(select("bytes=3-5", 10), Selected::Part(3, 6));
        assert_eq!(select("bytes=3-50", 10), Selected::Part(3, 10));
        assert_eq!(select("bytes=-4", 10), Selected::Part(6, 10));
        assert_eq!(select("bytes=-40", 10), Selected::Part(0, 10));
        assert_eq!(select("bytes=10-", 10), Selected::Unsatisfiable);
        assert_eq!(select("bytes=-0", 10), Selected::Unsatisfiable);
        assert_eq!(select("bytes=0-", 0), Selected::Unsatisfiable);
        assert_eq!(select("bytes=0-1,99-", 10), Selected::Part(0, 2));
        assert_eq!(select("bytes=0-1,5-", 10), Selected::Several);
        for ignored in ["bytes=5-3", "bytes=-", "bytes=45", "bytes=a-b", "items=0-1"] {
            assert_eq!(select(ignored, 10), Selected::Whole, "{ignored}");
        }
    }
}
