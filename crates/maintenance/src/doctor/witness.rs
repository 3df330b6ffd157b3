//! Who is asked besides the store: fronts, the server's caches, Redis, other sites.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use wharfinger_oci::Digest;

use super::Object;

/// Where in the system somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Station {
    /// The store itself.
    Store,
    /// The checksums beside a blob in the store.
    ChunkIndex,
    /// What Distribution keeps in Redis, and believes.
    DistributionRedis,
    /// The running server: what it withholds.
    Server,
    /// The running server's disk cache, which it proves at each read.
    DiskCache,
    /// What our instances keep in Redis, and prove at each read.
    SharedRedis,
    /// An HTTP server or cache before the registry.
    Front,
    /// Another site's store.
    Site,
}

impl Station {
    /// Whether others give its answers on as they are: what is wrong there makes what stands before it wrong too.
    pub(super) fn is_believed(self) -> bool {
        !matches!(self, Station::DiskCache | Station::SharedRedis | Station::Site)
    }

    /// How deep inside it is; the store is the innermost.
    pub(super) fn depth(self) -> usize {
        match self {
            Station::Store => 0,
            Station::ChunkIndex => 1,
            Station::DistributionRedis => 2,
            Station::SharedRedis => 3,
            Station::DiskCache => 4,
            Station::Server => 5,
            Station::Front => 6,
            Station::Site => 7,
        }
    }
}

/// What somebody says to have under an object's name.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// Its length in bytes.
    pub size: Option<u64>,
    /// The digest that it tells: of a tag, what it points to.
    pub digest: Option<Digest>,
    /// The digest of the bytes, where they were read whole.
    pub hashed: Option<Digest>,
    /// The bytes of a manifest.
    pub bytes: Option<Bytes>,
    /// What else there is to say, in a few words: `hit, age 17 s`.
    pub note: String,
}

/// What somebody says of an object.
#[derive(Clone, Debug)]
pub enum Testimony {
    /// It has this.
    Has(Claim),
    /// It has nothing, where the registry would have it: what it answered.
    Lacks(String),
    /// It keeps nothing of it, as caches may.
    Nothing,
    /// What it has is not whole, or it will not give it: what it answered.
    Broken(String),
    /// It could not be asked, or did not say.
    Silent(String),
}

/// Somebody who is asked about objects.
#[async_trait]
pub trait Witness: Send + Sync {
    /// What operators call it: `Varnish at http://edge:6081`.
    fn name(&self) -> String;

    /// Where it stands.
    fn station(&self) -> Station;

    /// The command that mends a wrong answer of its own to this object.
    fn mend(&self, object: &Object) -> String;

    /// Asks about an object; `deep` for all bytes of blobs too. Those of manifests are always read. Changes nothing.
    async fn ask(&self, object: &Object, deep: bool) -> Testimony;
}
