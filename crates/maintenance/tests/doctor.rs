//! Who is named when somebody lies, and that nobody is named for what does not last.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use wharfinger_maintenance::Unwatched;
use wharfinger_maintenance::doctor::{
    Answer, Claim, Image, Node, Object, Options, Report, Role, Said, Station, Testimony, Witness, examine,
    images_of,
};
use wharfinger_oci::{Algorithm, Digest, Reference, RepositoryName, Tag, media_type};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{IndexChildren, Registry, layout};
use wharfinger_store::{Delete, Durability, Key, Memory, Store};

const LAYER: usize = 200_000;

/// A registry in memory with an image of two layers, `app:v1`.
struct World {
    memory: Memory,
    registry: Registry,
    app: RepositoryName,
    manifest: Digest,
    layer: Digest,
}

impl World {
    async fn new() -> World {
        let memory = Memory::new();
        let registry = Registry::new(Arc::new(memory.clone()), wharfinger_registry::Options::default());
        let app = RepositoryName::parse("app").unwrap();
        let (manifest, layer) = push_image(&registry, &app, &["v1"], 1).await;
        World { memory, registry, app, manifest, layer }
    }

    async fn put(&self, key: &Key, bytes: impl Into<Bytes>) {
        self.memory.put(key, bytes.into(), Durability::Synced).await.unwrap();
    }

    async fn delete(&self, key: &Key) {
        assert!(self.memory.delete(key, Delete::default()).await.unwrap(), "{key} is not there");
    }

    /// The store in the layer's place gets other bytes of the same length.
    async fn flip_layer(&self) {
        let mut bytes = vec![1; LAYER];
        bytes[LAYER / 2] ^= 1;
        self.put(&layout::blob_data(&self.layer), bytes).await;
    }

    async fn look(&self, witnesses: &[Box<dyn Witness>], change: impl FnOnce(&mut Options)) -> Report {
        self.look_at("app:v1", witnesses, change).await
    }

    async fn look_at(
        &self,
        image: &str,
        witnesses: &[Box<dyn Witness>],
        change: impl FnOnce(&mut Options),
    ) -> Report {
        let mut options = options();
        change(&mut options);
        examine(&self.memory, witnesses, &[image.parse().unwrap()], &options, &Unwatched).await
    }
}

fn options() -> Options {
    Options {
        platform: None,
        deep: None,
        parallel: 4,
        index_children: IndexChildren::All,
        observe: false,
        store: "the store".into(),
        config: String::new(),
        not_asked: Vec::new(),
    }
}

async fn push_blob(registry: &Registry, repository: &RepositoryName, content: &[u8]) -> Digest {
    let digest = Digest::sha256(content);
    let mut upload = registry.single_upload(repository, "anonymous", Algorithm::Sha256).unwrap();
    upload.write(Bytes::copy_from_slice(content)).await.unwrap();
    upload.finish(digest).await.unwrap();
    digest
}

async fn push_image(registry: &Registry, app: &RepositoryName, tags: &[&str], seed: u8) -> (Digest, Digest) {
    let layer = push_blob(registry, app, &vec![seed; LAYER]).await;
    let small = push_blob(registry, app, &[seed; 30]).await;
    let config = push_blob(registry, app, b"{}").await;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b","digest":"{config}","size":2}},"layers":[
            {{"mediaType":"a/b","digest":"{small}","size":30}},{{"mediaType":"a/b","digest":"{layer}","size":{LAYER}}}]}}"#,
        media_type::OCI_MANIFEST
    );
    (push_manifest(registry, app, tags, media_type::OCI_MANIFEST, manifest).await, layer)
}

async fn push_manifest(
    registry: &Registry,
    app: &RepositoryName,
    tags: &[&str],
    kind: &str,
    manifest: String,
) -> Digest {
    let tags = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
    let push = Push { digest: None, tags, content_type: Some(kind), bytes: manifest.into() };
    registry.push_manifest(app, push).await.unwrap().digest
}

type Lie = Box<dyn Fn(&Object) -> Option<Testimony> + Send + Sync>;

/// Says what the store has, but for its lies.
struct Fake {
    name: String,
    station: Station,
    memory: Memory,
    lie: Lie,
    /// How often it lies; then it is honest.
    patience: AtomicUsize,
}

#[async_trait]
impl Witness for Fake {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn station(&self) -> Station {
        self.station
    }

    fn mend(&self, object: &Object) -> String {
        format!("mend {} at {}", object.path(), self.name)
    }

    async fn ask(&self, object: &Object, deep: bool) -> Testimony {
        if let Some(lie) = (self.lie)(object)
            && self
                .patience
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok()
        {
            return lie;
        }
        let key = match &object.reference {
            Reference::Tag(tag) => layout::tag_current(&object.repository, tag),
            Reference::Digest(digest) => layout::blob_data(digest),
        };
        let Ok(bytes) = self.memory.get(&key, 1 << 20).await else {
            return Testimony::Lacks("answers 404".into());
        };
        let Some(digest) = object.digest() else {
            let target = std::str::from_utf8(&bytes).ok().and_then(|text| Digest::parse(text).ok());
            return Testimony::Has(Claim { digest: target, ..Claim::default() });
        };
        if Digest::sha256(&bytes) != digest {
            return Testimony::Broken("its body breaks off".into());
        }
        let size = Some(bytes.len() as u64);
        let whole = deep || !object.is_blob();
        let hashed = whole.then_some(digest);
        let bytes = (!object.is_blob()).then_some(bytes);
        Testimony::Has(Claim { size, digest: Some(digest), hashed, bytes, note: String::new() })
    }
}

/// One of each, from the client inwards; the one at `station` lies.
fn witnesses(
    world: &World,
    station: Option<Station>,
    times: usize,
    lie: fn(&Object) -> Option<Testimony>,
) -> Vec<Box<dyn Witness>> {
    let all = [
        ("edge", Station::Front),
        ("nginx", Station::Front),
        ("server", Station::Server),
        ("cache", Station::DiskCache),
        ("shared", Station::SharedRedis),
        ("redis", Station::DistributionRedis),
        ("ams", Station::Site),
    ];
    // Of the two fronts the inner one lies.
    let fake = |(name, at): (&str, Station)| {
        let lies = station == Some(at) && name != "edge";
        let lie: Lie = if lies { Box::new(lie) } else { Box::new(|_| None) };
        let (memory, patience) = (world.memory.clone(), AtomicUsize::new(times));
        Box::new(Fake { name: name.into(), station: at, memory, lie, patience }) as Box<dyn Witness>
    };
    all.into_iter().map(fake).collect()
}

fn honest(world: &World) -> Vec<Box<dyn Witness>> {
    witnesses(world, None, 0, |_| None)
}

fn nodes(report: &Report) -> Vec<&Node> {
    fn add<'a>(node: &'a Node, into: &mut Vec<&'a Node>) {
        into.push(node);
        node.children.iter().for_each(|child| add(child, into));
    }
    let mut all = Vec::new();
    report.images.iter().for_each(|image| add(&image.tree, &mut all));
    all
}

/// First liars: who, on what.
fn liars(report: &Report) -> HashSet<(String, String)> {
    let said = nodes(report).into_iter().flat_map(|node| node.said.iter().map(move |said| (node, said)));
    let liars = said.filter(|(_, said)| said.first_liar);
    liars.map(|(node, said)| (said.who.clone(), node.what.clone())).collect()
}

fn only(who: &str, what: &str) -> HashSet<(String, String)> {
    [(who.to_owned(), what.to_owned())].into()
}

#[tokio::test(start_paused = true)]
async fn where_every_layer_says_the_same_nobody_is_named() {
    let world = World::new().await;
    let report = world.look(&honest(&world), |_| {}).await;
    assert_eq!((report.exit_code(), report.deep), (0, true), "{report:#?}");
    assert_eq!(report.verdict, "all good: every layer says the same");
    assert!(report.incident.is_none() && report.verdicts.is_empty() && liars(&report).is_empty());
    let what: Vec<&str> = nodes(&report).iter().map(|node| node.what.as_str()).collect();
    assert_eq!(what, ["tag v1", "manifest", "config", "layer 1", "layer 2"]);
    let proved = |said: &&Said| said.station == Station::Store && said.proved;
    assert!(nodes(&report)[1..].iter().all(|node| node.said.iter().any(|said| proved(&said))), "{report:#?}");
    let shallow = world.look(&honest(&world), |options| options.deep = Some(false)).await;
    assert_eq!((shallow.exit_code(), shallow.deep), (0, false));
    assert!(!nodes(&shallow)[4].said.iter().any(|said| said.proved), "{shallow:#?}");
}

/// Other content than any object has.
fn other() -> Digest {
    Digest::sha256(b"other")
}

fn about(object: &Object, role: Role, testimony: Testimony) -> Option<Testimony> {
    (object.role == role && object.number != 1).then_some(testimony)
}

fn stale(object: &Object) -> Option<Testimony> {
    about(object, Role::Tag, Testimony::Has(Claim { digest: Some(other()), ..Claim::default() }))
}

fn wrong_bytes(object: &Object) -> Option<Testimony> {
    let claim = Claim { size: Some(5), hashed: Some(other()), ..Claim::default() };
    about(object, Role::Manifest, Testimony::Has(claim))
}

fn wrong_size(object: &Object) -> Option<Testimony> {
    about(object, Role::Layer, Testimony::Has(Claim { size: Some(7), ..Claim::default() }))
}

fn wrong_digest(object: &Object) -> Option<Testimony> {
    about(object, Role::Layer, Testimony::Has(Claim { digest: Some(other()), ..Claim::default() }))
}

fn broken(object: &Object) -> Option<Testimony> {
    about(object, Role::Layer, Testimony::Broken("its copy is damaged".into()))
}

fn lacks(object: &Object) -> Option<Testimony> {
    about(object, Role::Layer, Testimony::Lacks("answers 404".into()))
}

#[tokio::test(start_paused = true)]
async fn whoever_lies_alone_is_named_with_what_mends_it() {
    type Case = (Station, &'static str, fn(&Object) -> Option<Testimony>, &'static str);
    let cases: [Case; 14] = [
        (Station::Front, "nginx", stale, "tag v1"),
        (Station::Front, "nginx", wrong_bytes, "manifest"),
        (Station::Front, "nginx", wrong_size, "layer 2"),
        (Station::Front, "nginx", wrong_digest, "layer 2"),
        (Station::Front, "nginx", broken, "layer 2"),
        (Station::Front, "nginx", lacks, "layer 2"),
        (Station::Server, "server", broken, "layer 2"),
        (Station::DiskCache, "cache", broken, "layer 2"),
        (Station::SharedRedis, "shared", wrong_bytes, "manifest"),
        (Station::DistributionRedis, "redis", wrong_size, "layer 2"),
        (Station::Site, "ams", stale, "tag v1"),
        (Station::Site, "ams", lacks, "layer 2"),
        (Station::Site, "ams", broken, "layer 2"),
        (Station::Site, "ams", wrong_size, "layer 2"),
    ];
    let world = World::new().await;
    for (station, who, lie, what) in cases {
        let report = world.look(&witnesses(&world, Some(station), 9, lie), |_| {}).await;
        assert_eq!(liars(&report), only(who, what), "{report:#?}");
        let [verdict] = &report.verdicts[..] else { panic!("{report:#?}") };
        assert_eq!((report.exit_code(), verdict.station, &*verdict.who), (1, station, who));
        assert!(verdict.mend.starts_with("mend /v2/app/"), "{verdict:?}");
        assert_eq!(verdict.images, ["app:v1"]);
        assert!(report.incident.as_ref().unwrap().contains(&verdict.text), "{report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_those_who_hand_on_what_is_wrong_the_innermost_is_named() {
    let world = World::new().await;
    let fronts = |lie: fn(&Object) -> Option<Testimony>| {
        let fake = |name: &str| Fake {
            name: name.into(),
            station: Station::Front,
            memory: world.memory.clone(),
            lie: Box::new(lie),
            patience: AtomicUsize::new(99),
        };
        ["edge", "nginx"].map(|name| Box::new(fake(name)) as Box<dyn Witness>)
    };
    let report = world.look(&fronts(stale), |_| {}).await;
    assert_eq!(liars(&report), only("nginx", "tag v1"), "{report:#?}");
    world.flip_layer().await;
    // A registry that proves nothing hands on what it reads.
    let handed_on = |object: &Object| {
        about(object, Role::Layer, Testimony::Has(Claim { hashed: Some(other()), ..Claim::default() }))
    };
    let report = world.look(&fronts(handed_on), |_| {}).await;
    assert_eq!(liars(&report), only("the store", "layer 2"), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lie_that_does_not_last_is_not_told() {
    let world = World::new().await;
    for lie in [stale, wrong_bytes, wrong_size, broken, lacks] {
        // The third look tells the truth.
        for (times, code) in [(1, 0), (2, 0), (3, 1)] {
            let report = world.look(&witnesses(&world, Some(Station::Front), times, lie), |_| {}).await;
            assert_eq!(report.exit_code(), code, "{times}: {report:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_has_wrong_is_the_stores_fault_and_the_rest_follows() {
    let tag = layout::tag_current(&RepositoryName::parse("app").unwrap(), &Tag::parse("v1").unwrap());
    let cases =
        ["missing", "flipped", "short", "unlinked", "manifest missing", "manifest flipped", "link empty"];
    for case in cases {
        let world = World::new().await;
        let (data, link) = (layout::blob_data(&world.layer), layout::layer_link(&world.app, &world.layer));
        let manifest = layout::blob_data(&world.manifest);
        let (what, text) = match case {
            "missing" => (world.delete(&data).await, ("layer 2", "is not there")).1,
            "flipped" => (world.flip_layer().await, ("layer 2", "has other bytes")).1,
            "short" => (world.put(&data, vec![1; LAYER - 1]).await, ("layer 2", "is short: it has 199999")).1,
            "unlinked" => (world.delete(&link).await, ("layer 2", "is not linked in the repository")).1,
            "manifest missing" => (world.delete(&manifest).await, ("manifest", "is not there")).1,
            "manifest flipped" => (world.put(&manifest, "x").await, ("manifest", "has other bytes")).1,
            _ => (world.put(&tag, "").await, ("tag v1", "is empty")).1,
        };
        let mut asked = honest(&world);
        // These have copies of their own, and cannot follow.
        asked.retain(|witness| !["cache", "shared", "ams"].contains(&&*witness.name()));
        let report = world.look(&asked, |_| {}).await;
        let [first] = &report.verdicts[..] else { panic!("{case}: {report:#?}") };
        assert_eq!((report.exit_code(), &*first.who), (1, "the store"), "{case}: {report:#?}");
        assert!(first.text.contains(what) && first.text.contains(text), "{case}: {}", first.text);
        assert_eq!(liars(&report), only("the store", what), "{case}: {report:#?}");
        let heal = format!("wharfinger heal --digest {}; docker push REGISTRY/app:v1", world.layer);
        let withheld_first = ["flipped", "short"].contains(&case);
        let mend = if withheld_first { &*heal } else { "docker push REGISTRY/app:v1" };
        assert_eq!(first.mend, mend, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_intact_copy_elsewhere_is_named_and_the_store_healed_from_it() {
    let (world, other) = (World::new().await, World::new().await);
    world.flip_layer().await;
    let fake = |name: &str, station, memory: &Memory| {
        let (memory, patience) = (memory.clone(), AtomicUsize::new(0));
        Box::new(Fake { name: name.into(), station, memory, lie: Box::new(|_| None), patience })
            as Box<dyn Witness>
    };
    let asked = [fake("edge", Station::Front, &other.memory), fake("ams", Station::Site, &other.memory)];
    let report = world.look(&asked, |options| options.config = " --config c.yml".into()).await;
    let [verdict] = &report.verdicts[..] else { panic!("{report:#?}") };
    assert_eq!(verdict.intact, ["edge", "ams"]);
    assert_eq!(verdict.mend, format!("wharfinger heal --digest {} --config c.yml", world.layer));
    assert!(report.incident.as_ref().unwrap().contains("An intact copy is at edge, ams."), "{report:#?}");
    let report = world.look(&asked, |options| options.observe = true).await;
    assert!(report.verdicts[0].mend.starts_with("docker push REGISTRY/app:v1"), "{report:#?}");
    // The manifest is walked by what another has of it.
    world.delete(&layout::blob_data(&world.manifest)).await;
    let report = world.look(&asked, |_| {}).await;
    assert_eq!(nodes(&report).len(), 5, "{report:#?}");
    assert_eq!(liars(&report).len(), 2, "manifest and layer: {report:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_chunk_index_is_held_against_the_bytes() {
    let world = World::new().await;
    let (one, two) = (layout::chunk_index(&world.layer), World::new().await);
    let (_, other) = push_image(&two.registry, &two.app, &["v2"], 9).await;
    let wrong = two.memory.get(&layout::chunk_index(&other), 1 << 20).await.unwrap();
    world.put(&one, wrong).await;
    let report = world.look(&honest(&world), |_| {}).await;
    assert_eq!(liars(&report), only("chunk index", "layer 2"), "{report:#?}");
    assert!(report.verdicts[0].mend.starts_with("wharfinger heal --digest"), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_withholds_is_read_even_if_nothing_else_is() {
    let world = World::new().await;
    let shallow = |options: &mut Options| options.deep = Some(false);
    let report = world.look(&witnesses(&world, Some(Station::Server), 9, broken), shallow).await;
    assert_eq!(liars(&report), only("server", "layer 2"), "{report:#?}");
    world.flip_layer().await;
    let report = world.look(&witnesses(&world, Some(Station::Server), 9, broken), shallow).await;
    assert_eq!(report.verdicts[0].who, "the store", "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_told_and_damage_elsewhere_wins() {
    let world = World::new().await;
    let silent = |_: &Object| Some(Testimony::Silent("it answers 502".into()));
    let asked = witnesses(&world, Some(Station::Front), 99, silent);
    let report = world.look(&asked, |_| {}).await;
    assert_eq!((report.exit_code(), liars(&report).len()), (2, 0), "{report:#?}");
    assert!(report.verdict.starts_with("could not tell: nginx on"), "{}", report.verdict);
    world.delete(&layout::blob_data(&world.layer)).await;
    assert_eq!(world.look(&asked, |_| {}).await.exit_code(), 1);
    let report = world.look_at("app:v2", &honest(&world), |_| {}).await;
    assert_eq!((report.exit_code(), liars(&report).len()), (2, 0), "{report:#?}");
    assert!(report.verdict.contains("there is no such tag"), "{}", report.verdict);
    // But for one who serves what is not there.
    fn kept(object: &Object) -> Option<Testimony> {
        about(object, Role::Tag, Testimony::Has(Claim { digest: Some(other()), ..Claim::default() }))
    }
    let report = world.look_at("app:v2", &witnesses(&world, Some(Station::Front), 9, kept), |_| {}).await;
    assert_eq!(liars(&report), only("nginx", "tag v2"), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn of_an_index_one_platform_or_what_has_to_be_here() {
    let world = World::new().await;
    let (arm, _) = push_image(&world.registry, &world.app, &[], 2).await;
    let child = |digest: &Digest, architecture: &str| {
        format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":1,"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
            media_type::OCI_MANIFEST
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}}"#,
        media_type::OCI_INDEX,
        child(&world.manifest, "amd64"),
        child(&arm, "arm64"),
    );
    push_manifest(&world.registry, &world.app, &["multi"], media_type::OCI_INDEX, index).await;
    let report = world.look_at("app:multi", &honest(&world), |_| {}).await;
    let what: Vec<&str> = nodes(&report).iter().map(|node| node.what.as_str()).collect();
    assert_eq!((report.exit_code(), what.len()), (0, 10), "{what:?}");
    assert_eq!(what[..3], ["tag multi", "index", "manifest linux/amd64"]);

    world.delete(&layout::blob_data(&arm)).await;
    world.delete(&layout::revision_link(&world.app, &arm)).await;
    let look = |change: fn(&mut Options)| world.look_at("app:multi", &[], change);
    let report = look(|_| {}).await;
    assert_eq!(liars(&report), only("the store", "manifest linux/arm64"), "{report:#?}");
    assert_eq!(look(|options| options.index_children = IndexChildren::None).await.exit_code(), 0);
    assert_eq!(look(|options| options.platform = Some("linux/amd64".parse().unwrap())).await.exit_code(), 0);
    let report = look(|options| options.platform = Some("linux/s390x".parse().unwrap())).await;
    assert_eq!((report.exit_code(), report.unknown.len()), (2, 1), "{report:#?}");
    assert!(report.verdict.contains("the index has nothing for linux/s390x"), "{}", report.verdict);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_moves_while_it_is_looked_at_is_not_damaged() {
    let world = World::new().await;
    let (next, _) = push_image(&world.registry, &world.app, &[], 3).await;
    let (memory, app, old) = (world.memory.clone(), world.app.clone(), (world.manifest, world.layer));
    // While the old layer is asked for, the tag moves and the old image is deleted.
    let lie = move |object: &Object| {
        if object.digest() == Some(old.1) {
            let tag = layout::tag_current(&app, &Tag::parse("v1").unwrap());
            memory.put(&tag, next.to_string().into(), Durability::Synced).now_or_never().unwrap().unwrap();
            for key in
                [layout::blob_data(&old.1), layout::layer_link(&app, &old.1), layout::blob_data(&old.0)]
            {
                memory.delete(&key, Delete::default()).now_or_never().unwrap().unwrap();
            }
        }
        None
    };
    let (memory, patience) = (world.memory.clone(), AtomicUsize::new(0));
    let hook = Fake { name: "edge".into(), station: Station::Front, memory, lie: Box::new(lie), patience };
    let report = world.look(&[Box::new(hook) as Box<dyn Witness>], |_| {}).await;
    assert_eq!((report.exit_code(), nodes(&report)[1].digest), (0, Some(next)), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn all_tags_of_a_repository_are_told_and_what_they_share_once() {
    let world = World::new().await;
    push_image(&world.registry, &world.app, &["v2", "v3"], 1).await;
    push_image(&world.registry, &world.app, &["other"], 7).await;
    world.delete(&layout::tag_current(&world.app, &Tag::parse("v3").unwrap())).await;
    let images: Vec<Image> = images_of(&world.memory, &world.app).await.unwrap();
    assert_eq!(images.len(), 4, "a deleted tag is listed by what it had");
    world.flip_layer().await;
    let report = examine(&world.memory, &[], &images, &options(), &Unwatched).await;
    let [verdict] = &report.verdicts[..] else { panic!("{report:#?}") };
    assert_eq!(verdict.images, ["app:v1", "app:v2"]);
    assert_eq!((report.exit_code(), report.images.len()), (1, 3), "{report:#?}");
    let right = |node: &&&Node| node.said.iter().all(|said| said.answer == Answer::Right);
    assert_eq!(nodes(&report).iter().filter(right).count(), 13, "{report:#?}");
}
