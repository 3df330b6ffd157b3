use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use wharfinger_store::{
    Checkpoint, Delete, Key, Memory, Meta, Object, ObjectData, Operation, Page, Staged, Store, StoreError,
    StoreErrorKind,
};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const PERIOD: Duration = Duration::from_secs(10 * 3600);
const BLOBS: usize = 60;

/// A store whose reads can be made to fail.
#[derive(Clone)]
struct Ill {
    memory: Memory,
    /// How often each blob is read wrong, or not at all, from now on.
    wrong: Arc<Mutex<HashMap<Key, usize>>>,
    unavailable: Arc<Mutex<HashMap<Key, usize>>>,
    opened: Arc<Mutex<Vec<Key>>>,
}

fn takes(map: &Mutex<HashMap<Key, usize>>, key: &Key) -> bool {
    let mut map = map.lock();
    map.get_mut(key).filter(|left| **left > 0).map(|left| *left -= 1).is_some()
}

#[async_trait]
impl Store for Ill {
    fn name(&self) -> &'static str {
        "ill"
    }

    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
        self.memory.get(key, limit).await
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        self.opened.lock().push(key.clone());
        if takes(&self.unavailable, key) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Open, key, "no answer"));
        }
        let object = self.memory.open(key).await?;
        if takes(&self.wrong, key) {
            return Ok(Object { size: object.size, data: ObjectData::Bytes(Bytes::from_static(b"wrong")) });
        }
        Ok(object)
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        self.memory.head(key).await
    }

    async fn put(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<()> {
        self.memory.put(key, bytes, durability).await
    }

    async fn delete(&self, key: &Key, options: Delete) -> Result<bool> {
        self.memory.delete(key, options).await
    }

    async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
        self.memory.list(prefix, options).await
    }

    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        self.memory.stage(key, resume).await
    }

    async fn discard(&self, key: &Key, checkpoint: &Checkpoint, published: Option<&Key>) -> Result<()> {
        self.memory.discard(key, checkpoint, published).await
    }
}

struct Here {
    begun: Instant,
    works: AtomicBool,
    read: Mutex<Vec<Outcome>>,
    progress: Mutex<Progress>,
}

impl Host for Here {
    fn store_works(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    fn verified(&self, outcome: Outcome, _bytes: u64) {
        self.read.lock().push(outcome);
    }

    fn progressed(&self, progress: Progress) {
        *self.progress.lock() = progress;
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.begun.elapsed()
    }
}

struct World {
    store: Ill,
    blobs: Vec<Digest>,
    begun: Instant,
}

impl World {
    /// Blobs of that many bytes, each.
    async fn new(bytes: usize) -> World {
        let memory = Memory::new();
        let mut blobs = Vec::new();
        for number in 0..BLOBS {
            let content = vec![number as u8; bytes];
            let digest = Digest::sha256(&content);
            memory.put(&layout::blob_data(&digest), content.into(), Durability::Lazy).await.unwrap();
            blobs.push(digest);
        }
        blobs.sort();
        let store =
            Ill { memory, wrong: Arc::default(), unavailable: Arc::default(), opened: Arc::default() };
        World { store, blobs, begun: Instant::now() }
    }

    fn start(&self, options: Options) -> (Registry, Arc<Here>, JoinHandle<()>) {
        let registry = Registry::new(Arc::new(self.store.clone()), wharfinger_registry::Options::default());
        let (works, read) = (AtomicBool::new(true), Mutex::default());
        let here = Arc::new(Here { begun: self.begun, works, read, progress: Mutex::default() });
        let task = tokio::spawn(run(registry.clone(), options, here.clone()));
        (registry, here, task)
    }

    /// How often each blob was opened.
    fn opened(&self) -> Vec<usize> {
        let opened = self.store.opened.lock();
        self.blobs
            .iter()
            .map(|digest| opened.iter().filter(|key| **key == layout::blob_data(digest)).count())
            .collect()
    }

    fn total(&self) -> usize {
        self.opened().iter().sum()
    }
}

const WRITING: Options = Options { period: PERIOD, rate: u64::MAX, writes: true };

#[tokio::test(start_paused = true)]
async fn every_blob_is_read_once_in_a_period_when_its_turn_comes() {
    let world = World::new(100).await;
    let (_, here, _task) = world.start(WRITING);
    for tenth in 1..=10 {
        sleep(HOUR).await;
        let (read, due) = (world.total(), BLOBS * tenth / 10);
        assert!(read.abs_diff(due) <= BLOBS / 5, "{read} were read when about {due} were due");
        let in_order = world.opened().windows(2).all(|pair| pair[0] >= pair[1]);
        assert!(in_order, "not in the order of digests: {:?}", world.opened());
    }
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.opened()[1..], [1; BLOBS - 1]);
    sleep(10 * HOUR).await;
    assert_eq!(world.opened()[2..], [2; BLOBS - 2]);
    let progress = here.progress.lock().clone();
    assert_eq!(progress.last.as_ref().unwrap().tally.blobs, BLOBS as u64);
    assert!(progress.oldest_unverified > 9 * HOUR && progress.oldest_unverified < 12 * HOUR, "{progress:?}");
    assert!(here.read.lock().iter().all(|outcome| *outcome == Outcome::Good));
}

#[tokio::test(start_paused = true)]
async fn no_more_bytes_a_second_are_read_than_allowed() {
    let world = World::new(1000).await;
    let period = Duration::from_secs(1);
    let (_, _, task) = world.start(Options { period, rate: 1000, writes: true });
    sleep(Duration::from_secs(30)).await;
    task.abort();
    assert!((25..=31).contains(&world.total()), "{} kB in 30 s", world.total());
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_crash_goes_on_where_it_was() {
    let world = World::new(100).await;
    let (_, _, task) = world.start(WRITING);
    sleep(5 * HOUR).await;
    task.abort();
    let before = world.total();
    assert!(before > BLOBS / 4);
    let (_, here, _task) = world.start(WRITING);
    sleep(5 * HOUR + Duration::from_secs(180)).await;
    assert_eq!(here.progress.lock().last.as_ref().map(|last| last.tally.blobs), Some(BLOBS as u64));
    assert!(world.total() <= BLOBS + 2, "{} reads of {BLOBS} blobs", world.total());
}

#[tokio::test(start_paused = true)]
async fn several_instances_share_one_pass_and_one_takes_over_from_another() {
    // Everything is due at once, and each blob takes ten seconds.
    let options = Options { period: Duration::from_secs(1), rate: 100, writes: true };
    let world = World::new(1000).await;
    let instances = [(); 3].map(|()| world.start(options));
    sleep(Duration::from_secs(300)).await;
    // Those that begin at the same moment may read the same until they see each other's record.
    assert!((25..=36).contains(&world.total()), "{} reads in the time of 30", world.total());
    let working = |here: &Here| !here.progress.lock().elsewhere;
    assert_eq!(instances.iter().filter(|(_, here, _)| working(here)).count(), 1, "more than one works");
    let (_, _, task) = instances.iter().find(|(_, here, _)| working(here)).unwrap();
    task.abort();
    let before = world.total();
    sleep(Duration::from_secs(300)).await;
    let read = world.total() - before;
    assert!((22..=33).contains(&read), "{read} reads in the time of 30, after one has died");
}

#[tokio::test(start_paused = true)]
async fn damage_counts_when_a_second_read_finds_it_and_ends_when_the_blob_is_whole_again() {
    let world = World::new(100).await;
    let once = layout::blob_data(&world.blobs[3]);
    let damaged = layout::blob_data(&world.blobs[7]);
    world.store.wrong.lock().extend([(once, 1), (damaged, 2)]);
    let (registry, here, _task) = world.start(WRITING);
    sleep(PERIOD + HOUR / 10).await;
    assert_eq!(registry.damaged_count(), 1, "one was read wrong once");
    assert_eq!(here.read.lock().iter().filter(|outcome| **outcome == Outcome::Damaged).count(), 1);
    assert_eq!(here.progress.lock().last.as_ref().unwrap().tally.damaged, 1);
    // Who starts anew does not wait for the next pass.
    world.store.wrong.lock().insert(layout::blob_data(&world.blobs[7]), 2);
    let (again, _, other) = world.start(WRITING);
    sleep(Duration::from_secs(90)).await;
    assert_eq!(again.damaged_count(), 1, "forgotten at a restart");
    other.abort();
    sleep(PERIOD).await;
    assert_eq!(registry.damaged_count(), 0, "it is whole again");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_passed_and_nothing_is_read_while_the_store_is_down() {
    let world = World::new(100).await;
    let (unreadable, once) = (layout::blob_data(&world.blobs[3]), layout::blob_data(&world.blobs[7]));
    world.store.unavailable.lock().extend([(unreadable, usize::MAX), (once, 1)]);
    let (registry, here, _task) = world.start(WRITING);
    sleep(2 * HOUR).await;
    here.works.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(60)).await;
    let read = world.total();
    sleep(3 * HOUR).await;
    assert_eq!(world.total(), read, "read while the store is down");
    here.works.store(true, Ordering::Relaxed);
    sleep(6 * HOUR).await;
    let last = here.progress.lock().last.clone().unwrap();
    assert_eq!((last.tally.blobs, last.tally.unreadable), (BLOBS as u64 - 1, 1));
    assert_eq!(registry.damaged_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn missing_and_wrong_chunk_indexes_are_made_and_where_nothing_may_be_written_nothing_is() {
    let world = World::new(100_000).await;
    let (missing, wrong) = (world.blobs[1], world.blobs[2]);
    let names = |world: &World| {
        let memory = world.store.memory.clone();
        let all = List { shallow: false, after: None, limit: usize::MAX };
        async move { memory.list(&Key::new(layout::OURS), all).await.unwrap().entries.len() }
    };
    let (registry, here, task) = world.start(Options { writes: false, ..WRITING });
    sleep(PERIOD + HOUR / 2).await;
    task.abort();
    assert_eq!(here.progress.lock().last.as_ref().unwrap().tally.blobs, BLOBS as u64);
    assert_eq!((names(&world).await, registry.damaged_count()), (0, 0), "written without leave");
    let (_, here, _task) = world.start(WRITING);
    sleep(PERIOD + HOUR / 2).await;
    assert_eq!(names(&world).await, BLOBS + 1, "an index of each, and the record");
    assert!(here.read.lock().iter().take(BLOBS).all(|outcome| *outcome == Outcome::Derived));
    let memory = &world.store.memory;
    memory.delete(&layout::chunk_index(&missing), Delete::default()).await.unwrap();
    let other = memory.get(&layout::chunk_index(&wrong), LARGEST).await.unwrap();
    let index = layout::chunk_index(&world.blobs[3]);
    memory.put(&index, other, Durability::Lazy).await.unwrap();
    here.read.lock().clear();
    sleep(PERIOD).await;
    assert_eq!(here.read.lock().iter().filter(|outcome| **outcome == Outcome::Derived).count(), 2);
    assert_eq!(names(&world).await, BLOBS + 1);
}
