//! Sessions that begin without a record: the client carries the proof that we began them.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wharfinger_oci::RepositoryName;

use super::session::SessionId;

/// Bytes of a proof.
pub(crate) const PROOF: usize = 16;

/// What all instances on one store know and clients do not (`http.secret`).
#[derive(Clone)]
pub struct Pledge(Hmac<Sha256>);

impl Pledge {
    /// From a secret of any length; `None` for an empty one.
    pub fn new(secret: &[u8]) -> Option<Pledge> {
        // A key of its own, since the secret has other uses.
        let mut key = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        key.update(b"wharfinger upload session");
        let mac = Hmac::<Sha256>::new_from_slice(&key.finalize().into_bytes()).ok()?;
        (!secret.is_empty()).then_some(Pledge(mac))
    }

    /// The proof that this session was begun here, for this repository and identity.
    pub(crate) fn proof(&self, id: SessionId, name: &RepositoryName, identity: &str) -> [u8; PROOF] {
        let mut mac = self.0.clone();
        // None of the parts before the last holds a zero byte.
        for part in [id.to_string().as_str(), "\0", name.as_str(), "\0", identity] {
            mac.update(part.as_bytes());
        }
        let whole = mac.finalize().into_bytes();
        let mut proof = [0; PROOF];
        proof.copy_from_slice(&whole[..PROOF]);
        proof
    }

    /// Whether a proof is good; takes the same time for every wrong one.
    pub(crate) fn verify(
        &self,
        proof: &[u8; PROOF],
        id: SessionId,
        name: &RepositoryName,
        identity: &str,
    ) -> bool {
        let expected = self.proof(id, name, identity);
        expected.iter().zip(proof).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

impl fmt::Debug for Pledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pledge(...)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_session_repository_and_identity() {
        let name = |text| RepositoryName::parse(text).unwrap();
        let pledge = Pledge::new(b"a secret").unwrap();
        let id = SessionId::random();
        let proof = pledge.proof(id, &name("a/b"), "user:me");
        assert!(Pledge::new(b"a secret").unwrap().verify(&proof, id, &name("a/b"), "user:me"));
        assert!(!Pledge::new(b"another").unwrap().verify(&proof, id, &name("a/b"), "user:me"));
        assert!(!pledge.verify(&proof, SessionId::random(), &name("a/b"), "user:me"));
        assert!(!pledge.verify(&proof, id, &name("a"), "user:me"));
        assert!(!pledge.verify(&proof, id, &name("a/b"), "user:you"));
        assert!(Pledge::new(b"").is_none());
    }
}
