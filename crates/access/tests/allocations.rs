//! An open registry pays nothing for access control.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use http::HeaderMap;
use wharfinger_access::{Access, AccessConfig, Resource};
use wharfinger_oci::{Action, RepositoryName};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::test]
async fn an_anonymous_pull_without_rules_allocates_nothing() {
    let access = Access::new(AccessConfig::open()).unwrap();
    let name = RepositoryName::parse("library/ubuntu").unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("accept", "*/*".parse().unwrap());
    let peer = Some("192.0.2.1".parse().unwrap());

    let before = ALLOCATIONS.get();
    for _ in 0..1000 {
        let identity = access.identify(&headers, peer).await.unwrap();
        access.authorize(&identity, Resource::Repository(&name), Some(Action::Pull)).unwrap();
        assert!(access.is_public(&name));
    }
    assert_eq!(ALLOCATIONS.get(), before);
}
