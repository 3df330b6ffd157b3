//! Makes a URL by which anyone can read an object for an hour: `share CONTAINER OBJECT`.

use std::error::Error;
use std::time::{Duration, SystemTime};

use http::Method;
use wharfinger_swift::{Auth, Client, Options, TempUrlDigest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [container, object] = &words[..] else { return Err("usage: share CONTAINER OBJECT".into()) };
    let (url, user, key) = (std::env::var("ST_AUTH")?, std::env::var("ST_USER")?, std::env::var("ST_KEY")?);
    let client = Client::new(Options::new(Auth::V1 { url, user, key: key.into() }))?;

    let digest = TempUrlDigest::choose(&*client.capabilities().await?).ok_or("no temporary URLs here")?;
    let container = client.container(container)?;
    let key = match container.temp_url_keys().await?.current {
        Some(key) => key,
        None => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
            let key = hex::encode(bytes).into();
            container.rotate_temp_url_key(&key).await?;
            key
        }
    };
    let expires = SystemTime::now() + Duration::from_secs(3600);
    println!("{}", container.temp_url(&Method::GET, object, expires, &key, digest).await?);
    Ok(())
}
