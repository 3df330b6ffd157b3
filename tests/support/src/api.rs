//! The verbs of the distribution API, spoken with raw requests so that every header can be looked at.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use wharfinger_oci::{Algorithm, Digest, media_type};

use crate::http::{Client, HttpError, Request, Response};
use crate::image::{Image, Index};

/// A registry as a client sees it. Helpers panic when an answer is not the one the specification asks for.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    headers: Vec<(String, String)>,
}

/// A manifest as it was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Media type of the manifest.
    pub media_type: String,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// Digest of the manifest, computed here.
    pub digest: Digest,
    /// Digests of all blobs below it, each pulled and verified.
    pub blobs: Vec<Digest>,
}

impl Api {
    /// A caller without credentials.
    pub fn new(client: Client) -> Api {
        Api { client, headers: Vec::new() }
    }

    /// The same registry, called with one more header.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Api {
        let mut api = self.clone();
        api.headers.push((name.to_owned(), value.to_owned()));
        api
    }

    /// The same registry, called with a user name and a password (RFC 7617).
    #[must_use]
    pub fn with_basic(&self, user: &str, password: &str) -> Api {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        self.with_header("Authorization", &format!("Basic {encoded}"))
    }

    /// The same registry, called with a bearer token (RFC 6750).
    #[must_use]
    pub fn with_token(&self, token: &str) -> Api {
        self.with_header("Authorization", &format!("Bearer {token}"))
    }

    /// The HTTP client below.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request with the caller's headers.
    pub fn try_send(&self, mut request: Request) -> Result<Response, HttpError> {
        request.headers.extend(self.headers.iter().cloned());
        self.client.send(&request)
    }

    /// Sends a request; panics when no complete answer comes.
    #[track_caller]
    pub fn send(&self, request: Request) -> Response {
        let what = format!("{} {}", request.method, request.target);
        self.try_send(request).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// GET of a path, with every manifest type accepted.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.send(Request::new("GET", target).header("Accept", ACCEPT))
    }

    /// HEAD of a path, with every manifest type accepted.
    #[track_caller]
    pub fn head(&self, target: &str) -> Response {
        self.send(Request::new("HEAD", target).header("Accept", ACCEPT))
    }

    /// DELETE of a path.
    #[track_caller]
    pub fn delete(&self, target: &str) -> Response {
        self.send(Request::new("DELETE", target))
    }

    /// Starts an upload (end-4a); returns the path of the session.
    #[track_caller]
    pub fn start_upload(&self, repository: &str) -> String {
        let target = format!("/v2/{repository}/blobs/uploads/");
        let answer = self.send(Request::new("POST", &target).body("")).expect(202);
        location(&answer)
    }

    /// Sends one chunk that begins at `start` (end-5).
    #[track_caller]
    pub fn patch(&self, session: &str, start: u64, chunk: &[u8]) -> Response {
        let end = (start + chunk.len() as u64).saturating_sub(1);
        let request = Request::new("PATCH", session)
            .header("Content-Type", media_type::OCTET_STREAM)
            .header("Content-Range", format!("{start}-{end}"))
            .body(chunk);
        self.send(request)
    }

    /// Completes an upload with its last bytes (end-6).
    #[track_caller]
    pub fn finish(&self, session: &str, digest: &str, rest: &[u8]) -> Response {
        let request = Request::new("PUT", &with_query(session, &format!("digest={digest}")))
            .header("Content-Type", media_type::OCTET_STREAM)
            .body(rest);
        self.send(request)
    }

    /// Pushes a blob by POST and PUT; returns its digest.
    #[track_caller]
    pub fn push_blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let session = self.start_upload(repository);
        self.finish(&session, &digest.to_string(), content).expect(201);
        digest
    }

    /// Pushes a blob in chunks of `chunk` bytes; returns its digest.
    #[track_caller]
    pub fn push_chunked(&self, repository: &str, content: &[u8], chunk: usize) -> Digest {
        let digest = Digest::sha256(content);
        let mut session = self.start_upload(repository);
        let mut start = 0;
        for part in content.chunks(chunk) {
            let answer = self.patch(&session, start, part).expect(202);
            start += part.len() as u64;
            assert_eq!(answer.required("range"), format!("0-{}", start - 1));
            session = location(&answer);
        }
        self.finish(&session, &digest.to_string(), b"").expect(201);
        digest
    }

    /// Pushes a blob unless the repository has it, as clients do.
    #[track_caller]
    pub fn ensure_blob(&self, repository: &str, digest: &Digest, content: impl FnOnce() -> Vec<u8>) {
        if self.head(&format!("/v2/{repository}/blobs/{digest}")).status != 200 {
            self.push_blob(repository, &content());
        }
    }

    /// PUT of a manifest (end-7); the answer is the caller's to judge.
    #[track_caller]
    pub fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        manifest: &[u8],
    ) -> Response {
        let request = Request::new("PUT", &format!("/v2/{repository}/manifests/{reference}"))
            .header("Content-Type", media_type)
            .body(manifest);
        self.send(request)
    }

    /// Pushes an image: blobs, then the manifest under a tag or its digest.
    #[track_caller]
    pub fn push_image(&self, repository: &str, reference: &str, image: &Image) {
        for blob in image.blobs() {
            self.ensure_blob(repository, &blob.digest, || blob.bytes());
        }
        let answer = self.put_manifest(repository, reference, image.media_type, &image.manifest).expect(201);
        assert_eq!(answer.required("docker-content-digest"), image.digest.to_string());
    }

    /// Pushes an index: its images by digest, then the index under a tag or its digest.
    #[track_caller]
    pub fn push_index(&self, repository: &str, reference: &str, index: &Index) {
        for image in &index.images {
            self.push_image(repository, &image.digest.to_string(), image);
        }
        let answer = self.put_manifest(repository, reference, index.media_type, &index.manifest).expect(201);
        assert_eq!(answer.required("docker-content-digest"), index.digest.to_string());
    }

    /// Pulls a blob (end-2) and verifies it.
    #[track_caller]
    pub fn pull_blob(&self, repository: &str, digest: &Digest) -> Vec<u8> {
        let answer = self.get(&format!("/v2/{repository}/blobs/{digest}")).expect(200);
        assert_eq!(
            Digest::of(digest.algorithm(), &answer.body),
            *digest,
            "a blob with other bytes than its digest"
        );
        answer.body
    }

    /// Pulls a manifest and everything below it, verifying every digest.
    #[track_caller]
    pub fn pull(&self, repository: &str, reference: &str) -> Pulled {
        let answer = self.get(&format!("/v2/{repository}/manifests/{reference}")).expect(200);
        let algorithm = Digest::parse(reference).map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let digest = Digest::of(algorithm, &answer.body);
        assert_eq!(answer.required("docker-content-digest"), digest.to_string());
        let manifest = answer.json();
        let mut blobs = Vec::new();
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            blobs.extend(self.pull(repository, text(child, "digest")).blobs);
        }
        let config = manifest.get("config").into_iter();
        for blob in config.chain(manifest["layers"].as_array().into_iter().flatten()) {
            let digest = Digest::parse(text(blob, "digest")).expect("a digest in a manifest");
            let size = blob["size"].as_u64().expect("a size in a descriptor");
            assert_eq!(self.pull_blob(repository, &digest).len() as u64, size);
            blobs.push(digest);
        }
        let media_type = answer.required("content-type").to_owned();
        Pulled { media_type, manifest: answer.body, digest, blobs }
    }

    /// All tags of a repository, every page.
    #[track_caller]
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.list(&format!("/v2/{repository}/tags/list"), "tags")
    }

    /// All repositories, every page.
    #[track_caller]
    pub fn catalog(&self) -> Vec<String> {
        self.list("/v2/_catalog", "repositories")
    }

    /// Follows the `Link` headers from `target` and collects the strings under `key`.
    #[track_caller]
    pub fn list(&self, target: &str, key: &str) -> Vec<String> {
        let (mut names, mut next) = (Vec::new(), Some(target.to_owned()));
        while let Some(target) = next.take() {
            let answer = self.get(&target).expect(200);
            let page = answer.json();
            names.extend(
                page[key].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()),
            );
            next = answer.header("link").map(next_page);
        }
        names
    }
}

/// The path of a `Link: <...>; rel="next"` header.
fn next_page(link: &str) -> String {
    assert!(link.contains(r#"rel="next""#), "a Link that is not the next page: {link}");
    let (_, rest) = link.split_once('<').expect("a Link with <");
    strip_origin(rest.split('>').next().unwrap()).to_owned()
}

/// The path and query of the `Location` header.
#[track_caller]
pub(crate) fn location(answer: &Response) -> String {
    strip_origin(answer.required("location")).to_owned()
}

fn strip_origin(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => url,
    }
}

fn with_query(target: &str, query: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{query}")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

impl Response {
    /// The path and query of the `Location` header, wherever its host points.
    #[track_caller]
    pub fn location(&self) -> String {
        location(self)
    }
}

/// Every manifest type that a current client accepts.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*";
