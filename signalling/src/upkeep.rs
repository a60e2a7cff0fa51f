//! What is done beside everything else, from time to time or as long as the server runs.

use std::{sync::Arc, time::Duration};

use tokio::time::{interval, sleep};

use crate::{acme::Acme, door::Door, outbox::Deliveries, tls::Certificates};

/// How often the files are looked at. Certificates are renewed long before they end.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(10);

/// Tells webhooks what happens.
pub(crate) async fn tell(door: Arc<Door>) {
    let outbox = &door.rooms.outbox;
    if let Err(error) = outbox.note_ends().await {
        tracing::error!(%error, "the ends of calls were not noted");
    }
    let deliveries = Deliveries {
        store: door.store.clone(),
        fresh: Arc::clone(&outbox.fresh),
        metrics: Arc::clone(&door.metrics),
        stopping: door.stopping.clone(),
        tasks: door.tasks.clone(),
    };
    deliveries.run().await;
}

/// Ends what is over, once a minute.
pub(crate) async fn tidy(door: Arc<Door>) {
    let mut minute = interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            () = door.stopping.cancelled() => return,
            _ = minute.tick() => {
                door.addresses.tidy();
                door.wrong_keys.tidy();
                door.rooms.tidy();
                end_what_is_over(&door).await;
            }
        }
    }
}

/// Closes rooms whose time is over, and forgets what is too old to be told.
async fn end_what_is_over(door: &Door) {
    let ended = async {
        for room in door.store.expired_rooms().await? {
            door.rooms.shut(&room).await?;
        }
        door.store.forget_events().await
    };
    if let Err(error) = ended.await {
        tracing::error!(%error, "what is over could not be ended");
    }
}

/// Reads the certificate again when its files change.
pub(crate) async fn refresh(door: Arc<Door>, certificates: Arc<Certificates>) {
    let mut due = interval(CERTIFICATE_CHECK);
    let mut said = None;
    loop {
        tokio::select! {
            () = door.stopping.cancelled() => return,
            _ = due.tick() => {}
        }
        let trouble = match certificates.refresh() {
            Ok(false) => None,
            Ok(true) => {
                tracing::info!("the certificate was read again");
                None
            }
            Err(error) => Some(error.to_string()),
        };
        // Once: what cannot be read is tried again and again.
        if let Some(error) = trouble.as_ref().filter(|_| trouble != said) {
            tracing::error!(error, "the certificate stays as it was");
        }
        said = trouble;
    }
}

/// Gets certificates whenever one is due.
pub(crate) async fn keep_certified(door: Arc<Door>, acme: Acme, certificates: Arc<Certificates>) {
    let mut failures = 0;
    loop {
        let renewed = tokio::select! {
            () = door.stopping.cancelled() => return,
            renewed = acme.renew() => renewed,
        };
        match renewed.map(|renewed| renewed.then(|| certificates.refresh())) {
            Ok(None) => failures = 0,
            Ok(Some(Ok(_))) => {
                failures = 0;
                tracing::info!("a certificate has come");
            }
            Ok(Some(Err(error))) => {
                failures += 1;
                tracing::error!(%error, "the certificate that came cannot be used");
            }
            Err(error) => {
                failures += 1;
                tracing::error!(%error, "no certificate came; it is tried again");
            }
        }
        tokio::select! {
            () = door.stopping.cancelled() => return,
            () = sleep(Acme::pause(failures)) => {}
        }
    }
}
