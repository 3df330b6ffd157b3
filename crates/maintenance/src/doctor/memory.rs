//! What Distribution keeps in Redis of a blob, and believes without looking ([`crate::adopt::memory`] has its keys).

use async_trait::async_trait;
use tokio::sync::Mutex;
use wharfinger_oci::Digest;

use super::{Claim, Object, Station, Testimony, Witness};
use crate::redis::{Address, Error, Redis, Value};

/// Distribution's keys in one Redis.
#[derive(Debug)]
pub struct DistributionRedis {
    address: Address,
    connection: Mutex<Option<Redis>>,
}

impl DistributionRedis {
    /// Keys at an address. Connects when it is asked.
    pub fn new(address: Address) -> DistributionRedis {
        DistributionRedis { address, connection: Mutex::new(None) }
    }

    async fn look(&self, object: &Object, digest: &Digest) -> Result<Testimony, Error> {
        let mut connection = self.connection.lock().await;
        let mut redis = match connection.take() {
            Some(redis) => redis,
            None => Redis::connect(&self.address).await?,
        };
        let (set, text) = (format!("repository::{}::blobs", object.repository), digest.to_string());
        let told = redis.call(&["HMGET", &format!("blobs::{digest}"), "digest", "size"]).await?;
        let member = redis.call(&["SISMEMBER", &set, &text]).await?;
        *connection = Some(redis);
        let Value::Array(fields) = told else { return Ok(Testimony::Nothing) };
        let mut fields = fields.iter().map(Value::text);
        let told = fields.next().flatten().and_then(|text| Digest::parse(text).ok());
        let size: Option<u64> = fields.next().flatten().and_then(|text| text.parse().ok());
        if told.is_none() && size.is_none() {
            // It keeps the membership without the descriptor: that is looked up in the store.
            return Ok(Testimony::Nothing);
        }
        let note = match member {
            Value::Integer(1) => "and that the repository has it".to_owned(),
            _ => String::new(),
        };
        Ok(Testimony::Has(Claim { size, digest: told, note, ..Claim::default() }))
    }
}

#[async_trait]
impl Witness for DistributionRedis {
    fn name(&self) -> String {
        format!("Distribution's Redis at {}", self.address.address)
    }

    fn station(&self) -> Station {
        Station::DistributionRedis
    }

    fn mend(&self, object: &Object) -> String {
        let Some(digest) = object.digest() else { return String::new() };
        let (host, port) = self.address.address.rsplit_once(':').unwrap_or((&self.address.address, "6379"));
        let name = &object.repository;
        format!(
            "redis-cli -h {host} -p {port} -n {} DEL blobs::{digest} repository::{name}::blobs::{digest}",
            self.address.database
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
