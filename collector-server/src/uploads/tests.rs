//! Uploads over real mTLS on loopback: cuts, lies, strangers and crashes.

mod fixture;
mod hostile;
mod tuspy;

use std::fs;

use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId},
};
use fixture::{Fixture, Part, status};

#[tokio::test]
async fn resumes_after_a_cut_and_keeps_the_part() {
    let f = Fixture::start().await;
    let part = Part::new(300_000);
    let url = f.create(&part).await;
    f.cut_patch(&url, &part.bytes, 100_000).await;
    let offset = f.wait_for_offset(&url).await;
    assert!(offset > 0 && offset <= 100_000, "{offset}");
    let answer = f
        .patch(&url, offset, &part.bytes[offset as usize..], "")
        .await;
    assert_eq!(status(&answer), 204, "{answer}");
    assert_eq!(f.parts(&part).await, [(1, part.digest, 300_000)]);
    assert_eq!(f.blob(part.digest).await, part.bytes);
    assert_eq!(f.offset(&url).await, 300_000);
    assert_eq!(fs::read_dir(f.staging()).unwrap().count(), 0);
}

#[tokio::test]
async fn bytes_with_a_wrong_checksum_do_not_count() {
    let f = Fixture::start().await;
    let part = Part::new(1_000);
    let url = f.create(&part).await;
    let other = data_encoding::BASE64.encode(&Digest::of(b"other").0);
    let header = format!("Upload-Checksum: sha256 {other}\r\n");
    assert_eq!(status(&f.patch(&url, 0, &part.bytes, &header).await), 460);
    assert_eq!(f.offset(&url).await, 0);
    let right = data_encoding::BASE64.encode(&part.digest.0);
    let header = format!("Upload-Checksum: sha256 {right}\r\n");
    assert_eq!(status(&f.patch(&url, 0, &part.bytes, &header).await), 204);
    assert_eq!(f.parts(&part).await.len(), 1);
}

#[tokio::test]
async fn a_wrong_offset_is_refused() {
    let f = Fixture::start().await;
    let part = Part::new(1_000);
    let url = f.create(&part).await;
    assert_eq!(status(&f.patch(&url, 10, &part.bytes[10..], "").await), 409);
    assert_eq!(status(&f.patch(&url, 0, &part.bytes[..10], "").await), 204);
    assert_eq!(status(&f.patch(&url, 0, &part.bytes[..10], "").await), 409);
}

#[tokio::test]
async fn a_part_that_is_not_what_was_promised_is_dropped() {
    let f = Fixture::start().await;
    let mut part = Part::new(1_000);
    let url = f.create(&part).await;
    part.bytes[500] ^= 1;
    assert_eq!(status(&f.patch(&url, 0, &part.bytes, "").await), 422);
    assert_eq!(status(&f.head(&url).await), 404);
    assert!(f.parts(&part).await.is_empty());
}

#[tokio::test]
async fn more_than_promised_is_refused() {
    let f = Fixture::start().await;
    let part = Part::new(1_000);
    let url = f.create(&part).await;
    assert_eq!(status(&f.patch(&url, 0, &vec![0; 1_001], "").await), 413);
}

#[tokio::test]
async fn a_full_store_says_507_and_too_many_uploads_503_before_any_body() {
    let f = Fixture::start().await;
    let answer = f.post(&Part::new(fixture::STORE_BYTES as usize + 1)).await;
    assert_eq!(status(&answer), 507, "{answer}");
    assert!(answer.contains("retry-after: "));
    for _ in 0..fixture::OPEN {
        f.create(&Part::new(10)).await;
    }
    let answer = f.post(&Part::new(10)).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("retry-after: "));
}

#[tokio::test]
async fn termination_forgets_and_expiry_sweeps() {
    let f = Fixture::start().await;
    let url = f.create(&Part::new(1_000)).await;
    f.patch(&url, 0, &[1; 10], "").await;
    assert_eq!(status(&f.send("DELETE", &url, "", &[]).await), 204);
    assert_eq!(status(&f.head(&url).await), 404);
    let late = Fixture::with_expiry(0).await;
    let url = late.create(&Part::new(1_000)).await;
    assert_eq!(status(&late.head(&url).await), 410);
    assert_eq!(late.uploads.sweep().await.unwrap(), 1);
    assert_eq!(status(&late.head(&url).await), 404);
}

#[tokio::test]
async fn a_crash_between_move_and_row_is_repaired() {
    let f = Fixture::start().await;
    let part = Part::new(1_000);
    let url = f.create(&part).await;
    f.patch(&url, 0, &part.bytes[..999], "").await;
    // As after a crash: every byte counted, the file moved, no row of the part.
    f.advance(&url, 1_000).await;
    let staged = f.staged(&url);
    fs::write(&staged, &part.bytes).unwrap();
    f.blobs.adopt(&staged, part.digest).unwrap();
    f.uploads.repair().await.unwrap();
    assert_eq!(f.parts(&part).await, [(1, part.digest, 1_000)]);
}

#[tokio::test]
async fn a_crash_before_the_move_and_lost_or_stray_files_are_repaired() {
    let f = Fixture::start().await;
    let (whole, short) = (Part::new(1_000), Part::new(2_000));
    let (a, b) = (f.create(&whole).await, f.create(&short).await);
    f.patch(&a, 0, &whole.bytes[..10], "").await;
    f.advance(&a, 1_000).await;
    fs::write(f.staged(&a), &whole.bytes).unwrap();
    f.patch(&b, 0, &short.bytes[..1_500], "").await;
    fs::write(f.staged(&b), &short.bytes[..700]).unwrap();
    fs::write(f.staging().join("stray"), b"x").unwrap();
    f.uploads.repair().await.unwrap();
    assert_eq!(f.parts(&whole).await.len(), 1);
    assert_eq!(f.offset(&b).await, 700);
    assert!(!f.staging().join("stray").exists());
    assert_eq!(
        status(&f.patch(&b, 700, &short.bytes[700..], "").await),
        204
    );
    assert_eq!(f.parts(&short).await.len(), 1);
}

#[tokio::test]
async fn strangers_and_the_revoked_get_nothing() {
    let f = Fixture::start().await;
    let part = Part::new(1_000);
    let url = f.create(&part).await;
    let other = f.enrol(AgentId::random().unwrap()).await;
    let unknown = f.deployment.agent(AgentId::random().unwrap());
    assert_eq!(
        status(&f.send_as(Some(&other), "HEAD", &url, "", &[]).await),
        404
    );
    assert_eq!(
        status(&f.send_as(Some(&other), "DELETE", &url, "", &[]).await),
        404
    );
    assert_eq!(
        status(&f.send_as(Some(&unknown), "HEAD", &url, "", &[]).await),
        403
    );
    assert_eq!(status(&f.send_as(None, "HEAD", &url, "", &[]).await), 403);
    f.revoke().await;
    assert_eq!(status(&f.patch(&url, 0, &part.bytes, "").await), 403);
    assert!(
        f.index
            .parts(CollectionId::random().unwrap())
            .await
            .unwrap()
            .is_empty()
    );
}
