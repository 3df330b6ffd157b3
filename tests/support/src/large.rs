//! Large objects of a container, each harmed in its own way, with what has to be said and done about it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::Api;
use crate::content::bytes;
use crate::corruption::{is_pulled, side_by_side};
use crate::fake::FakeContainer;
use crate::ground::{Ground, Operator, blob_key, named};
use crate::image::{Blob, Image, Style};

/// One image of a large layer, and how its objects are harmed.
struct Large {
    name: &'static str,
    /// What a walk says of it; nothing where it can be pulled.
    kind: Option<&'static str>,
    /// By the name of the layer's object.
    harm: fn(Ground<'_>, &str),
}

const DAMAGED: Option<&str> = Some("blob-damaged");
const MISSING: Option<&str> = Some("blob-missing");

const LARGE: [Large; 12] = [
    Large { name: "well", kind: None, harm: |_, _| {} },
    Large {
        name: "segment-deleted",
        kind: DAMAGED,
        harm: |ground, name| ground.delete(&second(ground, name)),
    },
    Large {
        name: "segment-vanished",
        kind: DAMAGED,
        harm: |ground, name| ground.lose(&second(ground, name)),
    },
    Large { name: "segment-rotten", kind: DAMAGED, harm: |ground, name| ground.rot(&second(ground, name)) },
    Large {
        name: "segment-short",
        kind: DAMAGED,
        harm: |ground, name| ground.cut(&second(ground, name), 1000),
    },
    Large { name: "segment-empty", kind: DAMAGED, harm: |ground, name| replace(ground, name, &Vec::clear) },
    Large {
        name: "segment-flipped",
        kind: DAMAGED,
        harm: |ground, name| replace(ground, name, &|all| all[77] ^= 0x55),
    },
    Large {
        name: "segment-swapped",
        kind: DAMAGED,
        harm: |ground, name| {
            let other = ground.content_of(&ground.segments_of(name)[0]);
            ground.put(&second(ground, name), &other);
        },
    },
    Large { name: "header-deleted", kind: MISSING, harm: |ground, name| ground.delete(name) },
    Large { name: "header-vanished", kind: MISSING, harm: |ground, name| ground.lose(name) },
    Large {
        // A listing decides what a dynamic one consists of, and its gaps are looked up by name.
        name: "list-deleted",
        kind: None,
        harm: |ground, name| {
            let list = name.replacen("files/", "files/wharfinger/v1/segments/", 1);
            if ground.has(&list) {
                ground.delete(&list);
            }
            ground.unlist(&second(ground, name));
        },
    },
    Large {
        // Nothing is wrong with it: it is read by name.
        name: "not-listed",
        kind: None,
        harm: |ground, name| {
            ground.unlist(&second(ground, name));
            ground.unlist(name);
        },
    },
];

/// The name of one of the segments of an object.
fn second(ground: Ground<'_>, name: &str) -> String {
    ground.segments_of(name).into_iter().nth(1).expect("a second segment")
}

fn replace(ground: Ground<'_>, name: &str, change: &dyn Fn(&mut Vec<u8>)) {
    let segment = second(ground, name);
    let mut content = ground.content_of(&segment);
    change(&mut content);
    ground.put(&segment, &content);
}

/// An image for each kind of harm, with a layer of three segments.
#[derive(Debug)]
pub struct LargeObjects {
    images: Vec<Image>,
}

fn reference(large: &Large) -> String {
    format!("{}:v1", large.name)
}

impl LargeObjects {
    /// Pushes the images to a registry, whose segments have so many bytes, and to its backup.
    pub fn push(api: &Api, backup: &Api, segment: usize) -> LargeObjects {
        let mut images = Vec::new();
        for (at, large) in LARGE.iter().enumerate() {
            let layer = Blob::new(bytes(500 + at as u64, 2 * segment + 1000));
            let image = Image::of(Style::Oci, "amd64", vec![layer]);
            api.push_chunked(large.name, &image.layers[0].bytes(), segment);
            for registry in [api, backup] {
                registry.push_image(large.name, "v1", &image);
            }
            images.push(image);
        }
        LargeObjects { images }
    }

    fn each(&self) -> impl Iterator<Item = (&'static Large, &Image)> {
        LARGE.iter().zip(&self.images)
    }

    /// Does all the harm at once. Answers the names of the segments that were harmed, with their images.
    pub fn harm(&self, ground: Ground<'_>) -> Vec<(String, String)> {
        let mut segments = Vec::new();
        for (large, image) in self.each() {
            let object = named(&blob_key(&image.layers[0].digest));
            if large.kind == DAMAGED {
                segments.push((second(ground, &object), reference(large)));
            }
            (large.harm)(ground, &object);
        }
        segments
    }

    /// Makes each read of a segment fail that nothing is wrong with.
    pub fn make_a_segment_unreadable(&self, place: &FakeContainer) {
        let object = named(&blob_key(&self.images[0].layers[0].digest));
        place.refuse(&second(Ground::Fake(place), &object));
    }

    /// A walk says that it could not read that segment, and nothing else.
    #[track_caller]
    pub fn assert_unreadable(&self, report: &Value) {
        let findings = report["findings"].as_array().expect("findings").iter();
        // The one whose list is gone is of note.
        assert_eq!(findings.filter(|finding| finding["kind"] != "blob-unlisted").count(), 1, "{report:#}");
        assert_eq!(kinds(report, &reference(&LARGE[0])), BTreeSet::from(["unreadable"]), "{report:#}");
    }

    /// What a walk that reads everything has to say: exactly this.
    #[track_caller]
    pub fn assert_told(&self, report: &Value) {
        for large in &LARGE {
            let expected: BTreeSet<&str> = large.kind.into_iter().collect();
            assert_eq!(kinds(report, &reference(large)), expected, "{}: {report:#}", large.name);
        }
        let damaged = LARGE.iter().filter(|large| large.kind.is_some()).count();
        assert_eq!(report["images"].as_array().expect("images").len(), damaged, "{report:#}");
    }

    /// `doctor` says of each image whether something is wrong with it.
    #[track_caller]
    pub fn assert_diagnosed(&self, operator: &Operator) {
        let told = side_by_side(&LARGE, |large| operator.json(&["doctor", "--deep", &reference(large)]));
        for (large, (code, told)) in LARGE.iter().zip(told) {
            assert_eq!(code, i32::from(large.kind.is_some()), "{}: {told:#}", large.name);
        }
    }

    /// `impact` names the image of each segment.
    #[track_caller]
    pub fn assert_impact(&self, operator: &Operator, segments: &[(String, String)]) {
        let told = side_by_side(segments, |(segment, _)| operator.json(&["impact", "--object", segment]));
        for ((segment, image), (code, told)) in segments.iter().zip(told) {
            let images = told["uses"][0]["images"].as_array().expect("images");
            let names: Vec<&Value> = images.iter().map(|image| &image["image"]).collect();
            assert_eq!((code, names), (0, vec![&json!(image)]), "{segment}: {told:#}");
        }
    }

    /// Which images a pull refuses. What it answers is right in any case.
    #[track_caller]
    pub fn assert_pulled(&self, api: &Api) {
        for (large, image) in self.each() {
            assert_eq!(is_pulled(api, large.name, image), large.kind.is_none(), "{}", large.name);
        }
    }

    /// Nothing is found any more, and all images are pulled.
    #[track_caller]
    pub fn assert_mended(&self, report: &Value, api: &Api, ground: Ground<'_>) {
        assert_eq!(report["images"], json!([]), "{report:#}");
        for (large, image) in self.each() {
            assert!(is_pulled(api, large.name, image), "{}", large.name);
        }
        // What the harmed blobs consisted of is nobody's now, and whose it was is known.
        let orphans = report["orphans"].as_array().expect("orphans");
        assert!(orphans.iter().all(|orphan| orphan["upload"].is_string()), "{report:#}");
        for (large, image) in self.each() {
            let segments = ground.segments_of(&named(&blob_key(&image.layers[0].digest)));
            let is_owned = |orphan: &Value| {
                let prefix = format!("{}/", orphan["prefix"].as_str().expect("a prefix"));
                segments.iter().any(|segment| segment.starts_with(&prefix))
            };
            assert!(!orphans.iter().any(is_owned), "{} consists of what is called an orphan", large.name);
        }
    }
}

/// The kinds of the findings that hit an image.
fn kinds<'a>(report: &'a Value, image: &str) -> BTreeSet<&'a str> {
    let findings = report["findings"].as_array().expect("findings").iter();
    let hits = findings
        .filter(|finding| finding["images"].as_array().expect("images").iter().any(|hit| hit == image));
    hits.map(|finding| finding["kind"].as_str().expect("a kind")).collect()
}
