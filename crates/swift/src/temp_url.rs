//! Temporary URLs: a signature in place of a token.
//!
//! Source: <https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html>.

use std::time::SystemTime;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::call::success;
use crate::container::value;
use crate::object::header;
use crate::pace::RequestBody;
use crate::url::{check_object, decode, encode};
use crate::{Capabilities, Client, Container, Error, ErrorKind, Result, Secret};

/// The hash under a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempUrlDigest {
    /// For clusters that know nothing else.
    Sha1,
    /// The usual one.
    Sha256,
    /// The long one.
    Sha512,
}

impl TempUrlDigest {
    /// The digest to sign with: SHA-256, else SHA-512, else SHA-1, of what the cluster accepts. A cluster that does not
    /// say knows SHA-1 alone. None without temporary URLs.
    pub fn choose(capabilities: &Capabilities) -> Option<TempUrlDigest> {
        let accepted = &capabilities.temp_url.as_ref()?.digests;
        let has = |name: &str| accepted.iter().any(|digest| digest == name);
        match (has("sha256"), has("sha512"), has("sha1") || accepted.is_empty()) {
            (true, ..) => Some(TempUrlDigest::Sha256),
            (_, true, _) => Some(TempUrlDigest::Sha512),
            (_, _, true) => Some(TempUrlDigest::Sha1),
            _ => None,
        }
    }

    /// The signature in hex.
    fn sign(self, key: &Secret, method: &Method, expires: u64, path: &str) -> Result<String> {
        fn with<M: Mac + KeyInit>(key: &[u8], message: &str) -> Option<String> {
            let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
            mac.update(message.as_bytes());
            Some(hex::encode(mac.finalize().into_bytes()))
        }
        let message = format!("{method}\n{expires}\n{path}");
        let key = key.expose().as_bytes();
        let signature = match self {
            TempUrlDigest::Sha1 => with::<Hmac<Sha1>>(key, &message),
            TempUrlDigest::Sha256 => with::<Hmac<Sha256>>(key, &message),
            TempUrlDigest::Sha512 => with::<Hmac<Sha512>>(key, &message),
        };
        signature.ok_or_else(|| Error::new(ErrorKind::Invalid, "the key cannot be used"))
    }
}

/// The two keys of a container or an account: URLs signed with either are good, so that keys can be changed while URLs
/// are in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TempUrlKeys {
    /// What new URLs are signed with (`Temp-Url-Key`).
    pub current: Option<Secret>,
    /// What older URLs were signed with (`Temp-Url-Key-2`).
    pub previous: Option<Secret>,
}

impl TempUrlKeys {
    fn of(headers: &HeaderMap, scope: &str) -> TempUrlKeys {
        let key =
            |suffix: &str| header(headers, &format!("x-{scope}-meta-temp-url-key{suffix}")).map(Secret::new);
        TempUrlKeys { current: key(""), previous: key("-2") }
    }

    /// The keys after `key` became the current one. The same key again changes nothing.
    fn rotated(self, key: &Secret) -> TempUrlKeys {
        if self.current.as_ref() == Some(key) {
            return self;
        }
        TempUrlKeys { current: Some(key.clone()), previous: self.current }
    }

    fn headers(&self, scope: &str) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (suffix, key) in [("", &self.current), ("-2", &self.previous)] {
            let name = format!("x-{scope}-meta-temp-url-key{suffix}");
            let name: http::HeaderName =
                name.parse().map_err(|_| Error::new(ErrorKind::Invalid, format!("{name}: not a header")))?;
            let mut text = value("TempURL key", key.as_ref().map_or("", Secret::expose))?;
            text.set_sensitive(true);
            headers.insert(name, text);
        }
        Ok(headers)
    }
}

impl Container {
    /// A URL by which anyone can do `method` to the object until `expires`. A URL for `GET` is good for `HEAD` too. No
    /// request is made if there is a session.
    pub async fn temp_url(
        &self,
        method: &Method,
        name: &str,
        expires: SystemTime,
        key: &Secret,
        digest: TempUrlDigest,
    ) -> Result<Uri> {
        check_object(name)?;
        let storage = self.client.storage().await?;
        let expires = expires
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| Error::new(ErrorKind::Invalid, "the expiry is before 1970"))?
            .as_secs();
        // The names are signed as they are, and escaped in the URL.
        let account = decode(storage.path())
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "the storage URL is not UTF-8"))?;
        let path = format!("{account}/{}/{name}", self.name);
        let signature = digest.sign(key, method, expires, &path)?;
        let query = format!("temp_url_sig={signature}&temp_url_expires={expires}");
        storage.join(&format!("/{}/{}", encode(&self.name), encode(name)), &query)
    }

    /// The keys of the container, which owners alone can see.
    pub async fn temp_url_keys(&self) -> Result<TempUrlKeys> {
        Ok(TempUrlKeys::of(&self.info().await?.headers, "container"))
    }

    /// Makes `key` the current key and the current one the previous one, in one request. URLs signed with the key before
    /// that stop working: rotate less often than URLs expire.
    pub async fn rotate_temp_url_key(&self, key: &Secret) -> Result<TempUrlKeys> {
        let keys = self.temp_url_keys().await?.rotated(key);
        self.set(&keys.headers("container")?).await?;
        Ok(keys)
    }
}

impl Client {
    /// Asks for the head of what a temporary URL names, as anyone would, and says whether its signature is taken. There
    /// need not be such an object. Asked once: a failure says nothing about the signature.
    pub async fn takes_temp_url(&self, url: &Uri) -> Result<bool> {
        let limit = self.inner.options.timeouts.head;
        let _permit = self.inner.permit(limit).await?;
        let (body, pace) = RequestBody::memory(Bytes::new(), false);
        let mut request = Request::new(body);
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = url.clone();
        let answer = self.inner.transport.begin(request, pace).answer(limit).await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(false),
            StatusCode::NOT_FOUND => Ok(true),
            _ => success(answer, limit).await.map(|_| true),
        }
    }

    /// The keys of the account, good for all its containers.
    pub async fn temp_url_keys(&self) -> Result<TempUrlKeys> {
        Ok(TempUrlKeys::of(&self.account_head().await?.headers, "account"))
    }

    /// As [`Container::rotate_temp_url_key`], for the account.
    pub async fn rotate_temp_url_key(&self, key: &Secret) -> Result<TempUrlKeys> {
        let keys = self.temp_url_keys().await?.rotated(key);
        self.account_post(&keys.headers("account")?).await?;
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TempUrlLimits;

    #[test]
    fn a_known_url_gets_its_known_signature() {
        let path = "/v1/AUTH_test/photos/2026/a cat.jpg";
        let sign = |digest: TempUrlDigest| {
            digest.sign(&"mykey".into(), &Method::GET, 1_700_000_000, path).expect("signs")
        };
        assert_eq!(sign(TempUrlDigest::Sha1), "c52c45f47a0fd965f39e455e1a6e2fde60bd84a7");
        let expected = "c24eb9fde5606a7ac9eb5fec0510bcc134207ed702b7840782e4f507e1bdca57";
        assert_eq!(sign(TempUrlDigest::Sha256), expected);
        assert_eq!(sign(TempUrlDigest::Sha512).len(), 128);
    }

    #[test]
    fn sha1_is_used_only_where_nothing_else_is_known() {
        let choose = |digests: &[&str]| {
            let digests = digests.iter().map(|digest| (*digest).to_owned()).collect();
            let temp_url = Some(TempUrlLimits { methods: Vec::new(), digests });
            TempUrlDigest::choose(&Capabilities { temp_url, ..Capabilities::default() })
        };
        assert_eq!(choose(&["sha1", "sha256", "sha512"]), Some(TempUrlDigest::Sha256));
        assert_eq!(choose(&["sha1", "sha512"]), Some(TempUrlDigest::Sha512));
        assert_eq!(choose(&["sha1"]), Some(TempUrlDigest::Sha1));
        assert_eq!(choose(&[]), Some(TempUrlDigest::Sha1));
        assert_eq!(choose(&["sha3"]), None);
        assert_eq!(TempUrlDigest::choose(&Capabilities::default()), None);
    }

    #[test]
    fn rotation_keeps_the_key_that_urls_in_use_were_signed_with() {
        let one = TempUrlKeys::default().rotated(&"one".into());
        let two = one.clone().rotated(&"two".into());
        assert_eq!((two.current.clone(), two.previous.clone()), (Some("two".into()), one.current));
        assert_eq!(two.clone().rotated(&"two".into()), two);
        let headers = two.headers("container").expect("headers");
        assert_eq!(headers["x-container-meta-temp-url-key-2"], "one");
        assert!(!format!("{headers:?}").contains("one"));
    }
}
