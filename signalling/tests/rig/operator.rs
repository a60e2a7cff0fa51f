//! A program of an operator.

use http_body_util::Full;
use hyper::{HeaderMap, Request, body::Bytes};
use serde_json::Value;

use super::request_at;

/// What was answered.
#[derive(Debug)]
pub struct Asked {
    pub status: u16,
    headers: HeaderMap,
    /// Null if there is none, or it is no JSON.
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }
}

/// Asks the operators' API, with a key and a body or without.
pub async fn ask(
    address: &str,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<Value>,
) -> Asked {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/{path}"))
        .header("host", address);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
    let request = request.body(Full::new(body)).expect("a request");
    let (head, body) = request_at(address, request).await.into_parts();
    Asked {
        status: head.status.as_u16(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }
}
