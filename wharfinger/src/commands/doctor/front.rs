//! An HTTP front: what it answers to a pull.

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AGE, AUTHORIZATION, CONTENT_LENGTH, LOCATION, SERVER, USER_AGENT, VIA};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use wharfinger_maintenance::doctor::{Claim, Object, Station, Testimony, Witness};
use wharfinger_oci::{Algorithm, Digest, media_type};

use super::client::{Answer, Client, Failure};
use super::token::{Challenge, token};

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// What a client that pulls accepts.
const MANIFESTS: [&str; 4] =
    [media_type::OCI_INDEX, media_type::OCI_MANIFEST, media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST];
const AGENT: &str = concat!("wharfinger-doctor/", env!("CARGO_PKG_VERSION"));

/// What answers there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Varnish,
    TrafficServer,
    Nginx,
    Unknown,
}

/// An HTTP server or cache in front of the registry, or the registry itself.
pub(super) struct Front {
    name: String,
    program: Program,
    /// Without credentials and without a slash at its end.
    base: String,
    /// HTTP Basic.
    credentials: Option<HeaderValue>,
    client: Client,
}

/// `[NAME=]URL`, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    name: Option<String>,
    base: String,
    credentials: Option<String>,
}

impl Place {
    fn parse(text: &str) -> Result<Place> {
        // What is told does not repeat a password.
        let wrong =
            "the URL of a front is http://HOST[:PORT] or https://..., with NAME= before it for a name";
        let scheme = text.find("://").context(wrong)?;
        let (name, url) = match text[..scheme].rsplit_once('=') {
            Some((name, _)) => (Some(name.to_owned()), &text[name.len() + 1..]),
            None => (None, text),
        };
        let uri: Uri = url.parse().context(wrong)?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            bail!(wrong)
        };
        let (user, host) = match authority.as_str().rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority.as_str()),
        };
        let credentials = user.map(|user| percent_decode_str(user).decode_utf8_lossy().into_owned());
        let path = uri.path().trim_end_matches('/').trim_end_matches("/v2");
        Ok(Place { name, base: format!("{scheme}://{host}{path}"), credentials })
    }
}

impl Front {
    /// Finds out what answers at `[NAME=]URL`.
    pub(super) async fn open(text: &str, client: Client) -> Result<Front> {
        let Place { name, base, credentials } = Place::parse(text)?;
        let credentials = credentials.map(|credentials| {
            let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        let credentials = credentials.transpose().context("the user and password of a front")?;
        let mut front = Front { name: String::new(), program: Program::Unknown, base, credentials, client };
        let first =
            front.request(&Method::GET, &format!("{}/v2/", front.base), None, front.credentials.clone());
        if let Ok(answer) = front.client.send(first?, Algorithm::Sha256).await {
            front.program = Program::of(&answer.headers);
        }
        let what = name.unwrap_or_else(|| front.program.name().to_owned());
        front.name = format!("{what} at {}", front.base);
        Ok(front)
    }

    fn request(
        &self,
        method: &Method,
        url: &str,
        accept: Option<String>,
        authorization: Option<HeaderValue>,
    ) -> Result<Request<()>, http::Error> {
        let mut request = Request::builder().method(method).uri(url).header(USER_AGENT, AGENT);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(())
    }

    /// Sends a request, with a token where one is asked for, and follows redirects, without credentials.
    async fn fetch(&self, method: &Method, object: &Object) -> Result<(Answer, bool), Failure> {
        let algorithm = object.digest().map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let accept = || (!object.is_blob()).then(|| MANIFESTS.join(", "));
        let mut url = format!("{}{}", self.base, object.path());
        let failed = |error: http::Error| Failure::Silent(error.to_string());
        let request = self.request(method, &url, accept(), self.credentials.clone()).map_err(failed)?;
        let mut answer = self.client.send(request, algorithm).await?;
        if answer.status == StatusCode::UNAUTHORIZED
            && let Some(bearer) = self.bearer(&answer.headers, object.repository.as_str()).await
        {
            let request = self.request(method, &url, accept(), Some(bearer)).map_err(failed)?;
            answer = self.client.send(request, algorithm).await?;
        }
        let mut redirected = false;
        for _ in 0..REDIRECTS {
            let next = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(next) = next.filter(|_| answer.status.is_redirection()) else { break };
            url = if next.starts_with('/') { format!("{}{next}", origin(&url)) } else { next.to_owned() };
            redirected = true;
            answer =
                self.client.send(self.request(method, &url, None, None).map_err(failed)?, algorithm).await?;
        }
        Ok((answer, redirected))
    }

    async fn bearer(&self, headers: &HeaderMap, repository: &str) -> Option<HeaderValue> {
        let url = Challenge::of(headers)?.url(repository);
        let request = self.request(&Method::GET, &url, None, self.credentials.clone()).ok()?;
        let answer = self.client.send(request, Algorithm::Sha256).await.ok()?;
        let token = token(&answer.body.filter(|_| answer.status.is_success())?)?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Scheme and authority of a URL.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url, |end| &url[..start + end])
}

#[async_trait]
impl Witness for Front {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn station(&self) -> Station {
        Station::Front
    }

    fn mend(&self, object: &Object) -> String {
        match self.program {
            Program::Nginx => format!(
                "rm the file with 'KEY: .*{}' below nginx's proxy_cache_path (grep -rlE), since nginx cannot be purged",
                object.path()
            ),
            Program::Varnish | Program::TrafficServer | Program::Unknown => {
                format!("curl -X PURGE {}{}", self.base, object.path())
            }
        }
    }

    async fn ask(&self, object: &Object, deep: bool) -> Testimony {
        let method = if deep || !object.is_blob() { Method::GET } else { Method::HEAD };
        let mut fetched = self.fetch(&method, object).await;
        if matches!(fetched, Err(Failure::BrokeOff(_))) {
            fetched = self.fetch(&method, object).await;
        }
        match fetched {
            Ok((answer, redirected)) => testimony(answer, method == Method::GET, object, redirected),
            Err(Failure::BrokeOff(why)) => Testimony::Broken(why),
            Err(Failure::Silent(why)) => Testimony::Silent(why),
        }
    }
}

fn testimony(answer: Answer, whole: bool, object: &Object, redirected: bool) -> Testimony {
    let note = note(&answer.headers, redirected);
    match answer.status {
        StatusCode::OK => {
            let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
            let announced = text(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
            let size = if whole { Some(answer.length) } else { announced };
            let digest = text("docker-content-digest").and_then(|text| Digest::parse(text).ok());
            let bytes = answer.body.filter(|_| whole && !object.is_blob());
            Testimony::Has(Claim { size, digest, hashed: whole.then_some(answer.digest), bytes, note })
        }
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) if note.is_empty() => {
            Testimony::Lacks(format!("answers {}", status.as_u16()))
        }
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => {
            Testimony::Lacks(format!("answers {} ({note})", status.as_u16()))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Testimony::Silent(format!(
            "it answers {}: who may pull goes into its URL, as in https://USER:PASSWORD@HOST",
            answer.status.as_u16()
        )),
        status => Testimony::Silent(format!("it answers {}", status.as_u16())),
    }
}

/// What the answer says of caches on its way.
fn note(headers: &HeaderMap, redirected: bool) -> String {
    let mut notes = Vec::new();
    for name in ["x-cache", "x-cache-status", "cache-status"] {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        notes.extend(values.map(str::to_owned));
    }
    if let Some(age) = headers.get(AGE).and_then(|value| value.to_str().ok()).filter(|age| *age != "0") {
        notes.push(format!("age {age} s"));
    }
    if redirected {
        notes.push("redirected to the store".to_owned());
    }
    notes.join(", ")
}

impl Program {
    /// By the headers of an answer. Whoever stands before another one hands its headers on.
    fn of(headers: &HeaderMap) -> Program {
        let has = |name: &http::HeaderName, text: &str| {
            let last = headers.get_all(name).into_iter().next_back();
            last.and_then(|value| value.to_str().ok()).is_some_and(|value| {
                value.rsplit(',').next().is_some_and(|last| last.to_ascii_lowercase().contains(text))
            })
        };
        if has(&VIA, "varnish") {
            Program::Varnish
        } else if has(&VIA, "trafficserver") {
            Program::TrafficServer
        } else if has(&SERVER, "nginx") {
            Program::Nginx
        } else {
            Program::Unknown
        }
    }

    fn name(self) -> &'static str {
        match self {
            Program::Varnish => "Varnish",
            Program::TrafficServer => "Traffic Server",
            Program::Nginx => "nginx",
            Program::Unknown => "the server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_is_a_url_with_perhaps_a_name_and_credentials() {
        let place = |name: Option<&str>, base: &str, credentials: Option<&str>| Place {
            name: name.map(Into::into),
            base: base.into(),
            credentials: credentials.map(Into::into),
        };
        for (text, expected) in [
            ("http://edge:6081", place(None, "http://edge:6081", None)),
            ("https://r.example.org/v2/", place(None, "https://r.example.org", None)),
            ("ams=http://u:p%40x@edge/registry/", place(Some("ams"), "http://edge/registry", Some("u:p@x"))),
        ] {
            assert_eq!(Place::parse(text).unwrap(), expected, "{text}");
        }
        for wrong in ["edge:6081", "ftp://edge", "http://", "a=b"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
        let told = format!("{:#}", Place::parse("ftp://u:hunter2@edge").unwrap_err());
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(origin("http://edge:1/v2/x"), "http://edge:1");
    }
}
