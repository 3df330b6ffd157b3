//! Whom the differences hit.
//!
//! Only what differs is looked for: the repositories that have it, their tags and manifests, at both sites, since the same
//! tag may lead to different images.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wharfinger_oci::{Digest, RepositoryName, Tag};
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_store::{Area, Entry, List, StoreError};

use super::look::Different;
use super::report::{Difference, Image, Kind, Object, Report};
use super::{Options, Side, Sites, Unreachable};
use crate::Watch;
use crate::census::{Census, Listed, each_row};
use crate::graph::{Content, Graph};

/// Tags of one page of a listing.
const PAGE: usize = 10_000;

/// An image: repository and tag.
type Name = (RepositoryName, Tag);

/// Fills differences and images into the report.
///
/// # Errors
/// A listing failed.
pub(super) async fn judge(
    sites: &Sites,
    different: Vec<Different>,
    options: &Options<'_>,
    watch: &dyn Watch,
    report: &mut Report,
) -> Result<(), Unreachable> {
    let wanted = Wanted::of(&different);
    let mut users = Vec::new();
    for side in Side::BOTH {
        let found = Users::find(sites, side, &wanted, options, watch).await;
        users.push(found.map_err(|source| Unreachable { side, source })?);
    }
    let is_tag = |different: &&Different| different.kind == Kind::Differs;
    let moved: HashSet<Name> = different.iter().filter(is_tag).filter_map(tag).collect();
    let mut images: BTreeMap<Name, Image> = BTreeMap::new();
    for mut one in different {
        let expected = users.iter().find_map(|users| users.sizes.get(digest(&one.place)?).copied());
        blame(&mut one, expected);
        let young = options.is_young(one.newest);
        let hit: BTreeSet<&Name> = users.iter().flat_map(|users| users.of_place(&one.place)).collect();
        let own = tag(&one);
        let hit: BTreeSet<Name> = hit.into_iter().cloned().chain(own).collect();
        if options.repositories.is_some() && hit.is_empty() && repository(&one.place).is_none() {
            continue;
        }
        for name in &hit {
            let image = images.entry(name.clone()).or_insert_with(|| Image {
                image: format!("{}:{}", name.0, name.1),
                in_flight: true,
                ..Image::default()
            });
            image.in_flight &= young;
            image.because.push(one.key.to_string());
            // Where the tag leads elsewhere, only what that site's own image needs keeps it from being pulled.
            let lacks = one
                .kind
                .side()
                .filter(|side| !moved.contains(name) || users[*side as usize].needs(&one.place, name));
            if let Some(side) = lacks.filter(|side| !image.cannot_be_pulled.contains(side)) {
                image.cannot_be_pulled.push(side);
            }
        }
        let names = hit.iter().map(|(repository, tag)| format!("{repository}:{tag}")).collect();
        let list = if young { &mut report.in_flight } else { &mut report.differences };
        list.push(difference(one, names));
    }
    report.images = images.into_values().collect();
    report.images.iter_mut().for_each(|image| image.because.sort());
    report.differences.sort();
    report.in_flight.sort();
    Ok(())
}

/// Where both sites have a blob with other lengths, the manifests that name it tell which is wrong.
fn blame(different: &mut Different, expected: Option<u64>) {
    let (Some(expected), Kind::Differs) = (expected, different.kind) else { return };
    let mut wrong = Vec::new();
    for (side, seen) in Side::BOTH.into_iter().zip([&mut different.here, &mut different.there]) {
        let Some(seen) = seen else { continue };
        if let Some(size) = seen.size.filter(|size| *size != expected) {
            seen.damage = Some(format!("it has {size} bytes, the manifests that name it say {expected}"));
            wrong.push(side);
        }
    }
    if let [side] = wrong.as_slice() {
        different.kind = Kind::damaged(*side);
    }
}

fn tag(different: &Different) -> Option<Name> {
    match &different.place {
        Place::TagCurrent(name, tag) => Some((name.clone(), tag.clone())),
        _ => None,
    }
}

fn repository(place: &Place) -> Option<&RepositoryName> {
    match place {
        Place::LayerLink(name, _)
        | Place::RevisionLink(name, _)
        | Place::TagCurrent(name, _)
        | Place::TagIndex(name, _, _) => Some(name),
        _ => None,
    }
}

fn digest(place: &Place) -> Option<&Digest> {
    match place {
        Place::Blob(digest)
        | Place::LayerLink(_, digest)
        | Place::RevisionLink(_, digest)
        | Place::TagIndex(_, _, digest) => Some(digest),
        _ => None,
    }
}

fn difference(one: Different, images: Vec<String>) -> Difference {
    let (object, tag) = match &one.place {
        Place::TagCurrent(_, tag) => (Object::Tag, Some(tag)),
        Place::TagIndex(_, tag, _) => (Object::TagHistory, Some(tag)),
        Place::RevisionLink(..) => (Object::Revision, None),
        Place::LayerLink(..) => (Object::LayerLink, None),
        _ => (Object::Blob, None),
    };
    Difference {
        kind: one.kind,
        object,
        repository: repository(&one.place).map(|name| name.as_str().to_owned()),
        tag: tag.map(|tag| tag.as_str().to_owned()),
        digest: digest(&one.place).map(ToString::to_string),
        key: one.key.to_string(),
        here: one.here,
        there: one.there,
        images,
    }
}

/// What has to be found in images.
#[derive(Debug, Default)]
struct Wanted {
    /// Blobs and manifests, whichever repositories they are in.
    blobs: HashSet<Digest>,
    /// Layers and manifests of one repository.
    links: BTreeMap<RepositoryName, HashSet<Digest>>,
}

impl Wanted {
    fn of(different: &[Different]) -> Wanted {
        let mut wanted = Wanted::default();
        for one in different {
            match &one.place {
                Place::Blob(digest) => drop(wanted.blobs.insert(*digest)),
                Place::LayerLink(name, digest) | Place::RevisionLink(name, digest) => {
                    wanted.links.entry(name.clone()).or_default().insert(*digest);
                }
                _ => {}
            }
        }
        wanted
    }

    fn has(&self, name: &RepositoryName, digest: &Digest) -> bool {
        self.blobs.contains(digest) || self.links.get(name).is_some_and(|links| links.contains(digest))
    }
}

/// The images of one site that need what is wanted.
#[derive(Debug, Default)]
struct Users {
    /// By what they need.
    images: HashMap<Digest, BTreeSet<Name>>,
    /// How long blobs are, as manifests tell.
    sizes: HashMap<Digest, u64>,
}

impl Users {
    async fn find(
        sites: &Sites,
        side: Side,
        wanted: &Wanted,
        options: &Options<'_>,
        watch: &dyn Watch,
    ) -> Result<Users, StoreError> {
        let site = sites.of(side);
        let mut names: BTreeSet<RepositoryName> = wanted.links.keys().cloned().collect();
        if !wanted.blobs.is_empty() {
            watch.begin("looking for the images", None);
            each_row(&*site.inventory, Area::Objects, watch, |row| match place(&row.name) {
                Some(Place::LayerLink(name, digest) | Place::RevisionLink(name, digest))
                    if wanted.blobs.contains(&digest) =>
                {
                    names.insert(name);
                }
                _ => {}
            })
            .await?;
        }
        let mut census = Census::default();
        for name in names.into_iter().filter(|name| options.wants(name.as_str())) {
            let tags = tags(sites, side, &name).await?;
            census.repositories.insert(name, Listed { tags, ..Listed::default() });
        }
        let mut graph = Graph::default();
        graph.fill_images(&*site.store, &census, options.effort, watch).await;
        Ok(Users::of(&graph, wanted))
    }

    fn of(graph: &Graph, wanted: &Wanted) -> Users {
        let mut users = Users::default();
        for (name, view) in &graph.views {
            for tag in view.tags.keys() {
                let mut open: Vec<Digest> = view.target(tag).into_iter().collect();
                let mut seen = HashSet::new();
                while let Some(manifest) = open.pop() {
                    if !seen.insert(manifest) {
                        continue;
                    }
                    if let Some(Content::Manifest(node)) = graph.manifests.get(&manifest) {
                        open.extend(&node.manifests);
                    }
                    users.note(wanted, name, tag, manifest, None);
                    for (blob, size) in graph.blobs_of(&manifest) {
                        users.note(wanted, name, tag, blob, size);
                    }
                }
            }
        }
        users
    }

    fn note(&mut self, wanted: &Wanted, name: &RepositoryName, tag: &Tag, digest: Digest, size: Option<u64>) {
        if !wanted.has(name, &digest) {
            return;
        }
        self.images.entry(digest).or_default().insert((name.clone(), tag.clone()));
        if let Some(size) = size {
            self.sizes.insert(digest, size);
        }
    }

    /// The images that need what lies there: a link, of one repository alone. Nobody needs where a tag pointed once.
    fn of_place<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Name> {
        let digest = digest(place).filter(|_| !matches!(place, Place::TagIndex(..)));
        let all = digest.and_then(|digest| self.images.get(digest)).into_iter().flatten();
        let within = repository(place);
        all.filter(move |(name, _)| within.is_none_or(|within| within == name))
    }

    fn needs(&self, place: &Place, name: &Name) -> bool {
        self.of_place(place).any(|user| user == name)
    }
}

/// The tags of a repository that have a link.
async fn tags(sites: &Sites, side: Side, name: &RepositoryName) -> Result<BTreeMap<Tag, bool>, StoreError> {
    let (prefix, mut tags, mut after) = (layout::tags(name), BTreeMap::new(), None);
    loop {
        let options = List { shallow: true, after: after.take(), limit: PAGE };
        let page = sites.store(side).list_holding(&prefix, layout::TAG_CURRENT, options).await?;
        after = page.entries.last().map(|entry| entry.name().to_owned());
        let tag = |entry: &Entry| Tag::parse(entry.name()).ok();
        tags.extend(page.entries.iter().filter_map(tag).map(|tag| (tag, true)));
        if !page.more || after.is_none() {
            return Ok(tags);
        }
    }
}
