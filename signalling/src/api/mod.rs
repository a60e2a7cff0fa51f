//! The operators' API, at `/api/v1`: what operators do by programs. Handlers say what they take
//! and answer, and the OpenAPI document is made from that.

mod access;
mod exchange;
mod invites;
mod listing;
mod participants;
mod problem;
mod rooms;
mod server;
mod webhooks;

use std::{sync::Arc, sync::LazyLock, time::Duration};

use axum::{
    Router,
    body::Body as AnyBody,
    extract::DefaultBodyLimit,
    http::{Request, Response, StatusCode, Uri},
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;
use tower_service::Service as _;
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{self, Body},
    door::Door,
    http::Caller,
};
use access::KeyScheme;
use problem::Problem;

/// What its paths begin with.
pub(crate) const PREFIX: &str = "/api/v1/";

/// A body has no more bytes.
const LARGEST_BODY: usize = 64 << 10;

/// No answer is this long.
const LARGEST_ANSWER: usize = 16 << 20;

/// A request is answered within this, however slowly it comes.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Conclave, operators' API",
        description = "Opens and closes doors, shows who is there and tells what happens. It never \
                       opens what is said in a call: the keys are at the ends."
    ),
    components(schemas(problem::ProblemDocument)),
    modifiers(&KeyScheme),
)]
struct Document;

struct Api {
    router: Router,
    document: utoipa::openapi::OpenApi,
}

static API: LazyLock<Api> = LazyLock::new(|| {
    let all = OpenApiRouter::new()
        .routes(routes!(server::document))
        .routes(routes!(server::drain))
        .routes(routes!(rooms::list, rooms::make))
        .routes(routes!(rooms::show, rooms::close))
        .routes(routes!(rooms::events))
        .routes(routes!(participants::list))
        .routes(routes!(participants::show, participants::remove))
        .routes(routes!(invites::list, invites::make))
        .routes(routes!(invites::revoke))
        .routes(routes!(webhooks::list, webhooks::make))
        .routes(routes!(webhooks::remove))
        .routes(routes!(webhooks::replay));
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .nest("/api/v1", all)
        .split_for_parts();
    let router = router
        .fallback(async |uri: Uri| {
            let detail = format!(
                "there is nothing at {}: see /api/v1/openapi.json",
                uri.path()
            );
            Problem::new(StatusCode::NOT_FOUND, detail)
        })
        .method_not_allowed_fallback(async || {
            let detail = "nothing here takes this method: see the allow header";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    Api { router, document }
});

/// Answers one request.
pub(crate) async fn answer(
    door: &Arc<Door>,
    caller: &Caller,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let extensions = request.extensions_mut();
    extensions.insert(Arc::clone(door));
    extensions.insert(access::Address(caller.address));
    let answered = async {
        // It fails for nobody.
        let Ok(response) = API.router.clone().call(request.map(AnyBody::new)).await;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        match body {
            Ok(body) => Response::from_parts(head, Body::new(body.to_bytes())),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                let detail = "the answer could not be written: see the server's log";
                answer::problem(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    };
    timeout(PATIENCE, answered)
        .await
        .unwrap_or_else(|_elapsed| {
            let detail = "the request did not come whole in time";
            answer::problem(StatusCode::REQUEST_TIMEOUT, detail)
        })
}
