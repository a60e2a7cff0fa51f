//! What is watched while a run goes on: whether this process wakes up in time, and what the
//! server and this process use from second to second.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::sleep_until,
};

use crate::{
    drive::{Live, Phase},
    measure::{
        generator::{self, Watch},
        server::{self, Observer, ServerSample},
        timeline::MachineSecond,
    },
};

/// How often the server's page is read while its process cannot be looked at, in seconds:
/// each time costs the server something.
const PAGE_BEAT: u64 = 5;

/// Wakes up regularly during the window and notes how late that is.
pub(super) fn the_clock(mut phase: watch::Receiver<Phase>) -> JoinHandle<Watch> {
    tokio::spawn(async move {
        let mut watch = Watch::new(Instant::now());
        let mut next = Instant::now() + generator::BEAT;
        while *phase.borrow_and_update() == Phase::Measure {
            tokio::select! {
                _ = phase.changed() => {}
                () = sleep_until(next.into()) => next = watch.stumble(Instant::now()),
            }
        }
        watch
    })
}

/// Looks at the machine at the end of every second, until it is enough.
pub(super) fn the_seconds(
    observer: Observer,
    live: Arc<Live>,
    mut is_enough: oneshot::Receiver<()>,
) -> JoinHandle<Vec<ServerSample>> {
    tokio::spawn(async move {
        let window = &live.measurement.window;
        let mut samples: Vec<ServerSample> = Vec::new();
        let mut process = observer.watch_cpu();
        let (mut at, mut cpu) = (Instant::now(), generator::cpu_time());
        let mut next = window.second(at);
        loop {
            let end_of_second = window.second_begins(next + 1);
            tokio::select! {
                _ = &mut is_enough => return samples,
                () = sleep_until(end_of_second.into()) => {}
            }
            let (now, spent) = (Instant::now(), generator::cpu_time());
            let seconds = (now - at).as_secs_f64();
            let mut server_cpu_cores = None;
            if let Some(process) = &mut process {
                server_cpu_cores = process.spent().map(|cpu| cpu.as_secs_f64() / seconds);
                samples.push(observer.glance());
            } else if next.is_multiple_of(PAGE_BEAT) {
                let sample = observer.look().await;
                let before = samples.last();
                server_cpu_cores = before.and_then(|before| server::cpu_cores(before, &sample));
                samples.push(sample);
            }
            let machine = MachineSecond {
                participants: live.joined.load(Ordering::Relaxed),
                server_cpu_cores,
                generator_cpu_cores: (spent - cpu).as_secs_f64() / seconds,
            };
            (at, cpu) = (now, spent);
            // More than one, if it was kept from looking.
            for second in next..window.second(now) {
                live.measurement.totals().timeline.sampled(second, machine);
            }
            next = window.second(now);
        }
    })
}
