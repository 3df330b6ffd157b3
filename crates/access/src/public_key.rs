//! Public keys that may sign tokens, and the ids that tokens name them by.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use sha2::{Digest, Sha256};

use crate::der::{self, KeyInfo};

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ELLIPTIC_CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// Shorter moduli can be factored.
const MIN_RSA_BITS: usize = 2048;

/// A public key of a supported kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
        }
    }

    /// Bytes of one coordinate.
    fn width(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
        }
    }
}

impl PublicKey {
    /// The key of a certificate.
    pub(crate) fn from_key_info(info: &KeyInfo<'_>) -> Result<PublicKey, String> {
        match (info.algorithm, info.curve) {
            (RSA, _) => {
                let (modulus, exponent) = der::rsa_key(info.key).ok_or("malformed RSA key")?;
                PublicKey::rsa(modulus, exponent)
            }
            (ELLIPTIC_CURVE, Some(P256)) => PublicKey::from_point(Curve::P256, info.key),
            (ELLIPTIC_CURVE, Some(P384)) => PublicKey::from_point(Curve::P384, info.key),
            (ED25519, _) => PublicKey::ed25519(info.key),
            _ => Err("unsupported kind of key: use RSA, P-256, P-384 or Ed25519".to_owned()),
        }
    }

    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, String> {
        let modulus = der::without_leading_zeros(modulus).to_vec();
        let exponent = der::without_leading_zeros(exponent).to_vec();
        if modulus.len() * 8 < MIN_RSA_BITS || exponent.is_empty() {
            return Err(format!("RSA keys need {MIN_RSA_BITS} bits or more"));
        }
        Ok(PublicKey::Rsa { modulus, exponent })
    }

    pub(crate) fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<PublicKey, String> {
        if x.len() != curve.width() || y.len() != curve.width() {
            return Err(format!("coordinates of {} have {} bytes", curve.name(), curve.width()));
        }
        Ok(PublicKey::Ec { curve, x: x.to_vec(), y: y.to_vec() })
    }

    pub(crate) fn ed25519(x: &[u8]) -> Result<PublicKey, String> {
        if x.len() != 32 {
            return Err("Ed25519 keys have 32 bytes".to_owned());
        }
        Ok(PublicKey::Ed25519 { x: x.to_vec() })
    }

    fn from_point(curve: Curve, point: &[u8]) -> Result<PublicKey, String> {
        let coordinates = point.strip_prefix(&[4]).ok_or("the point of the curve is not uncompressed")?;
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        PublicKey::ec(curve, x, y)
    }

    /// RFC 7638, as Distribution 3 names the keys of certificates.
    pub(crate) fn thumbprint(&self) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let canonical = match self {
            PublicKey::Rsa { modulus, exponent } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(exponent), text(modulus))
            }
            PublicKey::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, curve.name(), text(x), text(y))
            }
            PublicKey::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x)),
        };
        text(&Sha256::digest(canonical))
    }

    /// Whether signatures of this algorithm can be this key's. An algorithm of another kind of key never reaches it.
    pub(crate) fn makes(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            PublicKey::Rsa { .. } => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            PublicKey::Ec { curve: Curve::P256, .. } => algorithm == ES256,
            PublicKey::Ec { curve: Curve::P384, .. } => algorithm == ES384,
            PublicKey::Ed25519 { .. } => algorithm == EdDSA,
        }
    }

    pub(crate) fn to_decoding_key(&self) -> DecodingKey {
        match self {
            PublicKey::Rsa { modulus, exponent } => DecodingKey::from_rsa_raw_components(modulus, exponent),
            PublicKey::Ec { x, y, .. } => DecodingKey::from_ec_der(&[&[4], x.as_slice(), y].concat()),
            PublicKey::Ed25519 { x } => DecodingKey::from_ed_der(x),
        }
    }
}

/// The id by which Distribution 2 and its token servers name a key: the first 240 bits of the SHA-256 of its
/// `SubjectPublicKeyInfo`, base32 in twelve groups of four.
pub(crate) fn libtrust_id(key_info: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(key_info);
    let mut id = String::with_capacity(59);
    // Five bytes are eight letters, which are two groups.
    for five in digest[..30].chunks_exact(5) {
        let bits = five.iter().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
        for letter in 0..8 {
            if letter % 4 == 0 && !id.is_empty() {
                id.push(':');
            }
            id.push(char::from(ALPHABET[(bits >> (35 - 5 * letter) & 31) as usize]));
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        // RFC 7638, section 3.1.
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX\
                       jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAt\
                       aSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XP\
                       ksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::rsa(
            &URL_SAFE_NO_PAD.decode(modulus).unwrap(),
            &URL_SAFE_NO_PAD.decode("AQAB").unwrap(),
        );
        assert_eq!(key.unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn the_libtrust_id_has_twelve_groups_of_the_base32_of_the_digest() {
        // base32(sha256("")): 4OYMIQUY7QOBJGX36TEJS35ZEQT24QPEMSNZGTFESWMRW6CSXBKQ====
        assert_eq!(libtrust_id(b""), "4OYM:IQUY:7QOB:JGX3:6TEJ:S35Z:EQT2:4QPE:MSNZ:GTFE:SWMR:W6CS");
    }
}
