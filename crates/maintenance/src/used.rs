//! Who pushed an image, and who pulled it last, as far as it is known.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use wharfinger_oci::{Reference, RepositoryName};
use wharfinger_registry::{Activity, Event, Happened, Registry, layout};

use crate::{Unwatched, parallel};

/// A link that was written so much later than the push that is on record was written by another one.
const SAME: Duration = Duration::from_secs(60);

/// What is known of each of these images (`repository:tag`, `repository@digest`). A push that is not on record is one at the
/// time of its link, by nobody known. Where the records cannot be read nothing is known.
pub async fn of_images(registry: &Registry, images: Vec<String>, limit: usize) -> BTreeMap<String, Happened> {
    let mut wanted: BTreeMap<RepositoryName, Vec<(String, Reference)>> = BTreeMap::new();
    for image in images {
        if let Some((name, reference)) = split(&image) {
            wanted.entry(name).or_default().push((image, reference));
        }
    }
    let known = parallel::each(wanted.into_iter().collect(), limit, &Unwatched, |(name, images)| {
        Box::pin(async move {
            let activity = registry.activity(&name).await.unwrap_or_default();
            let mut known = Vec::new();
            for (image, reference) in images {
                known.push((image, of_image(registry, &name, &reference, &activity).await));
            }
            known
        })
    });
    known.await.into_iter().flatten().collect()
}

fn split(image: &str) -> Option<(RepositoryName, Reference)> {
    let (name, reference) = image.split_once('@').or_else(|| image.rsplit_once(':'))?;
    Some((RepositoryName::parse(name).ok()?, Reference::parse(reference).ok()?))
}

async fn of_image(
    registry: &Registry,
    name: &RepositoryName,
    reference: &Reference,
    activity: &Activity,
) -> Happened {
    let (mut happened, link) = match reference {
        Reference::Tag(tag) => (activity.of_tag(tag), layout::tag_current(name, tag)),
        Reference::Digest(digest) => (activity.of_digest(digest), layout::revision_link(name, digest)),
    };
    let linked = registry.store().head(&link).await.ok().and_then(|meta| meta.modified);
    if let Some(linked) = linked.filter(|linked| is_another(happened.pushed.as_ref(), *linked)) {
        let at = OffsetDateTime::from(linked);
        let at = at.replace_nanosecond(0).unwrap_or(at);
        happened.pushed = Some(Event { at, user: None, address: None });
    }
    happened
}

/// Whether a link that was written then is of another push than the one on record.
fn is_another(recorded: Option<&Event>, linked: SystemTime) -> bool {
    recorded.is_none_or(|recorded| {
        linked.duration_since(recorded.at.into()).is_ok_and(|later: Duration| later > SAME)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wharfinger_oci::{Digest, Tag};
    use wharfinger_registry::Options;
    use wharfinger_store::{Durability, Memory, Store};

    use super::*;

    async fn site(recorded_ago: i64) -> Registry {
        let store = Arc::new(Memory::new());
        let (name, tag) = (RepositoryName::parse("app").unwrap(), Tag::parse("v1").unwrap());
        let digest = Digest::sha256(b"x");
        let link = layout::tag_current(&name, &tag);
        store.put(&link, digest.to_string().into(), Durability::Synced).await.unwrap();
        let registry = Registry::new(store, Options::default());
        let at = OffsetDateTime::now_utc() - time::Duration::seconds(recorded_ago);
        let event = Event { at, user: Some("ci".into()), address: None };
        registry.note_push(&name, &[tag], &digest, &event);
        registry
    }

    #[tokio::test]
    async fn a_push_that_another_registry_did_since_is_not_ascribed_to_whom_is_on_record() {
        for (recorded_ago, who) in [(10, "ci"), (100, "nobody known")] {
            let registry = site(recorded_ago).await;
            let known = of_images(&registry, vec!["app:v1".into(), "app:none".into()], 4).await;
            assert_eq!(known["app:v1"].pushed.as_ref().unwrap().who(), who);
            assert_eq!(known["app:none"], Happened::default());
        }
    }
}
