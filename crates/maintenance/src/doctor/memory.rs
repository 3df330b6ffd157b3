//! What Distribution keeps in Redis of a blob, and believes without looking ([`crate::adopt::memory`] has its keys).

use async_trait::async_trait;
use tokio::sync::Mutex;
use wharfinger_oci::Digest;
use wharfinger_shared::{Direct, Options, Unanswered};

use super::{Claim, Object, Station, Testimony, Witness};

/// Distribution's keys in one Redis.
#[derive(Debug)]
pub struct DistributionRedis {
    options: Options,
    connection: Mutex<Option<Direct>>,
}

impl DistributionRedis {
    /// Keys of the Redis there. Connects when it is asked.
    pub fn new(options: Options) -> DistributionRedis {
        DistributionRedis { options, connection: Mutex::new(None) }
    }

    fn address(&self) -> &str {
        self.options.addresses.first().map_or("?", String::as_str)
    }

    async fn look(&self, object: &Object, digest: &Digest) -> Result<Testimony, Unanswered> {
        let mut connection = self.connection.lock().await;
        let mut redis = match connection.take() {
            Some(redis) => redis,
            None => Direct::connect(&self.options).await?,
        };
        let (set, text) = (format!("repository::{}::blobs", object.repository), digest.to_string());
        let (told, size): (Option<String>, Option<String>) =
            redis.ask(&["HMGET", &format!("blobs::{digest}"), "digest", "size"]).await?;
        let member: bool = redis.ask(&["SISMEMBER", &set, &text]).await?;
        *connection = Some(redis);
        let told = told.and_then(|text| Digest::parse(&text).ok());
        let size: Option<u64> = size.and_then(|text| text.parse().ok());
        if told.is_none() && size.is_none() {
            // It keeps the membership without the descriptor: that is looked up in the store.
            return Ok(Testimony::Nothing);
        }
        let note = if member { "and that the repository has it".to_owned() } else { String::new() };
        Ok(Testimony::Has(Claim { size, digest: told, note, ..Claim::default() }))
    }
}

#[async_trait]
impl Witness for DistributionRedis {
    fn name(&self) -> String {
        format!("Distribution's Redis at {}", self.address())
    }

    fn station(&self) -> Station {
        Station::DistributionRedis
    }

    fn mend(&self, object: &Object) -> String {
        let Some(digest) = object.digest() else { return String::new() };
        let (host, port) = self.address().rsplit_once(':').unwrap_or((self.address(), "6379"));
        let tls = if self.options.tls.is_some() { " --tls" } else { "" };
        let name = &object.repository;
        format!(
            "redis-cli -h {host} -p {port}{tls} -n {} DEL blobs::{digest} repository::{name}::blobs::{digest}",
            self.options.database
        )
    }

    async fn ask(&self, object: &Object, _deep: bool) -> Testimony {
        let Some(digest) = object.digest() else { return Testimony::Nothing };
        match self.look(object, &digest).await {
            Ok(testimony) => testimony,
            Err(error) => Testimony::Silent(error.to_string()),
        }
    }
}
