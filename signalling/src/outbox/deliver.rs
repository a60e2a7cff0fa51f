//! One task for each endpoint, which tells it what happened in order and does not go on before it
//! has heard.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use ureq::{
    Agent,
    tls::{RootCerts, TlsConfig},
};

use super::{
    Endpoint, Event,
    endpoint::Next,
    signature::{body, sign},
};
use crate::{
    metrics::Metrics,
    moment::Moment,
    store::{Store, StoreError},
};

/// While the database cannot be used.
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// An endpoint answers within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between attempts; twice as long each time.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Once an endpoint has failed for so long, each further event is tried once.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);

/// Also if nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Tells endpoints what happened.
#[derive(Clone)]
pub(crate) struct Deliveries {
    pub(crate) store: Store,
    pub(crate) fresh: Arc<Notify>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Deliveries {
    /// Until the server stops: sees to it that every endpoint has its task.
    pub(crate) async fn run(self) {
        let agent = agent();
        let mut running = HashSet::new();
        loop {
            let woken = self.fresh.notified();
            match self.store.endpoints(None, 1000).await {
                Ok(endpoints) => {
                    let ids: HashSet<_> = endpoints.into_iter().map(|it| it.id).collect();
                    running.retain(|id| ids.contains(id));
                    for id in ids {
                        if running.insert(id.clone()) {
                            let one = self.clone().tell(id, agent.clone());
                            self.tasks.spawn(one);
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "the webhooks cannot be read"),
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = woken => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Tells one endpoint, until it is no more.
    async fn tell(self, id: String, agent: Agent) {
        let mut not_before = Instant::now();
        loop {
            // Before it is looked, so that nothing that comes meanwhile is missed.
            let woken = self.fresh.notified();
            let wait = match self.store.next_for(id.clone()).await {
                Ok(Next::Gone) => return,
                Ok(Next::Nothing) => LOOK_EVERY,
                Ok(Next::Tell(next)) => {
                    let (endpoint, event) = *next;
                    let wait = not_before.saturating_duration_since(Instant::now());
                    // Whoever asks for a replay does not want to wait.
                    if endpoint.failures == 0 || wait.is_zero() {
                        let attempt = tokio::select! {
                            () = self.stopping.cancelled() => return,
                            attempt = attempt(&agent, &endpoint, &event) => attempt,
                        };
                        match self.conclude(&endpoint, &event, attempt).await {
                            Ok(pause) => {
                                not_before = Instant::now() + pause;
                                continue;
                            }
                            // It is told again: what is not written down may not have been.
                            Err(error) => {
                                tracing::error!(%error, "a delivery was not written down");
                                LONG_PAUSE
                            }
                        }
                    } else {
                        wait
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the events cannot be read");
                    LONG_PAUSE
                }
            };
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = woken => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Notes how an attempt went. How long to wait before the next.
    async fn conclude(
        &self,
        endpoint: &Endpoint,
        event: &Event,
        attempt: Attempt,
    ) -> Result<Duration, StoreError> {
        self.metrics.delivered(attempt.label());
        if attempt == Attempt::Heard {
            self.store.told(endpoint, event.number, true).await?;
            return Ok(Duration::ZERO);
        }
        let since = self.store.failed(endpoint.id.clone()).await?;
        if since.is_some_and(|since| since.after(GIVE_UP_AFTER) <= Moment::now()) {
            self.metrics.delivered("given_up");
            tracing::warn!(webhook = %endpoint.id, "an event was given up: it fails for days");
            self.store.told(endpoint, event.number, false).await?;
        }
        Ok(pause(endpoint.failures))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Heard,
    Refused,
    Unreachable,
}

impl Attempt {
    const fn label(self) -> &'static str {
        match self {
            Self::Heard => "ok",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Grows twice as long with each failure, and is not the same for all who wait.
fn pause(failures: u32) -> Duration {
    let longest = SHORTEST_PAUSE.saturating_mul(1 << failures.min(16));
    let longest = longest.min(LONGEST_PAUSE);
    let random = getrandom::u32().unwrap_or(u32::MAX);
    longest.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

/// Follows no redirect: the address was chosen by somebody who may choose it.
fn agent() -> Agent {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::WebPki)
        .unversioned_rustls_crypto_provider(Arc::new(provider))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("conclave/", env!("CARGO_PKG_VERSION")))
        .build();
    config.new_agent()
}

async fn attempt(agent: &Agent, endpoint: &Endpoint, event: &Event) -> Attempt {
    let id = event.number.to_string();
    let timestamp = Moment::now().seconds();
    let Ok(body) = body(event) else {
        return Attempt::Refused;
    };
    let Some(signature) = sign(&endpoint.secret, &id, timestamp, &body) else {
        return Attempt::Refused;
    };
    let request = agent
        .post(&endpoint.url)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature);
    let sent = tokio::task::spawn_blocking(move || request.send(body)).await;
    match sent {
        Ok(Ok(answer)) if answer.status().is_success() => Attempt::Heard,
        Ok(Ok(_)) => Attempt::Refused,
        Ok(Err(error)) => {
            // Not the error itself, which may name the address, and that may hold a secret.
            tracing::debug!(webhook = %endpoint.id, kind = kind(&error), "a delivery failed");
            Attempt::Unreachable
        }
        Err(_) => Attempt::Unreachable,
    }
}

const fn kind(error: &ureq::Error) -> &'static str {
    match error {
        ureq::Error::Timeout(_) => "timeout",
        ureq::Error::HostNotFound => "unknown host",
        ureq::Error::Io(_) => "no connection",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let within = |failures, most| {
            let pause = pause(failures);
            assert!(pause <= most && pause >= most / 2, "{failures}: {pause:?}");
        };
        within(0, SHORTEST_PAUSE);
        within(3, SHORTEST_PAUSE * 8);
        within(16, LONGEST_PAUSE);
        within(u32::MAX, LONGEST_PAUSE);
    }
}
