//! Single HTTP requests, without TLS.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

use crate::target::{HttpRequest, Input};

/// The most that is read of a page.
const LARGEST_PAGE: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Not a request that can be made.
    #[error("not a valid request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The server cannot be reached.
    #[error("{0}")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    /// The response broke off or is too long.
    #[error("the response cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// Another status than 200.
    #[error("status {0}")]
    Status(u16),
    /// It took too long.
    #[error("no answer in {} s", PATIENCE.as_secs())]
    TooSlow,
}

/// Reads a page.
pub async fn get(url: &str) -> Result<String, HttpError> {
    let request = Request::get(url).body(Full::default())?;
    let response = answer(request).await?;
    if !response.status().is_success() {
        return Err(HttpError::Status(response.status().as_u16()));
    }
    body(response).await
}

/// Makes a bot's request.
pub async fn exchange(request: HttpRequest) -> Result<Input, HttpError> {
    let HttpRequest {
        id,
        method,
        url,
        content_type,
        token,
        body: text,
    } = request;
    let mut builder = Request::builder().method(method).uri(url);
    if let Some(content_type) = content_type {
        builder = builder.header(CONTENT_TYPE, content_type);
    }
    if let Some(token) = token {
        builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = answer(builder.body(Full::from(text))?).await?;
    let header = |name: HeaderName| {
        let value = response.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let location = header(LOCATION).map(ToOwned::to_owned);
    let retry_after = header(RETRY_AFTER)
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs);
    Ok(Input::Response {
        id,
        status: response.status().as_u16(),
        location,
        retry_after,
        body: body(response).await?,
    })
}

async fn answer(request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = timeout(PATIENCE, client.request(request))
        .await
        .map_err(|_| HttpError::TooSlow)?;
    Ok(response?)
}

async fn body(response: Response<Incoming>) -> Result<String, HttpError> {
    let body = Limited::new(response.into_body(), LARGEST_PAGE).collect();
    let bytes = timeout(PATIENCE, body)
        .await
        .map_err(|_| HttpError::TooSlow)?
        .map_err(HttpError::Body)?
        .to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
