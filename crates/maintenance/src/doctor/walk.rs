//! From a tag to what the image consists of.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use wharfinger_oci::{Descriptor, Digest, Manifest};
use wharfinger_registry::IndexChildren;

use super::exam::Exam;
use super::object::Platform;
use super::{Doctor, Object, Role};

/// An index of indexes of indexes is no image.
const DEEPEST: usize = 4;
/// Manifests of one index that are looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// An object with what it names.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) object: Object,
    pub(super) children: Vec<Branch>,
    /// Why its children are not known.
    pub(super) trouble: Option<String>,
}

impl Branch {
    fn leaf(object: Object) -> Branch {
        Branch { object, children: Vec::new(), trouble: None }
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Branch)) {
        visit(self);
        self.children.iter().for_each(|child| child.each(visit));
    }
}

impl Doctor<'_> {
    /// Looks at links and manifests; blobs are only found.
    pub(super) async fn walk(&self, root: Object) -> Branch {
        self.walk_from(root, 0).await
    }

    fn walk_from(&self, mut object: Object, depth: usize) -> BoxFuture<'_, Branch> {
        Box::pin(async move {
            if object.is_blob() || depth > DEEPEST {
                return Branch::leaf(object);
            }
            let exam = match self.known(&object) {
                Some(exam) => exam,
                None => {
                    let exam = Arc::new(self.settle(&object, false).await);
                    self.exams.lock().insert(object.path(), exam.clone());
                    exam
                }
            };
            let (children, trouble) = self.children(&mut object, &exam);
            let walks = children.into_iter().map(|child| self.walk_from(child, depth + 1));
            let walks: Vec<BoxFuture<'_, Branch>> = walks.collect();
            let children = stream::iter(walks).buffered(SIDE_BY_SIDE).collect().await;
            Branch { object, children, trouble }
        })
    }

    /// What an object names, and why nothing is known of it. An index shows only when it is read.
    fn children(&self, object: &mut Object, exam: &Exam) -> (Vec<Object>, Option<String>) {
        if object.role == Role::Tag {
            let target = exam.copy.target.map(|target| object.below(Role::Manifest, target, None));
            return (target.into_iter().collect(), None);
        }
        let Some(bytes) = &exam.bytes else { return (Vec::new(), None) };
        let Ok(manifest) = Manifest::parse_stored(bytes) else { return (schema1(object, bytes), None) };
        if !manifest.kind.is_index() {
            return (blobs_of(object, &manifest), None);
        }
        object.role = Role::Index;
        let mut children = Vec::new();
        for descriptor in &manifest.manifests {
            let platform = Platform::of(descriptor);
            let wanted = match (&self.options.platform, &platform) {
                (None, _) => true,
                (Some(wanted), Some(platform)) => wanted.takes(platform),
                (Some(_), None) => false,
            };
            if wanted {
                children.push(Object {
                    must_be_here: self.must_be_here(platform.as_ref()),
                    platform: platform.map(|platform| platform.to_string()),
                    ..object.below(Role::Manifest, descriptor.digest, Some(descriptor.size))
                });
            }
        }
        let trouble = match &self.options.platform {
            Some(platform) if children.is_empty() => Some(format!("the index has nothing for {platform}")),
            _ => None,
        };
        (children, trouble)
    }

    fn must_be_here(&self, platform: Option<&Platform>) -> bool {
        match &self.options.index_children {
            IndexChildren::All => true,
            IndexChildren::None => false,
            IndexChildren::Platforms(platforms) => {
                let Some(platform) = platform else { return false };
                platforms.iter().any(|listed| platform.is(&listed.os, &listed.architecture))
            }
        }
    }

    /// The blobs of images, each once, that were not looked at yet.
    pub(super) fn blobs<'b>(&self, branches: impl IntoIterator<Item = &'b Branch>) -> Vec<Object> {
        let (mut blobs, mut seen) = (Vec::new(), HashSet::new());
        for branch in branches {
            branch.each(&mut |branch| {
                let object = &branch.object;
                if object.is_blob() && self.known(object).is_none() && seen.insert(object.path()) {
                    blobs.push(object.clone());
                }
            });
        }
        blobs
    }

    pub(super) fn is_wrong(&self, branch: &Branch) -> bool {
        let mut wrong = false;
        branch.each(&mut |branch| {
            wrong |= self.known(&branch.object).is_some_and(|exam| exam.is_wrong());
        });
        wrong
    }

    /// Whether there is no such image, and nobody says otherwise.
    pub(super) fn is_gone(&self, branch: &Branch) -> bool {
        self.known(&branch.object).is_some_and(|exam| exam.copy.absent && !exam.is_wrong())
    }

    /// Forgets what was found out about an image.
    pub(super) fn forget(&self, branch: &Branch) {
        let mut exams = self.exams.lock();
        branch.each(&mut |branch| drop(exams.remove(&branch.object.path())));
    }
}

/// Config and layers; without those that may lie elsewhere.
fn blobs_of(object: &Object, manifest: &Manifest) -> Vec<Object> {
    let required: HashSet<Digest> = manifest.required_blobs().map(|blob| blob.digest).collect();
    let blob = |role, number, descriptor: &Descriptor| Object {
        number,
        ..object.below(role, descriptor.digest, Some(descriptor.size))
    };
    let config = manifest.config.iter().map(|config| blob(Role::Config, 0, config));
    let layers = (1..).zip(&manifest.layers).filter(|(_, layer)| required.contains(&layer.digest));
    config.chain(layers.map(|(number, layer)| blob(Role::Layer, number, layer))).collect()
}

fn schema1(object: &Object, bytes: &[u8]) -> Vec<Object> {
    let layers = crate::graph::read::schema1_layers(bytes);
    let layer = |(number, digest)| Object { number, ..object.below(Role::Layer, digest, None) };
    (1..).zip(layers).map(layer).collect()
}
