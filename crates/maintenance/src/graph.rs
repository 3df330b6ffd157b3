//! The graph of a registry: tag -> index -> manifest -> config and layers.
//!
//! Everything in it was read by name. Candidates come from a [`Census`]; what a listing lacks is found by what refers
//! to it. Nothing is read twice until it is forgotten: [`Graph::fill`] reads what is not known yet.

mod judge;
pub(crate) mod read;

pub(crate) use read::form;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use wharfinger_oci::{Digest, ManifestKind, RepositoryName, Tag};
use wharfinger_store::{Inventory, Key, Result, Store};

use crate::census::{Census, Listed};
use crate::{Effort, Watch, parallel};

/// What a link holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A digest.
    To(Digest),
    /// There is no such link.
    Missing,
    /// So many bytes that are no digest.
    Broken(usize),
    /// It could not be read.
    Unknown(String),
}

impl Link {
    /// The digest that it holds.
    pub fn target(&self) -> Option<Digest> {
        match self {
            Link::To(digest) => Some(*digest),
            _ => None,
        }
    }
}

/// What the bytes of a manifest are.
#[derive(Clone, Debug)]
pub enum Content {
    /// A manifest, proved by its digest.
    Manifest(Arc<Node>),
    /// A schema1 manifest with these layers.
    Schema1(Vec<Digest>),
    /// There are no such bytes.
    Missing,
    /// They are not what the digest says, or not whole.
    Damaged(String),
    /// They are whole, and no manifest that is served.
    Unreadable(String),
    /// They could not be read.
    Unknown(String),
}

/// A manifest with what it names.
#[derive(Clone, Debug)]
pub struct Node {
    /// Which of the four kinds.
    pub kind: ManifestKind,
    /// Its length in bytes.
    pub size: u64,
    /// Config and layers that have to be in the registry, with the sizes that it tells.
    pub blobs: Vec<(Digest, u64)>,
    /// Manifests that it lists.
    pub manifests: Vec<Digest>,
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
}

/// How the object of a blob is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object or file.
    Plain,
    /// A static large object; what the names of its segments begin with.
    Static(Vec<String>),
    /// A dynamic large object.
    Dynamic {
        /// Where its segments lie.
        container: String,
        /// What their names begin with.
        prefix: String,
        /// How many there are and how long they are together, where that is on record.
        recorded: Option<(u64, u64)>,
    },
}

/// Whether the bytes of a blob are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As far as a look at object and segments tells, or by its hash where `hashed`.
    Whole {
        /// Whether its digest was computed.
        hashed: bool,
    },
    /// There is no such object.
    Missing,
    /// It is not whole, or not what its digest says.
    Damaged(String),
    /// It could not be looked at.
    Unknown(String),
}

/// A blob that was looked at.
#[derive(Clone, Debug)]
pub struct Blob {
    /// How it is put together; none where it is missing or could not be looked at.
    pub form: Option<Form>,
    /// Its length in bytes, where it is whole.
    pub size: u64,
    /// Whether its bytes are there.
    pub state: State,
}

/// What was read below one repository.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Where tags point.
    pub tags: BTreeMap<Tag, Link>,
    /// Revision links.
    pub revisions: BTreeMap<Digest, Link>,
    /// Layer links of blobs that a manifest names.
    pub layers: BTreeMap<Digest, Link>,
    /// Links that a listing shows with an odd length.
    pub odd: BTreeMap<Key, Link>,
}

impl View {
    /// The manifest that a tag points to.
    pub fn target(&self, tag: &Tag) -> Option<Digest> {
        self.tags.get(tag)?.target()
    }
}

/// What was read.
#[derive(Debug, Default)]
pub struct Graph {
    /// By repository.
    pub views: BTreeMap<RepositoryName, View>,
    /// Manifests, by digest.
    pub manifests: HashMap<Digest, Content>,
    /// Blobs, by digest; of manifests those alone that are large objects.
    pub blobs: HashMap<Digest, Blob>,
    /// The blobs that are looked at; all where there are none.
    only: Option<HashSet<Mark>>,
}

/// The first bytes of a digest: enough to tell millions of them apart, in an eighth of the memory.
pub type Mark = u64;

/// The [`Mark`] of a digest.
pub fn mark(digest: &Digest) -> Mark {
    digest.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Waits before what looks wrong is looked at once more: replicas and listings may lag, and another registry may be at
/// work.
pub(crate) const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

impl Graph {
    /// Reads everything, and what looks wrong again after a while. With it comes a listing that is at least as new as
    /// what was not found.
    ///
    /// # Errors
    /// The listing failed.
    pub async fn settled(
        store: &dyn Store,
        inventory: &dyn Inventory,
        effort: Effort,
        watch: &dyn Watch,
    ) -> Result<(Graph, Census)> {
        let mut graph = Graph::default();
        let mut census = Census::take(inventory, watch).await?;
        graph.fill(store, &census, effort, watch).await;
        for wait in LOOK_AGAIN {
            if !graph.forget_doubtful() {
                break;
            }
            tokio::time::sleep(wait).await;
            census = Census::take(inventory, watch).await?;
            graph.fill(store, &census, effort, watch).await;
        }
        if graph.misses_links() {
            census = Census::take(inventory, watch).await?;
        }
        Ok((graph, census))
    }

    /// An empty graph that will look at these blobs alone.
    pub fn of_blobs(only: HashSet<Mark>) -> Graph {
        Graph { only: Some(only), ..Graph::default() }
    }

    /// Reads everything that is not known yet: the links of all tags and revisions, the manifests that they and
    /// indexes name, the layer links and blobs that manifests name, and the other blobs of the census. What cannot be
    /// read is kept as unknown.
    pub async fn fill(&mut self, store: &dyn Store, census: &Census, effort: Effort, watch: &dyn Watch) {
        self.fill_images(store, census, effort, watch).await;
        self.fill_layers(store, effort, watch).await;
        self.fill_blobs(store, census, effort, watch).await;
    }

    /// As [`Graph::fill`], down to the manifests: neither layer links nor blobs.
    pub async fn fill_images(
        &mut self,
        store: &dyn Store,
        census: &Census,
        effort: Effort,
        watch: &dyn Watch,
    ) {
        self.fill_tags(store, census, effort, watch).await;
        // An index names manifests, whose links and bytes come next; an index of indexes once more.
        while self.fill_manifests(store, census, effort, watch).await > 0 {}
    }

    async fn fill_tags(&mut self, store: &dyn Store, census: &Census, effort: Effort, watch: &dyn Watch) {
        let mut wanted: Vec<(RepositoryName, Pointer)> = Vec::new();
        for (name, listed) in &census.repositories {
            let view = self.views.entry(name.clone()).or_default();
            let tags = listed.tags.iter().filter(|(tag, current)| **current && !view.tags.contains_key(tag));
            wanted.extend(tags.map(|(tag, _)| (name.clone(), Pointer::Tag(tag.clone()))));
            let odd = listed.odd.iter().filter(|key| !view.odd.contains_key(key));
            wanted.extend(odd.map(|key| (name.clone(), Pointer::Odd(key.clone()))));
        }
        self.fill_links("reading tags", wanted, store, effort, watch).await;
    }

    /// One step down; says how many links and manifests it read.
    async fn fill_manifests(
        &mut self,
        store: &dyn Store,
        census: &Census,
        effort: Effort,
        watch: &dyn Watch,
    ) -> usize {
        let (mut links, mut contents) = (Vec::new(), HashSet::new());
        let nothing = Listed::default();
        for (name, view) in &self.views {
            let listed = census.repositories.get(name).unwrap_or(&nothing);
            for digest in self.needed(view, listed) {
                if !view.revisions.contains_key(&digest) {
                    links.push((name.clone(), Pointer::Revision(digest)));
                }
                if !self.manifests.contains_key(&digest) {
                    contents.insert(digest);
                }
            }
        }
        let count = links.len() + contents.len();
        if count == 0 {
            return 0;
        }
        self.fill_links("reading revisions", links, store, effort, watch).await;
        watch.begin("reading manifests", Some(contents.len() as u64));
        let contents: Vec<Digest> = contents.into_iter().collect();
        let read = parallel::each(contents, effort.parallel, watch, |digest| {
            Box::pin(async move { (digest, read::manifest(store, &digest).await) })
        });
        self.manifests.extend(read.await);
        count
    }

    /// The manifests that have to be in a repository, as far as is known: those that its revisions and tags name, and
    /// what these list.
    pub fn needed(&self, view: &View, listed: &Listed) -> BTreeSet<Digest> {
        let targets = view.tags.keys().filter_map(|tag| view.target(tag));
        let mut open: Vec<Digest> = listed.revisions.iter().copied().chain(targets).collect();
        let mut needed = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if needed.insert(digest)
                && let Some(Content::Manifest(node)) = self.manifests.get(&digest)
            {
                open.extend(&node.manifests);
            }
        }
        needed
    }

    async fn fill_layers(&mut self, store: &dyn Store, effort: Effort, watch: &dyn Watch) {
        let mut wanted = Vec::new();
        for (name, view) in &self.views {
            let mut blobs = BTreeSet::new();
            for digest in view.revisions.keys() {
                blobs.extend(self.blobs_of(digest).map(|(blob, _)| blob));
            }
            let unread = blobs.into_iter().filter(|blob| !view.layers.contains_key(blob));
            wanted.extend(unread.map(|blob| (name.clone(), Pointer::Layer(blob))));
        }
        self.fill_links("reading layer links", wanted, store, effort, watch).await;
    }

    /// Config and layers of a manifest, with the sizes that it tells; schema1 tells none.
    pub fn blobs_of(&self, manifest: &Digest) -> Box<dyn Iterator<Item = (Digest, Option<u64>)> + '_> {
        match self.manifests.get(manifest) {
            Some(Content::Manifest(node)) => {
                Box::new(node.blobs.iter().map(|(digest, size)| (*digest, Some(*size))))
            }
            Some(Content::Schema1(layers)) => Box::new(layers.iter().map(|digest| (*digest, None))),
            _ => Box::new(std::iter::empty()),
        }
    }

    async fn fill_blobs(&mut self, store: &dyn Store, census: &Census, effort: Effort, watch: &dyn Watch) {
        let referred =
            self.views.values().flat_map(|view| view.layers.iter()).map(|(digest, link)| match link {
                // Content that was pushed under another algorithm may lie under its SHA-256.
                Link::To(target) => *target,
                _ => *digest,
            });
        let wanted: HashSet<Digest> = census.blobs.keys().copied().chain(referred).collect();
        // A manifest that was pushed as a blob before may be a large object, which has no bytes of its own.
        let is_manifest = |digest: &Digest| {
            self.manifests.contains_key(digest) && census.blobs.get(digest).is_none_or(|size| *size > 0)
        };
        let asked_for = |digest: &Digest| self.only.as_ref().is_none_or(|only| only.contains(&mark(digest)));
        let unread =
            |digest: &Digest| asked_for(digest) && !self.blobs.contains_key(digest) && !is_manifest(digest);
        let wanted: Vec<Digest> = wanted.into_iter().filter(unread).collect();
        watch.begin("looking at blobs", Some(wanted.len() as u64));
        let read = parallel::each(wanted, effort.parallel, watch, |digest| {
            Box::pin(async move { (digest, read::blob(store, &digest).await) })
        });
        self.blobs.extend(read.await);
    }

    async fn fill_links(
        &mut self,
        step: &'static str,
        wanted: Vec<(RepositoryName, Pointer)>,
        store: &dyn Store,
        effort: Effort,
        watch: &dyn Watch,
    ) {
        watch.begin(step, Some(wanted.len() as u64));
        let read = parallel::each(wanted, effort.parallel, watch, |(name, pointer)| {
            Box::pin(async move {
                let link = read::link(store, &pointer.key(&name)).await;
                (name, pointer, link)
            })
        });
        for (name, pointer, link) in read.await {
            let view = self.views.entry(name).or_default();
            match pointer {
                Pointer::Tag(tag) => drop(view.tags.insert(tag, link)),
                Pointer::Revision(digest) => drop(view.revisions.insert(digest, link)),
                Pointer::Layer(digest) => drop(view.layers.insert(digest, link)),
                Pointer::Odd(key) => drop(view.odd.insert(key, link)),
            }
        }
    }

    /// Forgets what is missing, broken, damaged or unknown, and then all links of tags and revisions too: what is wrong
    /// may be so because its image was deleted meanwhile. [`Graph::fill`] looks at all that once more. Says whether
    /// there was anything wrong.
    pub fn forget_doubtful(&mut self) -> bool {
        let good = |link: &Link| matches!(link, Link::To(_));
        let of = |view: &View| {
            view.tags.values().chain(view.revisions.values()).filter(|link| !good(link)).count()
        };
        let mut wrong = self.views.values().map(of).sum::<usize>();
        let before = self.size();
        for view in self.views.values_mut() {
            view.layers.retain(|_, link| good(link));
            view.odd.retain(|_, link| good(link));
        }
        self.manifests.retain(|_, content| {
            matches!(content, Content::Manifest(_) | Content::Schema1(_) | Content::Unreadable(_))
        });
        self.blobs.retain(|_, blob| matches!(blob.state, State::Whole { .. }));
        wrong += before - self.size();
        if wrong > 0 {
            for view in self.views.values_mut() {
                view.tags.clear();
                view.revisions.clear();
            }
        }
        wrong > 0
    }

    /// Whether there is a tag or a revision whose link is not there by name.
    pub(crate) fn misses_links(&self) -> bool {
        let links = self.views.values().flat_map(|view| view.tags.values().chain(view.revisions.values()));
        links.into_iter().any(|link| *link == Link::Missing)
    }

    fn size(&self) -> usize {
        let links: usize = self.views.values().map(|view| view.layers.len() + view.odd.len()).sum();
        links + self.manifests.len() + self.blobs.len()
    }
}

/// A link to be read.
enum Pointer {
    Tag(Tag),
    Revision(Digest),
    Layer(Digest),
    Odd(Key),
}

impl Pointer {
    fn key(&self, name: &RepositoryName) -> Key {
        use wharfinger_registry::layout;
        match self {
            Pointer::Tag(tag) => layout::tag_current(name, tag),
            Pointer::Revision(digest) => layout::revision_link(name, digest),
            Pointer::Layer(digest) => layout::layer_link(name, digest),
            Pointer::Odd(key) => key.clone(),
        }
    }
}
