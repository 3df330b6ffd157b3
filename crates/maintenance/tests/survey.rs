//! What a survey says of a store, and what it does not say.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wharfinger_maintenance::adopt::derive::derive;
use wharfinger_maintenance::adopt::survey::{Options, Survey, survey};
use wharfinger_maintenance::{Effort, Kind, Unwatched};
use wharfinger_oci::{Algorithm, Digest, RepositoryName, Tag, media_type};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{Registry, layout};
use wharfinger_store::{
    Checkpoint, Delete, Durability, Key, List, Memory, Meta, Object, Operation, Page, Result, Staged, Store,
    StoreError, StoreErrorKind,
};

const OWNER: &str = "anonymous";

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

async fn push_blob(registry: &Registry, repository: &RepositoryName, content: &[u8]) -> Digest {
    let digest = Digest::sha256(content);
    let mut upload = registry.single_upload(repository, OWNER, Algorithm::Sha256).unwrap();
    upload.write(Bytes::copy_from_slice(content)).await.unwrap();
    upload.finish(digest).await.unwrap();
    digest
}

/// An image of one layer; returns manifest and layer.
async fn push_image(
    registry: &Registry,
    repository: &RepositoryName,
    tags: &[&str],
    seed: u8,
) -> (Digest, Digest) {
    let layer = push_blob(registry, repository, &[seed; 3000]).await;
    let config = push_blob(registry, repository, b"{}").await;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b","digest":"{config}","size":2}},
            "layers":[{{"mediaType":"a/b","digest":"{layer}","size":3000}}]}}"#,
        media_type::OCI_MANIFEST
    );
    (push_manifest(registry, repository, tags, media_type::OCI_MANIFEST, manifest).await, layer)
}

async fn push_manifest(
    registry: &Registry,
    repository: &RepositoryName,
    tags: &[&str],
    kind: &str,
    manifest: String,
) -> Digest {
    let tags = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
    let push = Push { digest: None, tags, content_type: Some(kind), bytes: manifest.into() };
    registry.push_manifest(repository, push).await.unwrap().digest
}

async fn look(store: &dyn Store, memory: &Memory) -> Survey {
    survey(store, memory, None, Options::default(), &Unwatched).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn damage_below_an_index_hits_the_tags_of_the_index() {
    let memory = Memory::new();
    let registry = Registry::new(Arc::new(memory.clone()), wharfinger_registry::Options::default());
    let app = name("team/app");
    let (child, layer) = push_image(&registry, &app, &[], 1).await;
    let (other, _) = push_image(&registry, &app, &["other"], 2).await;
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[
            {{"mediaType":"{m}","digest":"{child}","size":1}},{{"mediaType":"{m}","digest":"{other}","size":1}}]}}"#,
        media_type::OCI_INDEX,
        m = media_type::OCI_MANIFEST
    );
    push_manifest(&registry, &app, &["v1", "latest"], media_type::OCI_INDEX, index).await;
    let healthy = look(&memory, &memory).await;
    assert!(healthy.findings.is_empty() && healthy.unknown.is_empty(), "{healthy:#?}");
    assert_eq!((healthy.repositories, healthy.tags, healthy.manifests, healthy.blobs), (1, 3, 3, 3));

    memory.put(&layout::blob_data(&layer), Bytes::from_static(b"short"), Durability::Synced).await.unwrap();
    let survey = look(&memory, &memory).await;
    let [finding] = &survey.findings[..] else { panic!("{survey:#?}") };
    assert_eq!((finding.kind, &finding.what), (Kind::BlobDamaged, &layer.to_string()));
    assert_eq!(finding.images, ["team/app:latest", "team/app:v1"]);
}

#[tokio::test(start_paused = true)]
async fn what_no_tag_leads_to_is_named_by_its_digest() {
    let memory = Memory::new();
    let registry = Registry::new(Arc::new(memory.clone()), wharfinger_registry::Options::default());
    let app = name("app");
    let (manifest, layer) = push_image(&registry, &app, &[], 1).await;
    memory.delete(&layout::blob_data(&layer), Delete::default()).await.unwrap();
    let survey = look(&memory, &memory).await;
    let [finding] = &survey.findings[..] else { panic!("{survey:#?}") };
    assert_eq!((finding.kind, &finding.images[..]), (Kind::BlobMissing, &[format!("app@{manifest}")][..]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_unknown_and_not_called_damaged() {
    let memory = Memory::new();
    let registry = Registry::new(Arc::new(memory.clone()), wharfinger_registry::Options::default());
    let (_, layer) = push_image(&registry, &name("app"), &["v1"], 1).await;
    let refusing = Refusing { inner: memory.clone(), refused: layout::blob_data(&layer) };
    let survey = look(&refusing, &memory).await;
    assert!(survey.findings.is_empty(), "{survey:#?}");
    assert_eq!(survey.unknown.len(), 1, "{survey:#?}");
    assert!(survey.unknown[0].contains(&layer.hex()) && survey.unknown[0].contains("out of order"));
}

#[tokio::test(start_paused = true)]
async fn adoption_goes_on_past_what_cannot_be_read() {
    let memory = Memory::new();
    let writing = Registry::new(Arc::new(memory.clone()), wharfinger_registry::Options::default());
    let app = name("app");
    let large = push_blob(&writing, &app, &[7; 200_000]).await;
    let unread = push_blob(&writing, &app, &[8; 200_000]).await;
    for digest in [&large, &unread] {
        // As if another registry had written them.
        memory.delete(&layout::chunk_index(digest), Delete::default()).await.unwrap();
    }
    let refusing = Refusing { inner: memory.clone(), refused: layout::blob_data(&unread) };
    let registry = Registry::new(Arc::new(refusing), wharfinger_registry::Options::default());
    let derived = derive(&registry, &memory, Effort::default(), &Unwatched).await.unwrap();
    assert_eq!((derived.proved.objects, derived.indexed, derived.unknown.len()), (1, 1, 1), "{derived:#?}");
    let exists = |digest: &Digest| layout::chunk_index(digest);
    assert_eq!(memory.exist(&[exists(&large), exists(&unread)]).await.unwrap(), [true, false]);
    let registry = Registry::new(Arc::new(memory.clone()), wharfinger_registry::Options::default());
    let again = derive(&registry, &memory, Effort::default(), &Unwatched).await.unwrap();
    assert_eq!(
        (again.proved.objects, again.as_they_are.objects, again.unknown.len()),
        (1, 1, 0),
        "{again:#?}"
    );
}

/// A store that cannot read one object.
struct Refusing {
    inner: Memory,
    refused: Key,
}

impl Refusing {
    fn ask(&self, operation: Operation, key: &Key) -> Result<()> {
        let refused = *key == self.refused;
        let error = || StoreError::new(StoreErrorKind::Unavailable, operation, key, "out of order");
        if refused { Err(error()) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Refusing {
    fn name(&self) -> &'static str {
        "refusing"
    }

    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
        self.ask(Operation::Get, key)?;
        self.inner.get(key, limit).await
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        self.ask(Operation::Open, key)?;
        self.inner.open(key).await
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        self.ask(Operation::Head, key)?;
        self.inner.head(key).await
    }

    async fn put(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<()> {
        self.inner.put(key, bytes, durability).await
    }

    async fn delete(&self, key: &Key, options: Delete) -> Result<bool> {
        self.inner.delete(key, options).await
    }

    async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
        self.inner.list(prefix, options).await
    }

    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        self.inner.stage(key, resume).await
    }

    async fn discard(&self, key: &Key, checkpoint: &Checkpoint, published: Option<&Key>) -> Result<()> {
        self.inner.discard(key, checkpoint, published).await
    }
}
