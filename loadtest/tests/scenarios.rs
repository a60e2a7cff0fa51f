//! One short run of each kind of scenario.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::time::Duration;

use conclave_loadtest::{
    measure::tally::SenderCount,
    report::{Report, Verdict},
    scenario::{JoinPace, Scenario, built_in},
};
use stage::Stage;

const SECOND: Duration = Duration::from_secs(1);

/// A scenario of this program, made short.
fn short(name: &str) -> Scenario {
    let mut scenario = built_in::scenario(name).unwrap();
    scenario.warmup = 2 * SECOND;
    scenario.duration = 4 * SECOND;
    scenario
}

async fn report(scenario: Scenario) -> Report {
    let stage = Stage::set();
    let report = stage.run(&stage.plan_of(scenario)).await;
    stage.strike().await;
    report
}

/// Runs it on a server of its own where people come and go. When someone was removed,
/// senders seal with the next epoch at once, and whoever hears of it after them cannot open
/// what is sent meanwhile.
async fn run_with_comings_and_goings(scenario: Scenario) -> Report {
    let report = report(scenario).await;
    let encryption = report.encryption.yes().unwrap();
    let few = encryption.frames_opened / 50;
    assert!(encryption.failures <= few, "{report}");
    let unopened = &encryption.unopened;
    assert_eq!((unopened.forged, unopened.malformed), (0, 0), "{report}");
    let known = |failure: &String| failure.contains("frames could not be opened");
    assert!(report.failures.iter().all(known), "{report}");
    assert_eq!(report.loss.all.lost_after_repair, 0, "{report}");
    report
}

/// Runs it on a server of its own, and expects all to be in order.
async fn run(scenario: Scenario) -> Report {
    let report = report(scenario).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report}");
    assert_eq!(report.encryption.yes().unwrap().failures, 0);
    assert_eq!(report.loss.all.lost_after_repair, 0, "{report}");
    report
}

fn delivered(report: &Report) -> f64 {
    *report.loss.delivered_ratio.yes().unwrap()
}

fn senders(report: &Report) -> &[SenderCount] {
    &report.encryption.yes().unwrap().senders
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcast() {
    let mut scenario = short("broadcast");
    scenario.bots[1].count = 3;
    let report = run(scenario).await;
    assert_eq!(report.run.scenario, "broadcast");
    assert!(delivered(&report) > 0.97, "{report}");
    // One megabit to each.
    let bandwidth = report.bandwidth.yes().unwrap().delivered_bits_per_second / 3e6;
    assert!((0.8..1.3).contains(&bandwidth), "{bandwidth}");
    let fanout = report.fanout.yes().unwrap();
    for latency in [&fanout.video, &fanout.audio] {
        let from_send = latency.yes().unwrap().from_send.yes().unwrap();
        assert!(from_send.times.p50_ms > 0.0 && from_send.times.p50_ms < 500.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_no_members_open_frames_with_the_members_keys() {
    let mut scenario = short("broadcast");
    scenario.members = Some(3);
    let report = run(scenario).await;
    let encryption = report.encryption.yes().unwrap();
    assert_eq!(encryption.group_size, 3);
    assert_eq!(report.run.settings["members"], 3);
    assert!(delivered(&report) > 0.97, "{report}");
    // All five opened what the one sent, and know whose it was.
    let [sender] = senders(&report) else {
        panic!("{report}");
    };
    assert_eq!(sender.name, "Bot 1");
    let expected = 5.0 * 30.0 * report.run.measured_seconds;
    assert!(sender.video_frames as f64 > expected, "{sender:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_that_read_several_datagrams_at_once_get_every_one() {
    let stage = Stage::set();
    let mut plan = stage.plan_of(short("broadcast"));
    plan.receive_offload = true;
    let report = stage.run(&plan).await;
    stage.strike().await;
    assert_eq!(report.verdict, Verdict::Ok, "{report}");
    assert!(report.generator.receive_offload);
    assert_eq!(report.loss.all.lost_after_repair, 0, "{report}");
    assert!(delivered(&report) > 0.97, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gallery() {
    let mut scenario = short("gallery");
    let everyone = &mut scenario.bots[0];
    everyone.count = 5;
    everyone.slots.cameras = 2;
    everyone.view.tiles = Some(2);
    everyone.view.turn = Some(SECOND);
    let report = run(scenario).await;
    assert_eq!((report.run.publishers, report.run.subscribers), (5, 5));
    // Everyone is seen by others, though there are fewer tiles than cameras.
    assert_eq!(senders(&report).len(), 5);
    assert!(
        senders(&report)
            .iter()
            .all(|sender| sender.video_key_frames > 0)
    );
    // Of what a page shows a little is missing until its pictures come.
    assert!((0.7..1.02).contains(&delivered(&report)), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn webinar() {
    let mut scenario = short("webinar");
    scenario.bots[0].count = 4;
    scenario.bots[1].count = 3;
    let rotate = scenario.bots[0].rotate.as_mut().unwrap();
    (rotate.on, rotate.every) = (2, 2 * SECOND);
    let report = run(scenario).await;
    let seen = senders(&report);
    assert_eq!(seen.len(), 4, "everyone had a turn");
    assert!(seen.iter().all(|sender| sender.video_key_frames > 0));
    assert!((0.7..1.05).contains(&delivered(&report)), "{report}");
    // Two of four are on at 30 frames a second, in three layers.
    let sealed = report.encryption.yes().unwrap().frames_sealed as f64;
    let expected = 2.0 * (50.0 + 3.0 * 30.0) * report.run.measured_seconds;
    assert!(
        (sealed / expected - 1.0).abs() < 0.15,
        "{sealed} {expected}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn churn() {
    let mut scenario = short("churn");
    scenario.bots[0].count = 2;
    scenario.bots[1].count = 4;
    let churn = scenario.bots[1].churn.as_mut().unwrap();
    (churn.per_second, churn.away) = (1.0, SECOND / 2);
    scenario.duration = 6 * SECOND;
    let report = run_with_comings_and_goings(scenario).await;
    assert!(report.join.asked > 8, "{}", report.join.asked);
    assert!(report.join.succeeded > 7, "{}", report.join.succeeded);
    let times = report.join.total.yes().unwrap();
    assert!(times.p50_ms > 0.0);
    assert!((0.8..1.05).contains(&delivered(&report)), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn join_storm() {
    let mut scenario = short("join-storm");
    scenario.bots[1].count = 10;
    assert_eq!(scenario.join, JoinPace::AtOnce);
    let report = run_with_comings_and_goings(scenario).await;
    assert_eq!((report.join.asked, report.join.succeeded), (11, 11));
    assert_eq!(report.run.participants, 11);
    assert!(delivered(&report) > 0.9, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn screen_share() {
    let mut scenario = short("screen-share");
    scenario.bots[1].count = 2;
    scenario.bots[0].rotate.as_mut().unwrap().every = 2 * SECOND;
    let report = run(scenario).await;
    // Three cameras at 20 frames a second and one screen at 10, less what each sends itself,
    // and two voices for each: the loudest.
    let cameras = 20.0 * (2.0 * 3.0 + 3.0 * 2.0);
    let screens = 10.0 * (2.0 + 2.0);
    let voices = 50.0 * 2.0 * 5.0;
    let seconds = report.run.measured_seconds;
    let expected = report.loss.frames_expected / seconds / (cameras + screens + voices);
    assert!((0.9..1.1).contains(&expected), "{expected}");
    assert!((0.8..1.05).contains(&delivered(&report)), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed() {
    let mut scenario = short("mixed");
    for group in &mut scenario.bots[3..] {
        group.count = 1;
    }
    scenario.bots[5].view.turn = Some(SECOND);
    let report = run(scenario).await;
    // VP8 twice, VP9, AV1: each is seen, from key frames on.
    let seen = senders(&report);
    assert_eq!(seen.len(), 4);
    assert!(
        seen.iter().all(|sender| sender.video_key_frames > 0),
        "{seen:?}"
    );
    // Whatever layers an SFU chooses for each.
    assert!((0.8..1.02).contains(&delivered(&report)), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn soak() {
    let mut scenario = short("soak");
    scenario.bots[0].count = 3;
    scenario.bots[1].count = 3;
    scenario.bots[1].churn.as_mut().unwrap().per_second = 0.5;
    let report = run_with_comings_and_goings(scenario).await;
    assert!(delivered(&report) > 0.8, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_come_at_the_pace_that_is_asked_for() {
    let mut scenario = short("broadcast");
    scenario.join = JoinPace::PerSecond(2.0);
    let begun = std::time::Instant::now();
    let report = run(scenario).await;
    // Six bots, half a second apart, then warm-up, window and drain.
    assert!(begun.elapsed() > SECOND * 5 / 2 + 7 * SECOND);
    assert_eq!(report.join.succeeded, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_are_listed_shown_and_read_from_files() {
    let (code, listed) = stage::said(&["scenarios"]).await;
    assert_eq!((code, listed.lines().count()), (0, 9));
    assert!(listed.contains("gallery        Everyone sends"), "{listed}");
    let (_, shown) = stage::said(&["scenarios", "webinar"]).await;
    assert_eq!(shown, built_in::text("webinar").unwrap());
    let (code, said) = stage::said(&["scenarios", "bingo"]).await;
    assert_eq!((code, said.contains("no scenario")), (2, true));

    let stage = Stage::set();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("two.toml");
    let toml = "bots = [{ count = 2, camera = {}, slots = { cameras = 1 } }]";
    std::fs::write(&path, toml).unwrap();
    let run = stage.scenario_file(&path).await;
    assert_eq!(run.exit_code, 0, "{}", run.said);
    assert_eq!(run.json["run"]["scenario"], "two");
    assert_eq!(
        run.json["run"]["settings"]["bots"][0]["slots"]["cameras"],
        1
    );
    std::fs::write(&path, format!("{toml}\nconut = 3")).unwrap();
    let run = stage.scenario_file(&path).await;
    assert_eq!(run.exit_code, 2, "{}", run.said);
    assert!(
        run.said.contains("two.toml:2: unknown field"),
        "{}",
        run.said
    );
    stage.strike().await;
}
