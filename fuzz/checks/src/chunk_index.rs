//! Stored chunk indexes.

use wharfinger_registry::blob::chunk_index::{CHUNK, ChunkIndex, ChunkIndexer, crc32c};

/// `data` is an index of any origin, as it is and with a right checksum after it: what decodes encodes to the same
/// bytes. Then it is content with a repeat count and a cut before it: its index reads back, however it was fed.
pub fn check(data: &[u8]) {
    check_stored(data);
    let mut sealed = data.to_vec();
    sealed.extend_from_slice(&crc32c(data).to_le_bytes());
    check_stored(&sealed);

    let ([repeats, low, high], content) = crate::head(data);
    // Some inputs cross chunks; most stay small, to be quick.
    let repeats = if repeats == b'R' { CHUNK as usize / content.len().max(1) + 2 } else { 1 };
    let content = if content.is_empty() { Vec::new() } else { content.repeat(repeats) };
    check_content(&content, usize::from(u16::from_le_bytes([low, high])) * repeats);
}

fn check_stored(stored: &[u8]) {
    let Some(index) = ChunkIndex::decode(stored) else { return };
    assert_eq!(index.encode(), stored);
    assert_eq!(stored.len(), ChunkIndex::encoded_size(index.size()));
    let chunks = index.size().div_ceil(CHUNK);
    assert!(index.checksum(chunks).is_none());
    assert!(chunks == 0 || index.checksum(chunks - 1).is_some());
}

fn check_content(content: &[u8], cut: usize) {
    let mut whole = ChunkIndexer::new();
    whole.update(content);
    let mut parts = ChunkIndexer::new();
    let (first, second) = content.split_at(cut % (content.len() + 1));
    parts.update(first);
    let saved = (parts.complete().to_vec(), parts.open_state());
    let resumed = ChunkIndexer::resume(first.len() as u64, saved.0, saved.1);
    let Some(mut resumed) = resumed else { panic!("its own state was refused") };
    resumed.update(second);
    parts.update(second);
    let index = whole.finish();
    assert_eq!(index.size(), content.len() as u64);
    assert_eq!(parts.finish(), index);
    assert_eq!(resumed.finish(), index);
    for (chunk, bytes) in (0u64..).zip(content.chunks(CHUNK as usize)) {
        assert_eq!(index.checksum(chunk), Some(crc32c(bytes)));
    }
    assert_eq!(ChunkIndex::decode(&index.encode()), Some(index));
}
