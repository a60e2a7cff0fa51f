//! All figures of a report as lines for people, group by group.

use super::{
    Bandwidth, Encryption, Fanout, Faults, Generator, Growth, Join, Known, Loss, Packets, Report,
    Server, Soak, Times, Unit, Video,
    unit::{counted, digits},
};

/// One line.
pub(crate) struct Line {
    /// The group.
    pub(crate) group: &'static str,
    /// What it tells.
    pub(crate) name: String,
    /// What there is to tell.
    pub(crate) value: String,
}

/// Lines by group, and what is not known.
#[derive(Default)]
pub(crate) struct Table {
    /// The lines of one group follow each other.
    pub(crate) lines: Vec<Line>,
    /// Each reason, with what is not known for it.
    pub(crate) unknown: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Of a report.
    pub(crate) fn of(report: &Report) -> Self {
        let mut table = Self::default();
        table.group("fan-out", &report.fanout, fanout);
        table.group("server", &report.server, server);
        join(&mut table, &report.join);
        table.group("video", &report.video, video);
        table.group("bandwidth", &report.bandwidth, bandwidth);
        table.group("encryption", &report.encryption, encryption);
        loss(&mut table, &report.loss);
        table.group("faults", &report.faults, faults);
        table.group("soak", &report.soak, soak);
        generator(&mut table, &report.generator);
        for slo in &report.slos {
            table.line("bounds", &slo.asked, slo.told());
        }
        table
    }

    fn line(&mut self, group: &'static str, name: &str, value: String) {
        self.lines.push(Line {
            group,
            name: name.to_owned(),
            value,
        });
    }

    /// A line for a figure, or a word on why there is none.
    fn figure<T>(
        &mut self,
        group: &'static str,
        name: &str,
        figure: &Known<T>,
        show: impl FnOnce(&T) -> String,
    ) {
        match figure {
            Known::Yes(value) => self.line(group, name, show(value)),
            Known::No { unknown } => self.unknown(group, name, unknown),
        }
    }

    fn unknown(&mut self, group: &'static str, name: &str, reason: &str) {
        let what = match name {
            "" => group.to_owned(),
            _ => format!("{group} {name}"),
        };
        match self.unknown.iter_mut().find(|(known, _)| known == reason) {
            Some((_, figures)) => figures.push(what),
            None => self.unknown.push((reason.to_owned(), vec![what])),
        }
    }

    /// The lines of a group, or a word on why there is none of them.
    fn group<T>(
        &mut self,
        name: &'static str,
        group: &Known<T>,
        lines: impl FnOnce(&mut Self, &T),
    ) {
        match group {
            Known::Yes(group) => lines(self, group),
            Known::No { unknown } => self.unknown(name, "", unknown),
        }
    }
}

fn tail(times: &Times) -> String {
    let [p50, p90, p99, p999, max] = [
        times.p50_ms,
        times.p90_ms,
        times.p99_ms,
        times.p999_ms,
        times.max_ms,
    ]
    .map(digits);
    format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max} ms")
}

fn brief(times: &Times) -> String {
    let [p50, p95, max] = [times.p50_ms, times.p95_ms, times.max_ms].map(digits);
    format!(
        "p50 {p50}  p95 {p95}  max {max} ms  ({})",
        counted(times.count)
    )
}

fn fanout(table: &mut Table, fanout: &Fanout) {
    const GROUP: &str = "fan-out";
    for (kind, latency) in [("video", &fanout.video), ("audio", &fanout.audio)] {
        match latency {
            Known::No { unknown } => table.unknown(GROUP, kind, unknown),
            Known::Yes(latency) => {
                table.figure(GROUP, kind, &latency.from_schedule, |d| tail(&d.times));
                let name = format!("{kind} from sending");
                table.figure(GROUP, &name, &latency.from_send, |d| tail(&d.times));
                table.figure(GROUP, &format!("{kind} jitter"), &latency.jitter, tail);
            }
        }
    }
    table.figure(GROUP, "skew of receivers", &fanout.skew, tail);
}

fn server(table: &mut Table, server: &Server) {
    const GROUP: &str = "server";
    table.figure(GROUP, "CPU", &server.cpu_us_per_packet, |cost| {
        let mut text = format!("{} µs a forwarded packet", digits(*cost));
        for (part, name) in [
            (&server.user_us_per_packet, "user"),
            (&server.system_us_per_packet, "system"),
            (&server.worker_us_per_packet, "media threads"),
        ] {
            if let Known::Yes(part) = part {
                text += &format!(", {name} {}", digits(*part));
            }
        }
        text
    });
    let rate = Unit::PerSecond.show(server.packets_per_second);
    let cores = match &server.cpu_cores {
        Known::Yes(cores) => format!(" on {}", Unit::Cores.show(*cores)),
        Known::No { .. } => String::new(),
    };
    table.line(GROUP, "packets", format!("{rate}{cores}"));
    let capacity = &server.packets_per_second_per_core;
    table.figure(GROUP, "one core", capacity, |rate| {
        Unit::PerSecond.show(*rate)
    });
    let calls = &server.syscalls_per_packet;
    table.figure(GROUP, "system calls", calls, |calls| {
        format!("{} a packet", digits(*calls))
    });
    let switches = &server.context_switches_per_second;
    table.figure(GROUP, "context switches", switches, |rate| {
        Unit::PerSecond.show(*rate)
    });
    table.figure(GROUP, "memory", &server.memory_bytes, |bytes| {
        let all = Unit::Bytes.show(*bytes as f64);
        match &server.memory_per_participant_bytes {
            Known::Yes(each) => format!("{all}, {} a participant", Unit::Bytes.show(*each)),
            Known::No { .. } => all,
        }
    });
    let descriptors = &server.file_descriptors;
    table.figure(GROUP, "file descriptors", descriptors, ToString::to_string);
    table.figure(GROUP, "threads", &server.threads, ToString::to_string);
}

fn join(table: &mut Table, join: &Join) {
    const GROUP: &str = "join";
    let rate = match &join.joins_per_second {
        Known::Yes(rate) => format!(", {} a second", digits(*rate)),
        Known::No { .. } => String::new(),
    };
    let joined = format!("{} of {}{rate}", join.succeeded, join.asked);
    table.line(GROUP, "succeeded", joined);
    for (name, times) in [
        ("all of it", &join.total),
        ("let in", &join.signalling),
        ("in the group", &join.group),
        ("ICE", &join.ice),
        ("DTLS", &join.dtls),
        ("control channel", &join.control_channel),
        ("first sound", &join.first_audio),
        ("first picture", &join.first_picture),
    ] {
        table.figure(GROUP, name, times, brief);
    }
}

fn video(table: &mut Table, video: &Video) {
    const GROUP: &str = "video";
    table.figure(
        GROUP,
        "pictures a second",
        &video.frames_per_second,
        |rate| {
            let [min, median, max] = [rate.min, rate.median, rate.max].map(digits);
            format!("worst {min}  median {median}  best {max}")
        },
    );
    table.figure(GROUP, "freezes", &video.freezes, |freezes| {
        let (count, seconds) = (freezes.count, digits(freezes.total_seconds));
        format!(
            "{count} in {seconds} s, {} an hour",
            digits(freezes.per_hour)
        )
    });
    table.figure(GROUP, "key-frame wait", &video.key_frame_wait, brief);
    let asked = &video.key_frame_requests_asked;
    table.figure(GROUP, "key frames asked for", asked, |asked| {
        match &video.key_frame_requests_received {
            Known::Yes(received) => format!("{asked}, {received} reached publishers"),
            Known::No { .. } => asked.to_string(),
        }
    });
    table.figure(GROUP, "layer switches", &video.layer_switch, brief);
}

fn bandwidth(table: &mut Table, bandwidth: &Bandwidth) {
    const GROUP: &str = "bandwidth";
    let delivered = Unit::BitsPerSecond.show(bandwidth.delivered_bits_per_second);
    table.line(GROUP, "delivered", delivered);
    let each = &bandwidth.per_receiver_bits_per_second;
    table.figure(GROUP, "a receiver", each, |rate| {
        let [min, median, max] =
            [rate.min, rate.median, rate.max].map(|r| Unit::BitsPerSecond.show(r));
        format!("worst {min}  median {median}  best {max}")
    });
    let ratio = |ratio: &f64| Unit::Ratio.show(*ratio);
    table.figure(
        GROUP,
        "use of the limit",
        &bandwidth.utilisation_ratio,
        ratio,
    );
    let limits = bandwidth.limits;
    let reached = |times: &Times| format!("{} of {limits} limits", brief(times));
    table.figure(
        GROUP,
        "time to 80 %",
        &bandwidth.time_to_80_percent,
        reached,
    );
    table.figure(
        GROUP,
        "time to 90 %",
        &bandwidth.time_to_90_percent,
        reached,
    );
    table.figure(GROUP, "standing queue", &bandwidth.standing_queue, brief);
    let fairness = |index: &f64| format!("{index:.4} (Jain)");
    table.figure(GROUP, "fairness", &bandwidth.fairness_ratio, fairness);
}

fn encryption(table: &mut Table, sealed: &Encryption) {
    const GROUP: &str = "encryption";
    let frames = format!(
        "{} sealed, {} opened, {} failed to open",
        counted(sealed.frames_sealed),
        counted(sealed.frames_opened),
        counted(sealed.failures)
    );
    table.line(GROUP, "frames", frames);
    table.line(GROUP, "group", counted(sealed.group_size));
    table.figure(GROUP, "change of keys", &sealed.rekey, brief);
    table.figure(GROUP, "pause at a change", &sealed.rekey_gap, brief);
}

fn packets(packets: &Packets) -> String {
    let mut text = format!(
        "{} received, {} lost",
        counted(packets.received),
        counted(packets.lost_after_repair)
    );
    if let Known::Yes(ratio) = &packets.loss_ratio {
        text += &format!(" ({})", Unit::Ratio.show(*ratio));
    }
    for (count, name) in [
        (&packets.lost_on_wire, "lost at first"),
        (&packets.duplicates, "came twice"),
        (&packets.reordered, "out of order"),
    ] {
        if let Known::Yes(count) = count {
            text += &format!(", {} {name}", counted(*count));
        }
    }
    text
}

fn loss(table: &mut Table, loss: &Loss) {
    const GROUP: &str = "loss";
    let delivered = format!(
        "{} of {} expected",
        counted(loss.frames_delivered),
        counted(loss.frames_expected.round() as u64)
    );
    table.figure(GROUP, "frames delivered", &loss.delivered_ratio, |ratio| {
        format!("{} ({delivered})", Unit::Ratio.show(*ratio))
    });
    table.line(GROUP, "packets", packets(&loss.all));
    table.figure(GROUP, "of sound", &loss.audio, packets);
    table.figure(GROUP, "of pictures", &loss.video, packets);
    table.figure(GROUP, "sent again", &loss.retransmission, packets);
}

fn faults(table: &mut Table, faults: &Faults) {
    const GROUP: &str = "faults";
    for injected in &faults.injected {
        let (what, bots) = (&injected.impairment, injected.bots);
        let way = injected.direction.told();
        table.line(GROUP, "injected", format!("{what}, {way}, at {bots} bots"));
    }
    for (name, counts) in [
        ("links from bots", &faults.uplink),
        ("links to bots", &faults.downlink),
    ] {
        table.figure(GROUP, name, counts, |link| {
            format!(
                "{} packets: {} lost, {} over the queue, {} in blackouts, {} out of order, {} twice",
                counted(link.packets),
                counted(link.lost),
                counted(link.queue_dropped),
                counted(link.blacked_out),
                counted(link.reordered),
                counted(link.duplicated)
            )
        });
    }
    if faults.roams > 0 {
        table.figure(GROUP, "silence after roaming", &faults.roam_gap, brief);
    }
}

fn soak(table: &mut Table, soak: &Soak) {
    const GROUP: &str = "soak";
    for (name, growth, rate, level) in [
        (
            "memory",
            &soak.memory_bytes,
            Unit::BytesPerHour,
            Unit::Bytes,
        ),
        (
            "file descriptors",
            &soak.file_descriptors,
            Unit::PerHour,
            Unit::Count,
        ),
        ("threads", &soak.threads, Unit::PerHour, Unit::Count),
    ] {
        match growth {
            Known::No { unknown } => table.unknown(GROUP, name, unknown),
            Known::Yes(Growth {
                slope,
                before,
                after,
            }) => {
                table.figure(GROUP, &format!("{name}, slope"), slope, |slope| {
                    let ends = [slope.low_per_hour, slope.high_per_hour].map(|end| rate.show(end));
                    format!("{} ({} to {})", rate.show(slope.per_hour), ends[0], ends[1])
                });
                if let (Known::Yes(before), Known::Yes(after)) = (before, after) {
                    let ends = format!(
                        "{} before, {} after",
                        level.show(*before),
                        level.show(*after)
                    );
                    table.line(GROUP, &format!("{name}, idle"), ends);
                }
            }
        }
    }
}

fn generator(table: &mut Table, own: &Generator) {
    const GROUP: &str = "load test";
    let mut cpu = format!("{} of {} cores", digits(own.cpu_cores), own.available_cores);
    if let Known::Yes(each) = &own.cpu_cores_per_bot {
        cpu += &format!(", {} of a core a bot", Unit::Ratio.show(*each));
    }
    table.line(GROUP, "CPU", cpu);
    let memory = &own.memory_per_bot_bytes;
    table.figure(GROUP, "memory", memory, |each| {
        format!("{} a bot", Unit::Bytes.show(*each))
    });
    table.figure(GROUP, "frames sent late", &own.send_lateness, |d| {
        tail(&d.times)
    });
    table.figure(GROUP, "woken late", &own.wake_lateness, |d| tail(&d.times));
    for reason in &own.reasons {
        table.line(GROUP, "SATURATED", reason.clone());
    }
}
