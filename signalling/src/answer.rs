//! Plain answers and problems (RFC 9457).

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;

/// Everything that is answered is there at once.
pub(crate) type Body = Full<Bytes>;

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// An answer that says what was wrong and what to do.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    problem_of("about:blank", status, detail)
}

/// The same, of a kind that clients tell from others (RFC 9457 §3.1.1).
pub(crate) fn problem_of(kind: &str, status: StatusCode, detail: &str) -> Response<Body> {
    let problem = Problem {
        kind,
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail,
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    fresh(status, "application/problem+json", body)
}

/// An answer in plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    fresh(status, "text/plain; charset=utf-8", text)
}

/// An answer that is not to be kept.
pub(crate) fn fresh(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
