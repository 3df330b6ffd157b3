//! As much of DER (X.690) as it takes to reach the public key of a certificate (RFC 5280, section 4.1).

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0] EXPLICIT`: the version of a certificate.
const CONTEXT_0: u8 = 0xa0;

/// A public key as a certificate holds it (`SubjectPublicKeyInfo`).
pub(crate) struct KeyInfo<'a> {
    /// The whole structure, which key ids are made of.
    pub(crate) der: &'a [u8],
    /// The contents of the algorithm's object identifier.
    pub(crate) algorithm: &'a [u8],
    /// The contents of the curve's object identifier, for elliptic curves.
    pub(crate) curve: Option<&'a [u8]>,
    /// The key itself, in the form of its algorithm.
    pub(crate) key: &'a [u8],
}

/// One tagged value.
struct Value<'a> {
    tag: u8,
    contents: &'a [u8],
    /// Tag and length included.
    whole: &'a [u8],
}

/// The public key of a certificate.
pub(crate) fn key_of_certificate(certificate: &[u8]) -> Option<KeyInfo<'_>> {
    let mut outer = certificate;
    let mut certificate = expect(&mut outer, SEQUENCE)?.contents;
    let mut fields = expect(&mut certificate, SEQUENCE)?.contents;
    if fields.first() == Some(&CONTEXT_0) {
        next(&mut fields)?;
    }
    expect(&mut fields, INTEGER)?;
    // Signature algorithm, issuer, validity, subject.
    for _ in 0..4 {
        expect(&mut fields, SEQUENCE)?;
    }
    let info = expect(&mut fields, SEQUENCE)?;
    let mut rest = info.contents;
    let mut algorithm = expect(&mut rest, SEQUENCE)?.contents;
    let identifier = expect(&mut algorithm, OBJECT_IDENTIFIER)?.contents;
    let curve = expect(&mut algorithm, OBJECT_IDENTIFIER).map(|value| value.contents);
    // The first byte of a bit string counts its unused bits.
    let key = expect(&mut rest, BIT_STRING)?.contents.strip_prefix(&[0])?;
    Some(KeyInfo { der: info.whole, algorithm: identifier, curve, key })
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1), without leading zeros.
pub(crate) fn rsa_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut outer = der;
    let mut numbers = expect(&mut outer, SEQUENCE)?.contents;
    let modulus = expect(&mut numbers, INTEGER)?.contents;
    let exponent = expect(&mut numbers, INTEGER)?.contents;
    Some((without_leading_zeros(modulus), without_leading_zeros(exponent)))
}

/// Big-endian bytes as JSON Web Keys write them.
pub(crate) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<Value<'a>> {
    next(input).filter(|value| value.tag == tag)
}

/// Takes one value off `input`; definite lengths of up to four bytes.
fn next<'a>(input: &mut &'a [u8]) -> Option<Value<'a>> {
    let whole = *input;
    let (&tag, rest) = whole.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (contents, after) = rest.split_at_checked(length)?;
    *input = after;
    Some(Value { tag, contents, whole: &whole[..whole.len() - after.len()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_certificate_is_no_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let der = certificate.der();
        assert!(key_of_certificate(der).is_some());
        for length in 0..der.len() {
            assert!(key_of_certificate(&der[..length]).is_none(), "{length} bytes were accepted");
        }
    }

    #[test]
    fn lengths_beyond_the_input_are_refused() {
        for der in [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0x30, 0x80], &[0x30, 0x05, 0x02], &[0x30]] {
            assert!(key_of_certificate(der).is_none());
            assert!(rsa_key(der).is_none());
        }
    }
}
