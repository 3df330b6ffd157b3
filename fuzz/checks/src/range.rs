//! `Range` of a pull and `Content-Range` of a pushed chunk.

use wharfinger_oci::range::Requested;
use wharfinger_oci::{ByteRange, ContentRange};

/// `data` is a size (8 bytes, little-endian), then a header. A part lies inside the content and holds what RFC 9110
/// says; a chunk's range prints as it was read.
pub fn check(data: &[u8]) {
    let (size, header) = crate::head(data);
    let Ok(header) = std::str::from_utf8(header) else { return };
    for size in [u64::from_le_bytes(size), 0, 1, u64::MAX] {
        check_part(header, size);
    }
    if let Ok(range) = ContentRange::parse(header) {
        assert!(range.start <= range.end);
        assert_eq!(range.start.checked_add(range.length()), range.end.checked_add(1));
        let printed = format!("{}-{}", range.start, range.end);
        assert_eq!(ContentRange::parse(&printed), Ok(range));
    }
}

fn check_part(header: &str, size: u64) {
    let parsed = ByteRange::parse(header);
    match ByteRange::resolve(Some(header), size) {
        Requested::Whole => assert!(parsed.is_none(), "{header:?} sends everything"),
        Requested::Unsatisfiable => assert!(parsed.is_some(), "{header:?} is refused"),
        Requested::Part(first, length) => {
            assert!(length > 0, "{header:?} of {size} is empty");
            let Some(end) = first.checked_add(length).filter(|end| *end <= size) else {
                panic!("{header:?} of {size} leaves the content: {length} bytes from {first}")
            };
            match parsed {
                Some(Ok(ByteRange::FromTo(from, to))) => {
                    assert_eq!((first, end - 1), (from, to.min(size - 1)));
                }
                Some(Ok(ByteRange::Suffix(wanted))) => assert_eq!((end, length), (size, wanted.min(size))),
                other => panic!("{header:?} is {other:?}, yet a part is sent"),
            }
        }
    }
}
