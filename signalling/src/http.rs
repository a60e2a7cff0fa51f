//! What is asked over HTTP and what is answered.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use conclave_protocol::RoomId;
use http_body_util::Either;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, HOST, HeaderValue, LOCATION, ORIGIN, RETRY_AFTER, STRICT_TRANSPORT_SECURITY},
    http::uri::{Authority, Uri},
};
use prometheus::TextEncoder;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    acme::Challenges,
    answer::{Body, fresh, problem, text},
    api as operators,
    door::Door,
    files::api::{self, Reply},
    page, socket,
};

/// Browsers come by https only for two years (RFC 6797).
const HSTS: &str = "max-age=63072000";

/// Where a request comes from, and the place that its connection takes.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) address: IpAddr,
    pub(crate) place: Arc<OwnedSemaphorePermit>,
    /// Until when the connection is needed for a transfer, if it is.
    pub(crate) busy_until: Arc<Mutex<Option<Instant>>>,
}

impl Caller {
    /// Asks that the connection is not ended before.
    pub(crate) fn is_busy_until(&self, until: Instant) {
        let mut busy = self
            .busy_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *busy = (*busy).max(Some(until));
    }
}

/// Answers one request.
pub(crate) async fn answer(door: Arc<Door>, caller: Caller, request: Request<Incoming>) -> Reply {
    let door = &door;
    let host = host(&request);
    let uri = request.uri().clone();
    let route = Route::of(uri.path());
    let label = route.label();
    let mut response = match (request.method(), &route) {
        (_, Route::Shared(path)) => api::answer(door, &caller, request, path).await,
        (_, Route::Operators) => operators::answer(door, &caller, request)
            .await
            .map(Either::Left),
        (&Method::GET | &Method::HEAD, _) => route
            .answer(door, caller, request, host.as_ref())
            .map(Either::Left),
        _ => {
            let mut response = problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "this server only answers GET and HEAD",
            );
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            response.map(Either::Left)
        }
    };
    page::protect(response.headers_mut(), host.as_ref());
    if door.is_secure {
        response
            .headers_mut()
            .insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    door.metrics.requested(label, response.status().as_str());
    response
}

/// The host as the client named it (RFC 9112 §3.2).
pub(crate) fn host<B>(request: &Request<B>) -> Option<Authority> {
    match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => request.headers().get(HOST)?.to_str().ok()?.parse().ok(),
    }
}

/// Sends whoever comes with http to https, at this port. Only a certificate authority is answered,
/// which has no reason yet to trust our https.
pub(crate) fn to_https<B>(request: &Request<B>, port: u16, challenges: &Challenges) -> Reply {
    match challenges.answer(request.uri().path()) {
        Some(answer) => text(StatusCode::OK, answer),
        None => redirect(request, port),
    }
    .map(Either::Left)
}

fn redirect<B>(request: &Request<B>, port: u16) -> Response<Body> {
    let host = host(request).filter(|host| !host.as_str().contains('@'));
    let Some(host) = host else {
        return problem(StatusCode::BAD_REQUEST, "the request names no host");
    };
    let host = match port {
        443 => host.host().to_owned(),
        _ => format!("{}:{port}", host.host()),
    };
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(location) = HeaderValue::try_from(format!("https://{host}{path}")) else {
        return problem(
            StatusCode::BAD_REQUEST,
            "the request's address cannot be read",
        );
    };
    let mut response = text(
        StatusCode::PERMANENT_REDIRECT,
        "This server speaks https.\n",
    );
    response.headers_mut().insert(LOCATION, location);
    response
}

enum Route<'a> {
    Page,
    File(&'a str),
    /// Files that participants share; what follows their common prefix.
    Shared(&'a str),
    /// The operators' API.
    Operators,
    List,
    Socket,
    Metrics,
    Health,
    Readiness,
    Nothing,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Self {
        match path {
            "/" => Self::Page,
            "/ws" => Self::Socket,
            "/metrics" => Self::Metrics,
            "/healthz" => Self::Health,
            "/readyz" => Self::Readiness,
            _ if path.starts_with(api::PREFIX) => Self::Shared(&path[api::PREFIX.len()..]),
            _ if path.starts_with(operators::PREFIX) => Self::Operators,
            _ => match path.strip_prefix("/r/") {
                Some(room) if room.parse::<RoomId>().is_ok() => Self::Page,
                Some(_) => Self::Nothing,
                None => match path.strip_prefix('/') {
                    Some(page::LIST_PATH) => Self::List,
                    Some(path) => Self::File(path),
                    None => Self::Nothing,
                },
            },
        }
    }

    const fn label(&self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::File(_) => "file",
            Self::Shared(_) => "files",
            Self::Operators => "api",
            Self::List => "list",
            Self::Socket => "ws",
            Self::Metrics => "metrics",
            Self::Health => "healthz",
            Self::Readiness => "readyz",
            Self::Nothing => "nothing",
        }
    }
}

impl Route<'_> {
    fn answer(
        &self,
        door: &Arc<Door>,
        caller: Caller,
        request: Request<Incoming>,
        host: Option<&Authority>,
    ) -> Response<Body> {
        match self {
            Self::Page => page::index(request.headers()),
            Self::File(path) => page::file(path, request.headers()).unwrap_or_else(not_found),
            Self::List => page::list(request.headers()).unwrap_or_else(not_found),
            Self::Socket => upgrade(door, caller, request, host),
            Self::Metrics => metrics(door),
            Self::Health => text(StatusCode::OK, "ok\n"),
            Self::Readiness => match door.not_ready() {
                None => text(StatusCode::OK, "ready\n"),
                Some(reason) => problem(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            Self::Shared(_) | Self::Operators | Self::Nothing => not_found(),
        }
    }
}

fn not_found() -> Response<Body> {
    problem(
        StatusCode::NOT_FOUND,
        "there is nothing here: a call's address is /r/ and the room's name",
    )
}

fn metrics(door: &Door) -> Response<Body> {
    match TextEncoder::new().encode_to_string(&door.published.gather()) {
        Ok(metrics) => fresh(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics,
        ),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics could not be written: see the server's log",
            )
        }
    }
}

/// Turns the connection into a WebSocket (RFC 6455 §4.2).
fn upgrade(
    door: &Arc<Door>,
    caller: Caller,
    mut request: Request<Incoming>,
    host: Option<&Authority>,
) -> Response<Body> {
    if !hyper_tungstenite::is_upgrade_request(&request) {
        return problem(
            StatusCode::BAD_REQUEST,
            "this address speaks WebSocket only",
        );
    }
    let origins = request.headers().get_all(ORIGIN);
    if !origins.iter().all(|origin| is_same_site(origin, host)) {
        return problem(
            StatusCode::FORBIDDEN,
            "pages of other sites may not join calls here: open the call on this server",
        );
    }
    if let Some(reason) = door.not_serving() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, reason);
    }
    if !door.addresses.admits(caller.address) {
        door.metrics.limited("joins");
        let mut response = problem(
            StatusCode::TOO_MANY_REQUESTS,
            "too many joins from your address: wait a second",
        );
        let second = HeaderValue::from_static("1");
        response.headers_mut().insert(RETRY_AFTER, second);
        return response;
    }
    let config = socket::config(&door.limits);
    match hyper_tungstenite::upgrade(&mut request, Some(config)) {
        Ok((response, socket)) => {
            let serving = Arc::clone(door);
            door.tasks.spawn(async move {
                match socket.await {
                    Ok(socket) => socket::serve(serving, socket).await,
                    Err(error) => tracing::debug!(%error, "an upgrade failed"),
                }
                drop(caller.place);
            });
            response
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// True when a page of this server opened the WebSocket. Native clients send no origin.
fn is_same_site(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let origin = origin.to_str().ok().and_then(|o| o.parse::<Uri>().ok());
    match (origin.as_ref().and_then(Uri::authority), host) {
        (Some(origin), Some(host)) => origin == host,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_servers_pages_open_websockets() {
        let host: Authority = "call.example:8080".parse().expect("an authority");
        let same = |origin| is_same_site(&HeaderValue::from_static(origin), Some(&host));
        assert!(same("http://call.example:8080"));
        assert!(same("https://CALL.example:8080"));
        for foreign in [
            "http://evil.example",
            "http://call.example",
            "http://call.example:8081",
            "http://call.example:8080.evil.example",
            "null",
            "",
        ] {
            assert!(!same(foreign), "{foreign}");
        }
        let origin = HeaderValue::from_static("http://call.example:8080");
        assert!(!is_same_site(&origin, None));
    }

    #[test]
    fn rooms_are_pages_and_malformed_ones_are_nothing() {
        assert!(matches!(Route::of("/r/garden-7"), Route::Page));
        for path in ["/r/", "/r/a b", "/r/a/b", "/r/..", "/r/%2e"] {
            assert!(matches!(Route::of(path), Route::Nothing), "{path}");
        }
        assert!(matches!(
            Route::of("/assets/a.js"),
            Route::File("assets/a.js")
        ));
        assert!(matches!(Route::of("*"), Route::Nothing));
        let list = "/.well-known/conclave/client.json";
        assert!(matches!(Route::of(list), Route::List));
    }
}
