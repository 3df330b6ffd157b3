//! Large objects: static (SLO) and dynamic (DLO).
//!
//! Source: <https://docs.openstack.org/swift/latest/overview_large_objects.html>.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG};
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::bulk::Report;
use crate::call::Answer;
use crate::container::value;
use crate::object::created;
use crate::read::md5_hex;
use crate::retry::Tries;
use crate::url::{check_container, encode};
use crate::{Container, Error, ErrorKind, Manifest, Put, Read, Result, Stored};

/// Most bytes of a manifest that are read; Swift's own limit is 8 MiB as it is written.
const MANIFEST: usize = 32 * 1024 * 1024;
/// Most bytes of the answer to a manifest or its deletion.
const REPORT: usize = 4 * 1024 * 1024;

/// One segment of a static large object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloSegment {
    /// Container of the segment.
    pub container: String,
    /// Name of the segment.
    pub name: String,
    /// Its ETag (MD5 in hex), which Swift compares. None: not compared.
    pub etag: Option<String>,
    /// Its size in bytes, which Swift compares.
    pub size: u64,
}

/// One segment in the manifest that Swift keeps.
#[derive(Deserialize)]
struct Kept {
    name: String,
    bytes: u64,
    hash: Option<String>,
    range: Option<String>,
    #[serde(default)]
    sub_slo: bool,
}

impl Container {
    /// Writes the manifest of a static large object. Swift looks at every segment before it answers; a heartbeat keeps
    /// the connection alive meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] where segments are missing or not what was said; the message names them.
    /// [`ErrorKind::TooLarge`] for more segments than [`Capabilities::slo`](crate::Capabilities::slo) allows.
    pub async fn put_slo(&self, name: &str, segments: &[SloSegment], put: &Put) -> Result<Stored> {
        let mut call = self.object_call(Method::PUT, name)?;
        call.headers = put.headers()?;
        "multipart-manifest=put&heartbeat=on".clone_into(&mut call.query);
        call.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        call.limit = self.client.inner.options.timeouts.large;
        let rows: Vec<_> = segments
            .iter()
            .map(|segment| {
                json!({
                    "path": format!("/{}/{}", segment.container, segment.name),
                    "etag": segment.etag,
                    "size_bytes": segment.size,
                })
            })
            .collect();
        call.body = Bytes::from(json!(rows).to_string());
        let etags: Option<String> = segments.iter().map(|segment| segment.etag.as_deref()).collect();
        if let (Some(etags), None) = (etags, &put.etag) {
            call.headers.insert(ETAG, value("ETag", &md5_hex(etags.as_bytes()))?);
        }
        let inner = &self.client.inner;
        let mut tries = Tries::new(&inner.options.retry, &inner.bucket);
        loop {
            tries.begin(call.limit);
            let answer = inner.fetch(&call, REPORT).await.map_err(refused)?;
            match slo_stored(&answer) {
                Ok(stored) => return Ok(stored),
                Err(error) => tries.again(call.name(error), Duration::ZERO).await?,
            }
        }
    }

    /// The segments of a static large object, as its manifest says.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where it is not a static large object, or one with segments that are ranges or manifests
    /// themselves.
    pub async fn slo_segments(&self, name: &str, read: &Read) -> Result<Vec<SloSegment>> {
        let call = self.object_call(Method::GET, name)?;
        let read = Read { raw_manifest: true, range: None, ..read.clone() };
        let (info, bytes) = self.get_bytes(name, MANIFEST, &read).await?;
        let error = |kind, message: String| call.name(Error::new(kind, message));
        if info.manifest != Some(Manifest::Slo) {
            return Err(error(ErrorKind::Invalid, "it is not a static large object".to_owned()));
        }
        let rows: Vec<Kept> = serde_json::from_slice(&bytes).map_err(|cause| {
            error(ErrorKind::Protocol, format!("the manifest cannot be read: {cause}"))
                .with_transaction(info.transaction.clone())
        })?;
        rows.into_iter()
            .map(|row| {
                if row.range.is_some() || row.sub_slo {
                    let message = format!("segment {} is a range or a manifest itself", row.name);
                    return Err(error(ErrorKind::Invalid, message));
                }
                let path = row.name.trim_start_matches('/').split_once('/');
                let (container, name) = path.ok_or_else(|| {
                    error(ErrorKind::Protocol, format!("segment {:?} has no container", row.name))
                })?;
                let (container, name) = (container.to_owned(), name.to_owned());
                Ok(SloSegment { container, name, etag: row.hash, size: row.bytes })
            })
            .collect()
    }

    /// Deletes a static large object with its segments. False if there was none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where it is not one; any other kind where some of it may be left.
    pub async fn delete_slo(&self, name: &str) -> Result<bool> {
        let mut call = self.object_call(Method::DELETE, name)?;
        "multipart-manifest=delete".clone_into(&mut call.query);
        call.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        call.limit = self.client.inner.options.timeouts.large;
        let answer = match self.client.inner.fetch(&call, REPORT).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let report = Report::parse(&answer).map_err(|error| call.name(error))?;
        if report.status == StatusCode::NOT_FOUND || (report.deleted == 0 && report.errors.is_empty()) {
            return Ok(false);
        }
        if report.status.is_success() && report.errors.is_empty() {
            return Ok(true);
        }
        let not_one = report.errors.iter().any(|(_, what)| what.starts_with("Not an SLO"));
        let error = call.name(report.error(&answer));
        Err(if not_one { error.of_kind(ErrorKind::Invalid) } else { error })
    }

    /// Writes the header of a dynamic large object: all objects of `segment_container` whose names begin with
    /// `segment_prefix`, in the order of their names, as the container's listing has them when it is read.
    pub async fn put_dlo(
        &self,
        name: &str,
        segment_container: &str,
        segment_prefix: &str,
        put: &Put,
    ) -> Result<Stored> {
        check_container(segment_container)?;
        let call = self.object_call(Method::PUT, name)?;
        if segment_prefix.is_empty() || segment_prefix.starts_with('/') {
            let message = format!("segment prefix {segment_prefix:?}: empty, or begins with a slash");
            return Err(call.name(Error::new(ErrorKind::Invalid, message)));
        }
        let mut put = put.clone();
        let manifest = format!("{}/{}", encode(segment_container), encode(segment_prefix));
        put.headers.insert("x-object-manifest", value("X-Object-Manifest", &manifest)?);
        self.put(name, Bytes::new(), &put).await
    }
}

/// A manifest that Swift did not take because of its segments.
fn refused(error: Error) -> Error {
    let Some(report) = error.detail().and_then(Report::read) else { return error };
    if report.errors.is_empty() { error } else { error.of_kind(ErrorKind::Damaged).saying(report.message()) }
}

/// What came of the manifest: in the head of the answer, or in its body where a heartbeat came first.
fn slo_stored(answer: &Answer) -> Result<Stored> {
    if answer.status == StatusCode::CREATED && answer.headers.get(CONTENT_TYPE).is_none_or(is_not_json) {
        return created(answer);
    }
    let report = Report::parse(answer)?;
    if report.status == StatusCode::CREATED {
        let mut stored = Stored::of(answer);
        stored.etag = report.etag.as_deref().map(|etag| etag.trim_matches('"').to_owned()).or(stored.etag);
        return Ok(stored);
    }
    Err(report.error(answer))
}

fn is_not_json(value: &HeaderValue) -> bool {
    !value.as_bytes().starts_with(b"application/json")
}
