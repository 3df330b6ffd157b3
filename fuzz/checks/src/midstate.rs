//! Saved states of a running hash.

use wharfinger_oci::{Algorithm, Digest, Hasher};

/// `data` is a saved state of any origin: taken up or refused, and a hash that was taken up goes on without a panic.
/// Then it is content with the place of a cut before it (2 bytes): a state saved there and taken up gives the digest
/// of the whole.
pub fn check(data: &[u8]) {
    if let Ok(mut hasher) = Hasher::resume(data) {
        assert_eq!(hasher.midstate(), data, "a state that was taken up saves as another");
        hasher.update(&[0; 300]);
        let algorithm = hasher.algorithm();
        assert_eq!(hasher.finish().algorithm(), algorithm);
    }
    let (cut, content) = crate::head(data);
    let cut = usize::from(u16::from_le_bytes(cut)) % (content.len() + 1);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        check_cut(algorithm, content, cut);
    }
}

fn check_cut(algorithm: Algorithm, content: &[u8], cut: usize) {
    let mut first = Hasher::new(algorithm);
    first.update(&content[..cut]);
    let saved = first.midstate();
    let Ok(mut second) = Hasher::resume(&saved) else { panic!("our own state is refused at {cut}") };
    second.update(&content[cut..]);
    assert_eq!(second.finish(), Digest::of(algorithm, content), "cut at {cut}");
    assert!(Hasher::resume(&saved[..saved.len() - 1]).is_err(), "a torn state is taken up");
}
