//! What is said of the rest of a run, against what then came, by a clock that counts files.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use evidence::gap::Reason;
use protocol::messages::{Bound, Progress};

use super::fixture::{Fixture, says};
use crate::reader::task::{Position, Watch};

/// A hundred files a second, however fast this machine is.
#[derive(Default)]
struct Counting {
    told: Mutex<Vec<Progress>>,
}

impl Counting {
    fn files(&self) -> u64 {
        self.told.lock().unwrap().last().map_or(0, |p| p.files)
    }
}

impl Watch for Counting {
    fn progress(&self, progress: &Progress) {
        self.told.lock().unwrap().push(progress.clone());
    }
    fn since(&self, _: Instant) -> Duration {
        Duration::from_millis(10 * self.files())
    }
    fn durable(&self, _: &Position) -> Result<(), String> {
        Ok(())
    }
    fn stop(&self) -> Option<(Reason, String)> {
        None
    }
}

#[test]
fn the_rest_is_near_the_truth_once_all_is_found_and_the_least_before() {
    const FILES: u64 = 3000;
    let mut fixture = Fixture::new();
    for n in 0..FILES {
        fixture.put(&format!("tree/{n}"), &[b'x'; 4096]);
    }
    // Slow enough that it is looked at many times.
    fixture.limits.io_bytes_per_second = 4 << 20;
    let tree = says("tree", |sink| {
        (0..FILES).try_for_each(|n| sink.file(format!("/tree/{n}").as_ref()))
    });
    let watch = Counting::default();
    fixture.run(&[tree], &watch).unwrap();
    let told = watch.told.into_inner().unwrap();
    let (mut least, mut about) = (0, 0);
    for progress in &told {
        let Some(rest) = progress.rest else { continue };
        let truth = (FILES - progress.files).div_ceil(100);
        match rest.bound {
            Bound::AtLeast => {
                assert!(rest.seconds <= truth + 5, "{progress:?}");
                least += 1;
            }
            Bound::About => {
                // What lanes have under way is neither stored nor waiting, or both.
                assert!(rest.seconds.abs_diff(truth) <= 4, "{progress:?}");
                about += 1;
            }
            Bound::AtMost => panic!("there is no limit on time: {progress:?}"),
        }
    }
    assert!(least > 0 && about > 0, "{least} {about} of {}", told.len());
    let last = told.last().unwrap();
    assert_eq!((last.files, last.files_waiting), (FILES, 0));
    let rest = last.rest.unwrap();
    assert_eq!((rest.seconds, rest.bound), (0, Bound::About));
}
