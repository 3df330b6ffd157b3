//! Byte ranges: RFC 9110 `Range` of a pull, and the distribution specification's `Content-Range` of a chunk.

/// A header is not a range that we can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a range: expected two byte offsets, e.g. 0-1023")]
pub struct RangeError;

/// One range of a `Range: bytes=...` header (RFC 9110, section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `first-last`, `first-` (then `last` is `u64::MAX`): inclusive offsets.
    FromTo(u64, u64),
    /// `-n`: the last n bytes.
    Suffix(u64),
}

/// What a `Range` header asks of content of a known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// No range, or one that RFC 9110 says to ignore (other unit, several ranges, malformed): send everything.
    Whole,
    /// Send this part: first offset and length (at least 1).
    Part(u64, u64),
    /// Answer 416.
    Unsatisfiable,
}

impl ByteRange {
    /// Parses the header. `None` where RFC 9110 lets the server ignore it: another unit, or several ranges.
    pub fn parse(header: &str) -> Option<Result<ByteRange, RangeError>> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
            return None;
        }
        Some(Self::parse_spec(set.trim()))
    }

    fn parse_spec(spec: &str) -> Result<ByteRange, RangeError> {
        let (first, last) = spec.split_once('-').ok_or(RangeError)?;
        match (first.is_empty(), last.is_empty()) {
            (true, true) => Err(RangeError),
            (true, false) => Ok(ByteRange::Suffix(number(last)?)),
            (false, true) => Ok(ByteRange::FromTo(number(first)?, u64::MAX)),
            (false, false) => Ok(ByteRange::FromTo(number(first)?, number(last)?)),
        }
    }

    /// What `header` asks of content of `size` bytes.
    pub fn resolve(header: Option<&str>, size: u64) -> Requested {
        match header.and_then(ByteRange::parse) {
            None => Requested::Whole,
            // An inverted or unreadable byte range cannot be satisfied; answering 200 would hide the mistake.
            Some(Err(RangeError)) => Requested::Unsatisfiable,
            Some(Ok(ByteRange::FromTo(first, last))) if first >= size || last < first => {
                Requested::Unsatisfiable
            }
            Some(Ok(ByteRange::FromTo(first, last))) => {
                Requested::Part(first, last.min(size - 1) - first + 1)
            }
            Some(Ok(ByteRange::Suffix(0))) => Requested::Unsatisfiable,
            Some(Ok(ByteRange::Suffix(_))) if size == 0 => Requested::Unsatisfiable,
            Some(Ok(ByteRange::Suffix(length))) => {
                let length = length.min(size);
                Requested::Part(size - length, length)
            }
        }
    }
}

/// The `Content-Range: <start>-<end>` of an uploaded chunk: inclusive offsets
/// (distribution-spec, "Pushing a blob in chunks": `^[0-9]+-[0-9]+$`, not RFC 9110's form).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset of the last byte; never below `start`.
    pub end: u64,
}

impl ContentRange {
    /// Parses the header.
    pub fn parse(header: &str) -> Result<ContentRange, RangeError> {
        let (start, end) = header.split_once('-').ok_or(RangeError)?;
        let range = ContentRange { start: number(start)?, end: number(end)? };
        if range.end < range.start || range.end == u64::MAX { Err(RangeError) } else { Ok(range) }
    }

    /// Bytes in the range.
    pub fn length(&self) -> u64 {
        self.end - self.start + 1
    }
}

/// Digits only: `u64::from_str` would also take a leading `+`.
fn number(text: &str) -> Result<u64, RangeError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RangeError);
    }
    text.parse().map_err(|_| RangeError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_resolve_against_the_size() {
        let resolve = |header, size| ByteRange::resolve(Some(header), size);
        assert_eq!(resolve("bytes=0-9", 100), Requested::Part(0, 10));
        assert_eq!(resolve("bytes=90-200", 100), Requested::Part(90, 10));
        assert_eq!(resolve("bytes=90-", 100), Requested::Part(90, 10));
        assert_eq!(resolve("bytes=-10", 100), Requested::Part(90, 10));
        assert_eq!(resolve("bytes=-1000", 100), Requested::Part(0, 100));
        for header in
            ["bytes=100-", "bytes=100-200", "bytes=9-0", "bytes=-0", "bytes=x-y", "bytes=", "bytes=+1-2"]
        {
            assert_eq!(resolve(header, 100), Requested::Unsatisfiable, "{header}");
        }
        assert_eq!(resolve("bytes=0-0", 0), Requested::Unsatisfiable);
        for header in ["items=0-9", "bytes=0-1,5-6", "nonsense"] {
            assert_eq!(resolve(header, 100), Requested::Whole, "{header}");
        }
        assert_eq!(ByteRange::resolve(None, 100), Requested::Whole);
    }

    #[test]
    fn chunk_ranges_are_inclusive() {
        assert_eq!(ContentRange::parse("0-9").unwrap().length(), 10);
        for header in
            ["", "bytes 5-9/*", "bytes=5-9", "0 - 9", "9-0", "a-b", "1", "-1", "1-", "0-18446744073709551615"]
        {
            assert!(ContentRange::parse(header).is_err(), "{header}");
        }
    }
}
