//! A report with something in every group, for tests: one minute of one publisher to
//! twenty subscribers, as such a run looks.

use hdrhistogram::Histogram;
use serde_json::json;

use super::*;
use crate::{
    measure::delivery::Basis,
    measure::{
        tally::{SenderCount, Unopened},
        totals::durations,
    },
};

/// Durations that crowd around `middle_ms` and have a long tail, always the same ones.
fn latencies(middle_ms: f64, count: u32) -> Histogram<u64> {
    let mut histogram = durations();
    for step in 0..count {
        let place = (f64::from(step) + 0.5) / f64::from(count);
        let milliseconds = middle_ms * (place / (1.0 - place)).powf(0.3);
        histogram.saturating_record((milliseconds * 1e6) as u64);
    }
    histogram
}

fn distribution(middle_ms: f64) -> Known<Distribution> {
    Known::of(
        Distribution::of_histogram(&latencies(middle_ms, 20_000)),
        "none",
    )
}

fn times(middle_ms: f64, count: u32) -> Known<Times> {
    Known::of(Times::of_histogram(&latencies(middle_ms, count)), "none")
}

fn second(number: u32) -> Second {
    let time = f64::from(number);
    let wave = 0.4 * (time / 7.0).sin() + 0.6 * (time * 2.3).sin();
    let in_call = (number * 4).min(21);
    let share = f64::from(in_call) / 21.0;
    Second {
        at_seconds: f64::from(number + 1),
        measured: number >= 10,
        participants: in_call.into(),
        packets_per_second: share * (2_800.0 + 40.0 * wave),
        bits_per_second: share * (20.0e6 + 3e5 * wave),
        latency_p50_ms: (in_call > 1).then_some(2.0 + 0.2 * wave),
        latency_p99_ms: (in_call > 1).then_some(7.0 + 2.0 * wave),
        packets_lost: u64::from(number % 20 == 13),
        frozen: u64::from(number == 33),
        server_cpu_cores: Some(share * (0.031 + 0.002 * wave)),
        generator_cpu_cores: share * (0.35 + 0.02 * wave),
    }
}

fn join() -> Join {
    Join {
        asked: 21,
        succeeded: 21,
        joins_per_second: Known::Yes(4.1),
        total: times(210.0, 21),
        signalling: times(12.0, 21),
        group: times(95.0, 21),
        ice: times(110.0, 21),
        dtls: times(180.0, 21),
        control_channel: times(200.0, 21),
        first_audio: times(230.0, 20),
        first_picture: times(330.0, 20),
    }
}

fn server() -> Server {
    Server {
        source: CostSource::Proc { pids: vec![4711] },
        packets_counted_by: PacketCounter::Server,
        packets_forwarded: 168_000,
        packets_per_second: 2_800.0,
        packets_per_second_per_core: Known::Yes(90_090.1),
        cpu_cores: Known::Yes(0.0311),
        cpu_us_per_packet: Known::Yes(11.1),
        user_us_per_packet: Known::Yes(4.2),
        system_us_per_packet: Known::Yes(6.9),
        worker_us_per_packet: Known::Yes(10.4),
        syscalls_per_packet: Known::no("the kernel does not count them for this user"),
        context_switches_per_second: Known::Yes(812.0),
        memory_bytes: Known::Yes(31 << 20),
        memory_per_participant_bytes: Known::Yes(262_144.0),
        file_descriptors: Known::Yes(38),
        threads: Known::Yes(6),
    }
}

fn encryption() -> Encryption {
    Encryption {
        frames_sealed: 4_200,
        frames_opened: 83_990,
        frames_opened_total: 92_000,
        failures: 0,
        unopened: Unopened {
            duplicate: 3,
            unknown_epoch_while_joining: 11,
            ..Unopened::default()
        },
        group_size: 21,
        rekey: times(14.0, 20),
        rekey_by_group_size: Times::of_histogram(&latencies(14.0, 20))
            .map(|times| RekeysBySize {
                members_up_to: 32,
                times,
            })
            .into_iter()
            .collect(),
        rekey_gap: times(6.0, 400),
        commits_refused: 0,
        strangers_refused: 0,
        senders: vec![SenderCount {
            name: "Bot 1".to_owned(),
            audio_frames: 64_000,
            video_frames: 28_000,
            video_key_frames: 700,
            stamped_frames: 28_000,
        }],
    }
}

fn packets(received: u64, on_wire: u64, after_repair: u64) -> Packets {
    Packets {
        lost_on_wire: Known::Yes(on_wire),
        duplicates: Known::Yes(2),
        reordered: Known::Yes(17),
        ..Packets::new(received, after_repair)
    }
}

fn loss() -> Loss {
    Loss {
        packets_delivered: 167_958,
        packets_sent: 8_400,
        all: packets(184_742, 3_702, 42),
        audio: Known::Yes(packets(64_012, 1_280, 31)),
        video: Known::Yes(packets(120_730, 2_422, 11)),
        retransmission: Known::Yes(packets(2_450, 49, 49)),
        frames_expected: 84_000.0,
        frames_delivered: 83_990,
        delivered_ratio: Known::Yes(83_990.0 / 84_000.0),
        delivered_basis: Basis::Sent,
    }
}

/// The report. Whoever needs another one changes what matters.
pub(crate) fn report() -> Report {
    let latency = |middle_ms: f64, jitter_ms: f64| FrameLatency {
        from_schedule: distribution(middle_ms * 1.1),
        from_send: distribution(middle_ms),
        jitter: times(jitter_ms, 20_000),
    };
    let settings = json!({ "publishers": 1, "subscribers": 20, "duration": "1m", "warmup": "10s" });
    Report {
        schema: SCHEMA,
        verdict: Verdict::Ok,
        failures: Vec::new(),
        slos: vec![SloOutcome {
            asked: "p99<20ms".to_owned(),
            figure: "p99".to_owned(),
            measured: Known::Yes(8.73),
            bound: 20.0,
            unit: "ms".to_owned(),
            held: true,
        }],
        run: Run {
            tool_version: "0.1.0".to_owned(),
            build_profile: BuildProfile::Release,
            target: "conclave".to_owned(),
            server: "http://localhost:8080".to_owned(),
            scenario: "broadcast".to_owned(),
            settings: settings.as_object().cloned().unwrap_or_default(),
            publishers: 1,
            subscribers: 20,
            participants: 21,
            begun_at: "2026-05-04T12:30:00Z".to_owned(),
            measured_seconds: 60.0,
            seed: Known::Yes(7),
            machine: Machine {
                cores: 2,
                cpu_model: Known::Yes("Some Processor at 2.80 GHz".to_owned()),
                kernel: Known::Yes("Linux 6.12.0".to_owned()),
            },
        },
        fanout: Known::Yes(Fanout {
            video: Known::Yes(latency(2.0, 0.4)),
            audio: Known::Yes(latency(1.2, 0.3)),
            skew: times(0.6, 1_200),
        }),
        server: Known::Yes(server()),
        join: join(),
        video: Known::Yes(Video {
            key_frame_wait: times(120.0, 20),
            key_frame_requests_asked: Known::Yes(20),
            key_frame_requests_received: Known::Yes(4),
            layer_switches: Known::Yes(40),
            layer_switch: times(210.0, 40),
            freezes: Known::Yes(Freezes {
                count: 1,
                total_seconds: 0.4,
                per_hour: 3.0,
            }),
            frames_per_second: Known::of(Spread::of([19.7, 19.9, 20.0]), "none"),
        }),
        bandwidth: Known::Yes(Bandwidth {
            delivered_bits_per_second: 20.1e6,
            per_receiver_bits_per_second: Known::of(Spread::of([0.99e6, 1.0e6, 1.02e6]), "none"),
            utilisation_ratio: Known::Yes(0.92),
            limits: 20,
            time_to_80_percent: times(900.0, 20),
            time_to_90_percent: times(1_900.0, 20),
            standing_queue: times(18.0, 2_000),
            fairness_ratio: Known::Yes(0.998),
        }),
        encryption: Known::Yes(encryption()),
        loss: loss(),
        faults: Known::Yes(Faults {
            injected: vec![Injected {
                impairment: "loss=2%".to_owned(),
                direction: Direction::Down,
                bots: 20,
            }],
            uplink: Known::no("nothing was done to packets from bots"),
            downlink: Known::Yes(LinkCounts {
                packets: 188_000,
                lost: 3_751,
                ..LinkCounts::default()
            }),
            roams: 2,
            roam_gap: times(150.0, 2),
        }),
        soak: Known::Yes(Soak {
            memory_bytes: Known::Yes(Growth {
                slope: Known::Yes(Slope {
                    per_hour: 12_000.0,
                    low_per_hour: -40_000.0,
                    high_per_hour: 64_000.0,
                    samples: 60,
                }),
                before: Known::Yes(26.0e6),
                after: Known::Yes(26.4e6),
            }),
            file_descriptors: Known::Yes(Growth {
                slope: Known::no("it never changed"),
                before: Known::Yes(17.0),
                after: Known::Yes(17.0),
            }),
            threads: Known::no("the server does not tell"),
        }),
        generator: Generator {
            saturated: false,
            reasons: Vec::new(),
            cpu_cores: 0.36,
            available_cores: 2,
            cpu_cores_per_bot: Known::Yes(0.36 / 21.0),
            memory_per_bot_bytes: Known::Yes(1.9e6),
            packets_received_per_second: 2_799.3,
            lateness_bound_ms: 20.0,
            send_lateness: distribution(0.4),
            wake_lateness: distribution(0.2),
            frames_left_out: 0,
            datagrams_not_sent: 0,
            datagrams_not_read: Known::Yes(0),
            receive_offload: false,
        },
        timeline: (0..70).map(second).collect(),
    }
}

#[test]
fn a_report_comes_back_from_json_as_it_was() {
    let report = report();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn the_json_has_the_names_that_people_script_against() {
    let json = serde_json::to_value(report()).unwrap();
    for pointer in [
        "/schema",
        "/verdict",
        "/run/scenario",
        "/run/participants",
        "/fanout/video/from_schedule/p99_ms",
        "/fanout/video/from_send/p50_ms",
        "/server/cpu_us_per_packet",
        "/server/syscalls_per_packet/unknown",
        "/join/total/p95_ms",
        "/video/freezes/per_hour",
        "/bandwidth/per_receiver_bits_per_second/min",
        "/encryption/failures",
        "/loss/delivered_ratio",
        "/loss/audio/loss_ratio",
        "/generator/saturated",
        "/timeline/0/packets_per_second",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer}");
    }
}

/// The report of a server that takes so many times as long.
pub(crate) fn slower(factor: f64) -> Report {
    let mut report = report();
    if let Known::Yes(fanout) = &mut report.fanout
        && let Known::Yes(video) = &mut fanout.video
    {
        video.from_schedule = distribution(2.2 * factor);
    }
    for second in &mut report.timeline {
        for latency in [&mut second.latency_p50_ms, &mut second.latency_p99_ms] {
            *latency = latency.map(|latency| latency * factor);
        }
    }
    report
}
