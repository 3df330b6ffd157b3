//! What is said and asked about one object, and what is done with one without its bytes.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::macros::format_description;

use crate::call::{Answer, Call, SMALL};
use crate::container::value;
use crate::url::{check_object, decode, encode};
use crate::{Container, Error, ErrorKind, Result, TransactionId};

/// What Swift says about an object.
#[derive(Clone, Debug)]
pub struct ObjectInfo {
    /// Size of the whole object in bytes, also where a range was read.
    pub size: u64,
    /// The ETag without quotes: MD5 in hex of the bytes, or of the segments' ETags for a large object.
    pub etag: Option<String>,
    /// When it was written, to the second.
    pub last_modified: Option<SystemTime>,
    /// When it was written (`X-Timestamp`), to 10 microseconds: what Swift orders writes by.
    pub timestamp: Option<SystemTime>,
    /// Its media type.
    pub content_type: Option<String>,
    /// What kind of large object it is; none for a plain one.
    pub manifest: Option<Manifest>,
    /// All headers.
    pub headers: HeaderMap,
    /// Swift's name for the request.
    pub transaction: Option<TransactionId>,
}

/// The kinds of large objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// A static one: its segments are listed in the object itself.
    Slo,
    /// A dynamic one: its segments are what a listing shows.
    Dlo {
        /// Container of the segments.
        container: String,
        /// What their names begin with.
        prefix: String,
    },
}

/// How to write an object.
#[derive(Clone, Debug, Default)]
pub struct Put {
    /// Media type. Default: `application/octet-stream`.
    pub content_type: Option<String>,
    /// Only where no object has the name. Two that race may both succeed.
    pub if_none_match: bool,
    /// The ETag that Swift has to find, MD5 in hex. Default: of a body in memory its MD5, of a stream nothing.
    pub etag: Option<String>,
    /// Neither compute nor send the MD5 of a body in memory (it costs 1.5 s for a gigabyte).
    pub skip_md5: bool,
    /// Gone after this time, in whole seconds.
    pub delete_after: Option<Duration>,
    /// Gone at this time, in seconds since 1970.
    pub delete_at: Option<u64>,
    /// `X-Object-Meta-*`, without that prefix.
    pub metadata: Vec<(String, String)>,
    /// Any other header.
    pub headers: HeaderMap,
}

impl Put {
    /// The headers that it means.
    pub(crate) fn headers(&self) -> Result<HeaderMap> {
        let mut headers = self.headers.clone();
        let media_type = self.content_type.as_deref();
        if media_type.is_some() || !headers.contains_key(CONTENT_TYPE) {
            let media_type = media_type.unwrap_or("application/octet-stream");
            headers.insert(CONTENT_TYPE, value("content type", media_type)?);
        }
        if self.if_none_match {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        if let Some(etag) = &self.etag {
            headers.insert(ETAG, value("ETag", etag)?);
        }
        if let Some(after) = self.delete_after {
            headers.insert("x-delete-after", after.as_secs().max(1).into());
        }
        if let Some(at) = self.delete_at {
            headers.insert("x-delete-at", at.into());
        }
        for (name, text) in &self.metadata {
            let name = HeaderName::try_from(format!("x-object-meta-{name}"))
                .map_err(|_| Error::new(ErrorKind::Invalid, format!("metadata {name:?}: not a name")))?;
            headers.insert(name, value("metadata", text)?);
        }
        Ok(headers)
    }
}

/// How to read an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Ask all replicas and take the newest (`X-Newest`): slower, for names that are overwritten.
    pub newest: bool,
    /// Not the whole object.
    pub range: Option<Range>,
    /// Only if its ETag is this one (without quotes).
    pub if_match: Option<String>,
    /// Of a large object the manifest itself (`multipart-manifest=get`).
    pub raw_manifest: bool,
}

impl Read {
    /// The whole object, the newest that any replica has.
    pub fn newest() -> Read {
        Read { newest: true, ..Read::default() }
    }

    /// A part of the object.
    pub fn range(range: Range) -> Read {
        Read { range: Some(range), ..Read::default() }
    }

    pub(crate) fn apply(&self, call: &mut Call) -> Result<()> {
        if self.newest {
            call.headers.insert("x-newest", HeaderValue::from_static("true"));
        }
        if let Some(range) = self.range {
            call.headers.insert(RANGE, value("range", &range.to_string())?);
        }
        if let Some(etag) = &self.if_match {
            call.headers.insert(IF_MATCH, value("If-Match", &format!("\"{etag}\""))?);
        }
        if self.raw_manifest {
            "multipart-manifest=get".clone_into(&mut call.query);
        }
        Ok(())
    }
}

/// A part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From this offset to the end.
    From(u64),
    /// From the first to the last offset, both included.
    Inclusive(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Range::From(first) => write!(f, "bytes={first}-"),
            Range::Inclusive(first, last) => write!(f, "bytes={first}-{last}"),
            Range::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// How to delete an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// Only if its `X-Delete-At` is this (`X-If-Delete-At`), in seconds since 1970.
    pub if_delete_at: Option<u64>,
}

/// An object that Swift has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its ETag without quotes.
    pub etag: Option<String>,
    /// Swift's name for the request.
    pub transaction: Option<TransactionId>,
}

impl ObjectInfo {
    /// From the headers of an answer to HEAD or GET.
    pub(crate) fn of(answer: StatusCode, headers: HeaderMap) -> Result<ObjectInfo> {
        let part = headers.get("content-range").and_then(|value| value.to_str().ok());
        let total = part.and_then(content_range).map(|(_, _, total)| total);
        let size = total.or_else(|| crate::call::length(&headers)).ok_or_else(|| {
            let message = "Swift gave no length (a DLO of very many segments: read them one by one)";
            Error::new(ErrorKind::Protocol, message).answered(answer, &headers)
        })?;
        Ok(ObjectInfo {
            size,
            etag: etag(&headers),
            last_modified: header(&headers, "last-modified").and_then(|text| http_date(&text)),
            timestamp: header(&headers, "x-timestamp").and_then(|text| timestamp(&text)),
            content_type: header(&headers, "content-type"),
            manifest: manifest(&headers),
            transaction: TransactionId::of(&headers),
            headers,
        })
    }

    /// Metadata (`X-Object-Meta-*`) by its name without that prefix.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.headers.get(format!("x-object-meta-{name}"))?.to_str().ok()
    }

    /// When it goes away by itself, in seconds since 1970 (`X-Delete-At`).
    pub fn delete_at(&self) -> Option<u64> {
        number(&self.headers, "x-delete-at")
    }
}

impl Stored {
    pub(crate) fn of(answer: &Answer) -> Stored {
        Stored { etag: etag(&answer.headers), transaction: answer.transaction() }
    }
}

impl Container {
    /// Headers of an object; `read.range` is not used.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not there, which right after a write can also mean that the servers that have it
    /// did not answer: ask again, with [`Read::newest`], before you believe it.
    pub async fn head(&self, name: &str, read: &Read) -> Result<ObjectInfo> {
        let mut call = self.object_call(Method::HEAD, name)?;
        Read { range: None, ..read.clone() }.apply(&mut call)?;
        let answer = self.client.inner.fetch(&call, 0).await?;
        ObjectInfo::of(answer.status, answer.headers).map_err(|error| call.name(error))
    }

    /// Replaces the metadata of an object: what is not given is gone, but for its media type.
    ///
    /// Not for a DLO: without `X-Object-Manifest` among `headers` it stops being one.
    pub async fn post(&self, name: &str, headers: &HeaderMap) -> Result<()> {
        let mut call = self.object_call(Method::POST, name)?;
        call.headers = headers.clone();
        self.client.inner.fetch(&call, SMALL).await.map(drop)
    }

    /// Copies an object within the cluster, with its metadata. A large object becomes a plain one of at most 5 GiB,
    /// unless `raw_manifest` copies the manifest alone.
    ///
    /// Swift needs the middleware `copy`, which is there unless it was taken out.
    pub async fn copy(
        &self,
        name: &str,
        to: &Container,
        to_name: &str,
        raw_manifest: bool,
    ) -> Result<Stored> {
        check_object(to_name)?;
        let method = Method::from_bytes(b"COPY").unwrap_or(Method::PUT);
        let mut call = self.object_call(method, name)?;
        let destination = format!("{}/{}", encode(&to.name), encode(to_name));
        call.headers.insert("destination", value("destination", &destination)?);
        call.limit = self.client.inner.options.timeouts.large;
        if raw_manifest {
            "multipart-manifest=get".clone_into(&mut call.query);
        }
        let answer = self.client.inner.fetch(&call, SMALL).await?;
        created(&answer).map_err(|error| call.name(error))
    }

    /// Deletes an object; of a large one the manifest alone. False if there was none, or if an earlier attempt of this
    /// call has already deleted it.
    ///
    /// # Errors
    /// [`ErrorKind::Precondition`] if `if_delete_at` does not hold; [`ErrorKind::Superseded`] if what stands there is
    /// newer than this deletion.
    pub async fn delete(&self, name: &str, delete: Delete) -> Result<bool> {
        let mut call = self.object_call(Method::DELETE, name)?;
        if let Some(at) = delete.if_delete_at {
            call.headers.insert("x-if-delete-at", at.into());
        }
        match self.client.inner.fetch(&call, SMALL).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

pub(crate) const SUPERSEDED: &str =
    "202 Accepted: not stored, something newer stands there (are the clocks right?)";

/// Only 201 says that an object is stored. 202 says that something newer stands there.
pub(crate) fn created(answer: &Answer) -> Result<Stored> {
    match answer.status {
        StatusCode::CREATED => Ok(Stored::of(answer)),
        StatusCode::ACCEPTED => Err(answer.error(ErrorKind::Superseded, SUPERSEDED)),
        status => Err(answer.error(ErrorKind::Protocol, format!("unexpected answer {status}"))),
    }
}

/// A header as text.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A header as a number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The ETag without quotes.
fn etag(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(ETAG)?.to_str().ok()?;
    Some(text.trim_matches('"').to_owned()).filter(|text| !text.is_empty())
}

fn manifest(headers: &HeaderMap) -> Option<Manifest> {
    let is_slo =
        header(headers, "x-static-large-object").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if is_slo {
        return Some(Manifest::Slo);
    }
    let text = decode(&header(headers, "x-object-manifest")?)?;
    let (container, prefix) = text.split_once('/')?;
    Some(Manifest::Dlo { container: container.to_owned(), prefix: prefix.to_owned() })
}

/// First and last offset and the whole size (RFC 9110, section 14.4).
pub(crate) fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (part, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let range = (first.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
    (range.0 <= range.1 && range.1 < range.2).then_some(range)
}

/// `X-Timestamp`: seconds with decimals, perhaps followed by an offset.
fn timestamp(text: &str) -> Option<SystemTime> {
    let text = text.split('_').next()?;
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let nanos = format!("{decimals:0<9}").get(..9)?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds.parse().ok()?, nanos))
}

/// A date of HTTP (RFC 9110, section 5.6.7), to the second.
fn http_date(text: &str) -> Option<SystemTime> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let at: OffsetDateTime = PrimitiveDateTime::parse(text, format).ok()?.assume_utc();
    Some(at.into())
}

#[cfg(test)]
mod tests;
