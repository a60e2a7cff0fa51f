//! What is answered when something is not done (RFC 9457), whoever notices: a handler, or what
//! reads requests before it.

use std::collections::BTreeMap;

use axum::{
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{
        HeaderValue, Response, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::IntoResponse,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response},
};

use crate::{answer, keys::Scope, store::StoreError};

/// Why something was not done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    challenge: Option<String>,
    retry_after: Option<u32>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            challenge: None,
            retry_after: None,
        }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn no_room() -> Self {
        Self::not_found("there is no such room")
    }

    pub(super) fn internal() -> Self {
        let detail = "the server failed: see its log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    pub(super) fn unfit(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(super) fn too_many(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    }

    /// There is no key, or none that counts.
    pub(super) fn unknown(has_key: bool) -> Self {
        let (detail, challenge) = if has_key {
            (
                "this key is none, or expired, or revoked",
                r#"Bearer realm="conclave", error="invalid_token""#,
            )
        } else {
            (
                "this takes a key, as `Authorization: Bearer …`: make one with `conclave key create`",
                r#"Bearer realm="conclave""#,
            )
        };
        Self {
            challenge: Some(challenge.to_owned()),
            ..Self::new(StatusCode::UNAUTHORIZED, detail)
        }
    }

    /// The key is good, for other things.
    pub(super) fn not_allowed(scope: Scope) -> Self {
        let challenge =
            format!(r#"Bearer realm="conclave", error="insufficient_scope", scope="{scope}""#);
        let detail = format!("this takes a key with the scope {scope}");
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::FORBIDDEN, detail)
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the operators' API cannot use the database");
        let detail = "the database cannot do it now: see the server's log";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl From<getrandom::Error> for Problem {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(%error, "the system gives no random numbers");
        Self::internal()
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let response = answer::problem(self.status, &self.detail);
        let (mut head, body) = response.into_parts();
        let challenge = self.challenge.map(HeaderValue::try_from);
        if let Some(Ok(challenge)) = challenge {
            head.headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            head.headers.insert(RETRY_AFTER, seconds.into());
        }
        Response::from_parts(head, axum::body::Body::new(body))
    }
}

/// A JSON object in a request's body. (Serde would also take an array of its members' values.)
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = axum::Json::<Map<String, Value>>::from_request(request, state);
        let axum::Json(members) = body.await?;
        T::deserialize(Value::Object(members))
            .map(Self)
            .map_err(|error| Problem::unfit(format!("the body does not fit: {error}")))
    }
}

/// What stands in a request's path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

/// What stands behind a path's question mark.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// What was wrong and what to do (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// `about:blank`: the status says all there is for programs.
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// For people.
    detail: String,
}

/// The problems that any operation may answer with.
pub(super) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        let all = [
            ("400", "The request cannot be read."),
            ("401", "There is no key, or it does not count."),
            ("403", "The key lacks the scope."),
            ("404", "What it is about is not there."),
            ("408", "The request did not come whole in time."),
            ("409", "What is there already does not go with it."),
            ("413", "The body is too large."),
            ("415", "The body is not JSON."),
            ("422", "The request can be read and makes no sense."),
            ("429", "Too many wrong keys from this address."),
            ("503", "The server cannot do it now."),
        ];
        let problem = |description: &str| {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", content);
            RefOr::T(response.build())
        };
        let all = all.into_iter();
        all.map(|(status, text)| (status.to_owned(), problem(text)))
            .collect()
    }
}
