//! The URLs of uploads and their answers.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, StatusCode},
    response::{IntoResponse, Response},
    routing::{options, patch},
};
use evidence::ids::AgentId;

use super::{Refusal, Uploads, headers};
use crate::{
    serve::{Peer, Role},
    store::index::{Upload, UploadId},
};

type Shared = State<Arc<Uploads>>;
type Answer = Result<Response, Refusal>;

const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// Every URL of uploads.
pub fn router(uploads: Arc<Uploads>) -> Router {
    Router::new()
        .route("/v1/uploads", options(describe).post(create))
        .route(
            "/v1/uploads/{id}",
            patch(write).head(show).delete(terminate).options(describe),
        )
        .with_state(uploads)
}

async fn describe(State(uploads): Shared) -> Response {
    let headers = [
        ("tus-resumable", "1.0.0".to_owned()),
        ("tus-version", "1.0.0".to_owned()),
        (
            "tus-extension",
            "creation,checksum,termination,expiration".to_owned(),
        ),
        ("tus-checksum-algorithm", "sha256,sha1".to_owned()),
        ("tus-max-size", uploads.limits().max_part_bytes.to_string()),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn create(
    State(uploads): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Answer {
    headers::check_version(&headers)?;
    let agent = agent(&uploads, peer).await?;
    let promise = headers::promise(&headers)?;
    let upload = uploads.begin(agent, promise).await?;
    let place = format!("/v1/uploads/{}", upload.id.as_str());
    Ok(answer(StatusCode::CREATED, &upload, [("location", place)]))
}

async fn show(
    State(uploads): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let upload = find(&uploads, peer, &id, &headers).await?;
    Ok(answer(
        StatusCode::OK,
        &upload,
        [("cache-control", "no-store".to_owned())],
    ))
}

async fn write(
    State(uploads): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let upload = find(&uploads, peer, &id, &headers).await?;
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
    // A task of its own: when the connection is cut, hyper drops this future, but
    // what has arrived must still be synced and counted.
    let receiving = async move {
        uploads
            .receive(&upload.id, offset_bytes, checksum, body)
            .await
    };
    let upload = tokio::spawn(receiving).await.map_err(Refusal::failed)??;
    Ok(answer(StatusCode::NO_CONTENT, &upload, []))
}

async fn terminate(
    State(uploads): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let upload = find(&uploads, peer, &id, &headers).await?;
    uploads.terminate(&upload.id).await?;
    Ok((StatusCode::NO_CONTENT, [("tus-resumable", "1.0.0")]).into_response())
}

async fn agent(uploads: &Uploads, peer: Peer) -> Result<AgentId, Refusal> {
    match peer.role {
        // Asked at each request: revocation works at once, on open connections too.
        Role::Agent(agent) if uploads.index().agent_is_active(agent).await? => Ok(agent),
        _ => Err(Refusal::NotAnAgent),
    }
}

async fn find(
    uploads: &Uploads,
    peer: Peer,
    id: &str,
    headers: &HeaderMap,
) -> Result<Upload, Refusal> {
    headers::check_version(headers)?;
    let agent = agent(uploads, peer).await?;
    let id = UploadId::parse(id).ok_or(Refusal::NotFound)?;
    let upload = uploads.live(&id).await?;
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
    let mut response = (status, [("tus-resumable", "1.0.0")], more).into_response();
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
