//! Lists a container, page by page: `list CONTAINER [PREFIX]`.

use std::error::Error;
use std::pin::pin;

use futures::TryStreamExt;
use wharfinger_swift::{Auth, Client, Entry, Listing, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let container = words.next().ok_or("usage: list CONTAINER [PREFIX]")?;
    let prefix = words.next().unwrap_or_default();
    let (url, user, key) = (std::env::var("ST_AUTH")?, std::env::var("ST_USER")?, std::env::var("ST_KEY")?);
    let client = Client::new(Options::new(Auth::V1 { url, user, key: key.into() }))?;

    let listing = Listing { delimiter: Some("/".into()), limit: Some(1000), ..Listing::prefix(prefix) };
    let mut pages = pin!(client.container(&container)?.pages(listing));
    while let Some(page) = pages.try_next().await? {
        for entry in page.entries {
            match entry {
                Entry::Object { name, bytes, .. } => println!("{bytes:>12} {name}"),
                Entry::Subdir(name) => println!("{:>12} {name}", ""),
            }
        }
    }
    Ok(())
}
