use super::*;

const PAGE: &str = r#"# HELP conclave_packets_total Packets.
# TYPE conclave_packets_total counter
conclave_packets_total{direction="in",kind="audio",peer="client"} 1000
conclave_packets_total{direction="out",kind="audio",peer="client"} 20
conclave_packets_total{direction="out",kind="video",peer="client"} 2.5e2
conclave_packets_total_dropped{direction="out"} 7
conclave_worker_cpu_seconds_total{worker="0"} 1.5
process_cpu_seconds_total{mode="user"} 0.75
process_cpu_seconds_total{mode="system"} 1.5
process_resident_memory_bytes 30000000
process_open_fds 21
"#;

fn sample(at: Instant, page: Result<Page, CostUnknown>) -> ServerSample {
    ServerSample {
        at,
        page,
        used: Err(CostUnknown::NoProcess),
    }
}

fn used(milliseconds: u64, megabytes: u64) -> ProcessUse {
    ProcessUse {
        user: Duration::from_millis(milliseconds),
        system: Duration::from_millis(milliseconds * 3),
        context_switches: milliseconds,
        resident_bytes: megabytes * 1_000_000,
        files: Some(30),
        threads: 5,
    }
}

fn work(packets_received: u64) -> Work {
    Work {
        packets_received,
        bots: 10,
        syscalls_per_second: Known::Yes(500.0),
    }
}

fn observer(given: &[u32]) -> Observer {
    Observer {
        address: "http://localhost:1".parse().unwrap(),
        processes: given.to_vec(),
        first: match given {
            [] => First::Page,
            _ => First::Kernel,
        },
    }
}

#[test]
fn a_page_is_read() {
    let page = Page::parse(PAGE);
    let expected = Page {
        cpu_seconds: Some(2.25),
        user_seconds: Some(0.75),
        system_seconds: Some(1.5),
        worker_seconds: Some(1.5),
        packets_out: Some(270.0),
        memory_bytes: Some(3e7),
        file_descriptors: Some(21.0),
    };
    assert_eq!(page, expected);
    assert_eq!(Page::parse("no metrics"), Page::default());
}

#[test]
fn the_cost_of_a_packet_is_a_difference() {
    let start = Instant::now();
    let page = Page::parse(PAGE);
    let later = Page {
        cpu_seconds: Some(2.75),
        user_seconds: Some(1.0),
        system_seconds: Some(1.75),
        worker_seconds: Some(1.75),
        packets_out: Some(100_270.0),
        memory_bytes: Some(4e7),
        ..page
    };
    let begin = sample(start, Ok(page));
    let end = sample(start + Duration::from_secs(10), Ok(later));
    let observer = observer(&[]);
    let span = Span {
        before: &begin,
        begin: &begin,
        end: &end,
        observer: &observer,
    };
    let server = span.report(work(7)).yes().cloned().unwrap();
    assert_eq!(server.source, CostSource::Metrics);
    assert_eq!(server.packets_counted_by, PacketCounter::Server);
    assert_eq!(server.packets_per_second, 10_000.0);
    assert_eq!(server.cpu_us_per_packet, Known::Yes(5.0));
    assert_eq!(server.user_us_per_packet, Known::Yes(2.5));
    assert_eq!(server.system_us_per_packet, Known::Yes(2.5));
    assert_eq!(server.worker_us_per_packet, Known::Yes(2.5));
    assert_eq!(server.packets_per_second_per_core, Known::Yes(200_000.0));
    assert_eq!(server.syscalls_per_packet, Known::Yes(0.05));
    assert_eq!(server.memory_bytes, Known::Yes(40_000_000));
    assert_eq!(server.memory_per_participant_bytes, Known::Yes(1e6));
    assert_eq!(server.file_descriptors, Known::Yes(21));
    assert!(server.threads.reason().unwrap().contains("--server-pid"));
}

#[test]
fn without_a_page_the_kernel_and_the_receivers_tell() {
    let start = Instant::now();
    let nothing = || Err(CostUnknown::Unreachable("status 404".to_owned()));
    let mut begin = sample(start, nothing());
    begin.used = Ok(used(100, 20));
    let mut end = sample(start + Duration::from_secs(10), nothing());
    end.used = Ok(used(200, 50));
    let observer = observer(&[17, 18]);
    let span = Span {
        before: &begin,
        begin: &begin,
        end: &end,
        observer: &observer,
    };
    let server = span.report(work(40_000)).yes().cloned().unwrap();
    assert_eq!(server.source, CostSource::Proc { pids: vec![17, 18] });
    assert_eq!(server.packets_counted_by, PacketCounter::Receivers);
    assert_eq!(server.cpu_cores, Known::Yes(0.04));
    assert_eq!(server.user_us_per_packet, Known::Yes(2.5));
    assert_eq!(server.system_us_per_packet, Known::Yes(7.5));
    assert_eq!(server.context_switches_per_second, Known::Yes(10.0));
    assert_eq!(server.memory_per_participant_bytes, Known::Yes(3e6));
    assert_eq!(
        (server.threads, server.file_descriptors),
        (Known::Yes(5), Known::Yes(30))
    );
    assert!(
        server
            .worker_us_per_packet
            .reason()
            .unwrap()
            .contains("404")
    );
    let idle = span.report(work(0)).yes().cloned().unwrap();
    assert!(idle.cpu_us_per_packet.reason().is_some());
}

#[test]
fn named_processes_are_compared_by_what_receivers_got_though_there_is_a_page() {
    let start = Instant::now();
    let page = Page::parse(PAGE);
    let later = Page {
        packets_out: Some(100_270.0),
        ..page
    };
    let mut begin = sample(start, Ok(page));
    begin.used = Ok(used(100, 20));
    let mut end = sample(start + Duration::from_secs(10), Ok(later));
    end.used = Ok(used(200, 50));
    let observer = observer(&[17]);
    let span = Span {
        before: &begin,
        begin: &begin,
        end: &end,
        observer: &observer,
    };
    let server = span.report(work(40_000)).yes().cloned().unwrap();
    assert_eq!(server.packets_counted_by, PacketCounter::Receivers);
    assert_eq!(server.packets_forwarded, 40_000);
}

#[test]
fn who_tells_of_nothing_is_named() {
    let now = Instant::now();
    let begin = sample(now, Ok(Page::default()));
    let end = begin.clone();
    let observer = observer(&[]);
    let span = Span {
        before: &begin,
        begin: &begin,
        end: &end,
        observer: &observer,
    };
    let reason = span.report(work(1)).reason().map(ToOwned::to_owned);
    assert!(reason.unwrap().contains("process_cpu_seconds_total"));
}
