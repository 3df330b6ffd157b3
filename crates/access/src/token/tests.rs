use std::io::Write;

use jsonwebtoken::EncodingKey;
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use serde_json::json;
use wharfinger_oci::RepositoryName;

use super::*;
use crate::Resource;
use crate::der::key_of_certificate;
use crate::public_key::{PublicKey, libtrust_id};

/// A key, its certificate, and how it signs.
struct Signer {
    pem: String,
    public: PublicKey,
    libtrust: String,
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Signer {
    fn p256() -> Signer {
        Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256)
    }

    fn new(kind: &'static SignatureAlgorithm, algorithm: Algorithm) -> Signer {
        let pair = KeyPair::generate_for(kind).unwrap();
        let pkcs8 = pair.serialize_der();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_der(&pkcs8),
            Algorithm::EdDSA => EncodingKey::from_ed_der(&pkcs8),
            // The PKCS#1 key starts after 26 bytes of PKCS#8 wrapping.
            _ => EncodingKey::from_rsa_der(&pkcs8[26..]),
        };
        let certificate = CertificateParams::default().self_signed(&pair).unwrap();
        let info = key_of_certificate(certificate.der()).unwrap();
        let public = PublicKey::from_key_info(&info).unwrap();
        Signer { pem: certificate.pem(), public, libtrust: libtrust_id(info.der), key, algorithm }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// Named by the key's thumbprint.
    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": format!("{:?}", self.algorithm), "kid": self.public.thumbprint()}), claims)
    }

    fn jwk(&self, kid: Option<&str>) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.public {
            PublicKey::Rsa { modulus, exponent } => {
                json!({"kty": "RSA", "n": text(modulus), "e": text(exponent)})
            }
            PublicKey::Ec { curve, x, y } => {
                json!({"kty": "EC", "crv": curve.name(), "x": text(x), "y": text(y)})
            }
            PublicKey::Ed25519 { x } => json!({"kty": "OKP", "crv": "Ed25519", "x": text(x)}),
        };
        if let Some(kid) = kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "registry.example", "sub": "ci", "exp": now() + 300, "nbf": now() - 10,
        "access": [
            {"type": "repository", "name": "team/app", "actions": ["pull", "push"]},
            {"type": "repository", "name": "team/all", "actions": ["*"]},
            {"type": "registry", "name": "catalog", "actions": ["*"]},
            {"type": "repository", "name": "team/none", "actions": null},
            {"type": "something", "name": "else", "actions": ["pull"]},
        ],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn write(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn config() -> TokenConfig {
    TokenConfig {
        realm: "https://issuer.example/token".to_owned(),
        service: "registry.example".to_owned(),
        issuer: "https://issuer.example".to_owned(),
        ..TokenConfig::default()
    }
}

fn trusting(pem: &str) -> TokenVerifier {
    let file = write(pem);
    TokenVerifier::new(&TokenConfig { rootcertbundle: Some(file.path().to_owned()), ..config() }).unwrap()
}

fn trusting_set(keys: &Value) -> Result<TokenVerifier, AccessError> {
    let file = write(&json!({"keys": keys}).to_string());
    TokenVerifier::new(&TokenConfig { jwks: Some(file.path().to_owned()), ..config() })
}

async fn reason(verifier: &TokenVerifier, token: &str) -> String {
    let refused = verifier.verify(token).await.unwrap_err();
    assert_eq!(refused.challenge_error(), Some("invalid_token"));
    refused.reason().to_owned()
}

#[tokio::test]
async fn a_good_token_grants_what_it_says_and_no_more() {
    let signer = Signer::p256();
    let identity = trusting(&signer.pem).verify(&signer.token(&claims())).await.unwrap();
    assert_eq!((identity.name(), identity.key().as_str()), (Some("ci"), "token:ci"));
    let Identity::Token { grants, .. } = identity else { panic!("not a token") };
    let may = |resource: Resource<'_>, action| grants.iter().any(|grant| grant.allows(resource, action));
    for (name, pull, push, delete) in [
        ("team/app", true, true, false),
        ("team/all", true, true, true),
        ("team/none", false, false, false),
        ("team/app/x", false, false, false),
        ("else", false, false, false),
        ("catalog", false, false, false),
    ] {
        let name = RepositoryName::parse(name).unwrap();
        let resource = Resource::Repository(&name);
        let actual =
            (may(resource, Action::Pull), may(resource, Action::Push), may(resource, Action::Delete));
        assert_eq!(actual, (pull, push, delete), "{name}");
    }
    assert!(may(Resource::Registry, Action::Catalog));
}

#[tokio::test]
async fn every_supported_kind_of_key_verifies_by_either_id() {
    for (kind, algorithm) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
        (&rcgen::PKCS_ED25519, Algorithm::EdDSA),
        (&rcgen::PKCS_RSA_SHA256, Algorithm::RS256),
        (&rcgen::PKCS_RSA_SHA256, Algorithm::PS384),
    ] {
        let signer = Signer::new(kind, algorithm);
        let verifier = trusting(&signer.pem);
        let name = format!("{algorithm:?}");
        for kid in [signer.public.thumbprint(), signer.libtrust.clone()] {
            let token = signer.sign(&json!({"alg": name, "kid": kid}), &claims());
            assert!(verifier.verify(&token).await.is_ok(), "{name} {kid}");
        }
        let verifier = trusting_set(&json!([signer.jwk(Some("k1"))])).unwrap();
        let token = signer.sign(&json!({"alg": name, "kid": "k1"}), &claims());
        assert!(verifier.verify(&token).await.is_ok(), "{name} from a key set");
    }
}

#[tokio::test]
async fn the_key_is_the_one_the_kid_names_and_no_other() {
    let (good, other) = (Signer::p256(), Signer::p256());
    let verifier = trusting(&format!("{}{}", good.pem, other.pem));
    let confused = other.sign(&json!({"alg": "ES256", "kid": good.public.thumbprint()}), &claims());
    assert_eq!(reason(&verifier, &confused).await, "the token's signature is wrong");
    let unknown = Signer::p256();
    assert!(reason(&verifier, &unknown.token(&claims())).await.contains("not among the trusted ones"));
    let nameless = good.sign(&json!({"alg": "ES256"}), &claims());
    assert!(reason(&verifier, &nameless).await.contains("no kid"));
}

#[tokio::test]
async fn a_key_in_the_tokens_own_header_is_never_trusted() {
    let (good, evil) = (Signer::p256(), Signer::p256());
    let verifier = trusting(&good.pem);
    let kid = good.public.thumbprint();
    for (name, value) in [
        ("jwk", evil.jwk(Some(&kid))),
        ("jwk", good.jwk(Some(&kid))),
        ("x5c", json!(["MIIB"])),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
    ] {
        for signer in [&good, &evil] {
            let mut header = json!({"alg": "ES256", "kid": kid});
            header[name] = value.clone();
            let reason = reason(&verifier, &signer.sign(&header, &claims())).await;
            assert!(reason.contains(&format!("its own key ({name})")), "{reason}");
        }
    }
}

#[tokio::test]
async fn unsigned_tokens_and_shared_secrets_are_refused() {
    let signer = Signer::p256();
    let verifier = trusting(&signer.pem);
    let kid = signer.public.thumbprint();
    for alg in ["none", "None", "NONE", ""] {
        let message = format!("{}.{}", encode(&json!({"alg": alg, "kid": kid})), encode(&claims()));
        for signature in ["", "AAAA"] {
            let reason = reason(&verifier, &format!("{message}.{signature}")).await;
            assert!(reason.contains("is not accepted"), "{reason}");
        }
    }
    // The classic: the public key as the secret of an HMAC.
    let secret = EncodingKey::from_secret(signer.pem.as_bytes());
    let message = format!("{}.{}", encode(&json!({"alg": "HS256", "kid": kid})), encode(&claims()));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert!(reason(&verifier, &format!("{message}.{signature}")).await.contains("is not accepted"));
}

#[tokio::test]
async fn an_algorithm_that_does_not_fit_the_key_is_refused() {
    let signer = Signer::p256();
    let kid = signer.public.thumbprint();
    let verifier = trusting(&signer.pem);
    for alg in ["RS256", "ES384", "EdDSA", "PS256"] {
        let reason = reason(&verifier, &signer.sign(&json!({"alg": alg, "kid": kid}), &claims())).await;
        assert!(reason.contains("does not fit its key"), "{reason}");
    }
    let rsa = Signer::new(&rcgen::PKCS_RSA_SHA256, Algorithm::RS256);
    let mut jwk = rsa.jwk(Some("k"));
    jwk["alg"] = json!("RS512");
    let verifier = trusting_set(&json!([jwk])).unwrap();
    let token = rsa.sign(&json!({"alg": "RS256", "kid": "k"}), &claims());
    assert!(reason(&verifier, &token).await.contains("does not fit its key"));
}

#[tokio::test]
async fn claims_that_are_not_for_here_and_now_are_refused() {
    let signer = Signer::p256();
    let verifier = trusting(&signer.pem);
    for (claims, expected) in [
        (with("exp", json!(now() - 61)), "has expired"),
        (with("nbf", json!(now() + 90)), "not valid yet"),
        (with("iss", json!("https://issuer.example/")), "not by issuer"),
        (with("aud", json!("other")), "not for service"),
        (with("aud", json!([])), "not for service"),
        (with("exp", Value::Null), "unusable"),
    ] {
        let reason = reason(&verifier, &signer.token(&claims)).await;
        assert!(reason.contains(expected), "{reason}");
    }
    for name in ["iss", "aud", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let reason = reason(&verifier, &signer.token(&claims)).await;
        assert!(reason.contains(name), "{reason}");
    }
    for good in [
        with("exp", json!(now() - 30)),
        with("nbf", json!(now() + 30)),
        with("aud", json!(["other", "registry.example"])),
        with("access", Value::Null),
        with("sub", Value::Null),
    ] {
        assert!(verifier.verify(&signer.token(&good)).await.is_ok(), "{good}");
    }
}

#[tokio::test]
async fn a_remembered_token_is_forgotten_when_the_keys_change() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let file = write(&old.pem);
    let config = TokenConfig { rootcertbundle: Some(file.path().to_owned()), ..config() };
    let verifier = TokenVerifier::new(&config).unwrap();
    let token = old.token(&claims());
    assert!(verifier.verify(&token).await.is_ok());
    assert!(verifier.verify(&token).await.is_ok());
    std::fs::write(file.path(), &new.pem).unwrap();
    verifier.expire();
    assert!(verifier.verify(&token).await.is_err());
    assert!(verifier.verify(&new.token(&claims())).await.is_ok());
}

#[tokio::test]
async fn changed_and_malformed_tokens_are_refused() {
    let signer = Signer::p256();
    let verifier = trusting(&signer.pem);
    let token = signer.token(&claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let forged = format!("{header}.{}.{signature}", encode(&with("sub", json!("root"))));
    assert_eq!(reason(&verifier, &forged).await, "the token's signature is wrong");
    for text in ["", "a", "a.b", "a.b.c", "a.b.c.d", "...", &format!("{message}."), &"x".repeat(40_000)] {
        reason(&verifier, text).await;
    }
}

#[test]
fn settings_that_would_let_anyone_in_are_errors() {
    let signer = Signer::p256();
    let file = write(&signer.pem);
    let good = TokenConfig { rootcertbundle: Some(file.path().to_owned()), ..config() };
    let error = |config: TokenConfig| TokenVerifier::new(&config).err().unwrap().to_string();
    for name in ["HS256", "none", "ES512", "rs256", "x"] {
        let text = error(TokenConfig { signing_algorithms: vec![name.to_owned()], ..good.clone() });
        assert!(text.starts_with(&format!("auth.token.signingalgorithms: {name}: ")), "{text}");
    }
    assert!(error(TokenConfig { issuer: String::new(), ..good.clone() }).contains("auth.token.issuer"));
    assert!(error(TokenConfig { service: String::new(), ..good.clone() }).contains("auth.token.service"));
    assert!(error(TokenConfig { realm: String::new(), ..good }).contains("auth.token.realm"));
    assert!(error(config()).contains("no key"));
}

#[test]
fn broken_key_files_are_errors_that_name_file_and_key() {
    let signer = Signer::p256();
    for (keys, expected) in [
        (json!([]), "holds no signing key"),
        (json!([{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]), "keys[0]: a shared secret"),
        (json!([signer.jwk(None), {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]), "keys[1]: "),
        (json!([{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]), "2048 bits"),
        (json!([signer.jwk(Some("k")), Signer::p256().jwk(Some("k"))]), "two different keys"),
        (json!(7), "auth.token.jwks: "),
    ] {
        let text = trusting_set(&keys).err().unwrap().to_string();
        assert!(text.starts_with("auth.token.jwks: /") && text.contains(expected), "{text}");
    }
    let missing = TokenConfig { rootcertbundle: Some("/nonexistent/pem".into()), ..config() };
    let text = TokenVerifier::new(&missing).err().unwrap().to_string();
    assert!(text.contains("auth.token.rootcertbundle: cannot read /nonexistent/pem"), "{text}");
}

#[tokio::test]
async fn a_key_without_an_id_goes_by_its_thumbprint_and_encryption_keys_are_left_out() {
    let signer = Signer::p256();
    let verifier =
        trusting_set(&json!([signer.jwk(None), {"kty": "RSA", "use": "enc", "kid": "e"}])).unwrap();
    assert!(verifier.verify(&signer.token(&claims())).await.is_ok());
}
