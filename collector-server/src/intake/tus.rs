//! Uploads over HTTP: tus 1.0 with creation, checksum, termination and expiration.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{headers, statement};
use crate::{
    access::Caller,
    refusal::Refusal,
    state::Server,
    store::{
        index::Woken,
        uploads::{Upload, UploadId},
    },
};

type Shared = State<Arc<Server>>;
type Answer = Result<Response, Refusal>;

const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// Says in each answer which protocol this is, as tus demands.
pub(crate) async fn speak(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("tus-resumable", HeaderValue::from_static("1.0.0"));
    headers.insert("tus-version", HeaderValue::from_static("1.0.0"));
    response
}

/// `OPTIONS`.
pub(crate) async fn describe(State(server): Shared) -> Response {
    let headers = [
        (
            "tus-extension",
            "creation,checksum,termination,expiration".to_owned(),
        ),
        ("tus-checksum-algorithm", "sha256,sha1".to_owned()),
        (
            "tus-max-size",
            server.uploads.limits().max_part_bytes.to_string(),
        ),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// `POST /v1/parts`: everything is refused here that can be, before any body.
pub(crate) async fn create(
    State(server): Shared,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Answer {
    headers::check_version(&headers)?;
    let agent = caller.agent()?.id;
    let promise = headers::promise(&headers)?;
    statement::check(&server, agent, &promise).await?;
    let upload = server.uploads.begin(agent, promise).await?;
    let place = format!("/v1/parts/{}", upload.id.as_str());
    Ok(answer(StatusCode::CREATED, &upload, [("location", place)]))
}

/// `HEAD /v1/parts/{upload}`: how far it is; one that is whole is kept first, where that had failed.
pub(crate) async fn show(
    State(server): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let upload = find(&server, caller, &id, &headers).await?;
    let before = upload.kept;
    let (upload, woken) = server.uploads.finish(upload).await?;
    told(&server, before, &upload, &woken);
    Ok(answer(
        StatusCode::OK,
        &upload,
        [("cache-control", "no-store".to_owned())],
    ))
}

/// `PATCH /v1/parts/{upload}`: more bytes.
pub(crate) async fn write(
    State(server): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let upload = find(&server, caller, &id, &headers).await?;
    if headers::text(&headers, "content-type") != Some("application/offset+octet-stream") {
        return Err(Refusal::Type);
    }
    let offset_bytes = headers::number(&headers, "upload-offset")?;
    let checksum = headers::Checksum::of(&headers)?;
    if let Ok(size) = headers::number(&headers, "content-length")
        && size > upload.promise.length_bytes.saturating_sub(offset_bytes)
    {
        return Err(Refusal::TooLarge);
    }
    // When the connection is cut, what has arrived is still synced and counted: see `uncut`.
    let before = upload.kept;
    let (upload, woken) = server
        .uploads
        .receive((upload.agent, &upload.id), offset_bytes, checksum, body)
        .await?;
    told(&server, before, &upload, &woken);
    Ok(answer(StatusCode::NO_CONTENT, &upload, []))
}

/// Tells whom it concerns that an upload has moved, and that a part was kept.
fn told(server: &Server, was_kept: bool, upload: &Upload, woken: &Woken) {
    server.wake.tell(woken);
    if upload.kept && !was_kept {
        server.metrics.received(upload.promise.length_bytes);
        server.unstamped.notify_one();
    }
}

/// `DELETE /v1/parts/{upload}`.
pub(crate) async fn terminate(
    State(server): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let upload = find(&server, caller, &id, &headers).await?;
    server.uploads.terminate(&upload.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn find(
    server: &Server,
    caller: Caller,
    id: &str,
    headers: &HeaderMap,
) -> Result<Upload, Refusal> {
    headers::check_version(headers)?;
    let agent = caller.agent()?.id;
    let id = UploadId::parse(id).ok_or(Refusal::NotFound)?;
    let upload = server.uploads.live(&id).await?;
    if upload.agent != agent {
        return Err(Refusal::NotFound);
    }
    Ok(upload)
}

fn answer<const N: usize>(
    status: StatusCode,
    upload: &Upload,
    more: [(&'static str, String); N],
) -> Response {
    let mut response = (status, more).into_response();
    let headers = response.headers_mut();
    headers.insert(OFFSET, upload.offset_bytes.into());
    headers.insert(LENGTH, upload.promise.length_bytes.into());
    let expires = http_date(upload.expires_s).and_then(|d| d.try_into().ok());
    if let (false, Some(date)) = (upload.kept, expires) {
        headers.insert(EXPIRES, date);
    }
    response
}

/// RFC 9110's date; none where the time is beyond what it can write.
fn http_date(at_s: i64) -> Option<String> {
    let at = jiff::Timestamp::from_second(at_s).ok()?;
    Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}
