//! The command against a real server, and whether it notices what goes wrong.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::time::Duration;

use conclave_loadtest::{
    bot::publish::Sabotage,
    report::{Known, Verdict},
};
use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn one_to_five() {
    let stage = Stage::set();
    let run = stage
        .command(&["--publishers", "1", "--subscribers", "5"])
        .await;
    assert_eq!(run.exit_code, 0, "{}", run.said);
    let json = &run.json;
    assert_eq!(json["schema"], 3);
    assert_eq!(json["run"]["participants"], 6);
    assert_eq!(json["encryption"]["group_size"], 6);
    assert_eq!(json["encryption"]["failures"], 0);
    assert_eq!(json["loss"]["all"]["lost_after_repair"], 0);
    let ratio = json["loss"]["delivered_ratio"].as_f64().unwrap();
    assert!(ratio > 0.99, "{}", run.said);
    // 20 pictures and 50 sounds a second, to five receivers; each frame is one packet.
    // Frames count when they were sealed within the window, packets when they came in it.
    let expected = 70.0 * 5.0 * json["run"]["measured_seconds"].as_f64().unwrap();
    for count in ["frames_delivered", "packets_delivered"] {
        let count = json["loss"][count].as_f64().unwrap();
        assert!((count / expected - 1.0).abs() < 0.1, "{}", run.said);
    }
    let latency = &json["fanout"]["video"]["from_send"];
    assert!(latency["p50_ms"].as_f64().unwrap() > 0.0);
    assert!(latency["p50_ms"].as_f64().unwrap() < 1_000.0);
    assert!(json["join"]["total"]["p50_ms"].as_f64().unwrap() > 0.0);
    assert!(json["server"]["cpu_us_per_packet"].as_f64().unwrap() > 0.0);

    let senders = json["encryption"]["senders"].as_array().unwrap();
    assert_eq!(senders.len(), 1, "only the publisher is heard");
    assert_eq!(senders[0]["name"], "Bot 1");
    assert!(senders[0]["video_key_frames"].as_u64().unwrap() >= 5);
    assert_eq!(senders[0]["stamped_frames"], senders[0]["video_frames"]);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_speakers_than_slots() {
    let stage = Stage::set();
    let slots = ["--camera-slots", "2", "--audio-slots", "1"];
    let bots = ["--publishers", "3", "--subscribers", "2"];
    let run = stage.command(&[slots, bots].concat()).await;
    assert_eq!(run.exit_code, 0, "{}", run.said);
    // Two cameras and one voice for each of two receivers, of what each publisher sends.
    let expected = run.json["loss"]["frames_expected"].as_f64().unwrap();
    assert!((520.0..=570.0).contains(&expected), "{}", run.said);
    let ratio = run.json["loss"]["delivered_ratio"].as_f64().unwrap();
    assert!((0.95..1.05).contains(&ratio), "{}", run.said);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_call_is_joined_by_its_link() {
    let stage = Stage::set();
    let mut plan = stage.plan(1, 0);
    plan.scenario.duration = Duration::from_secs(8);
    let bots = ["--publishers", "0", "--subscribers", "1"];
    let (room, secret) = stage::call(&plan);
    let late = stage.command_in(&secret, &room, &bots);
    let (publisher, subscriber) = stage.run_with(&plan, late).await;
    assert_eq!(publisher.verdict, Verdict::Ok, "{publisher}");
    assert!(publisher.loss.packets_sent > 0);
    assert_eq!(subscriber.exit_code, 0, "{}", subscriber.said);
    let json = &subscriber.json;
    assert_eq!(json["loss"]["delivered_basis"], "counters");
    assert!(json["loss"]["delivered_ratio"].as_f64().unwrap() > 0.99);
    assert_eq!(json["encryption"]["senders"][0]["name"], "Bot 1");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_secret_is_turned_away_and_those_inside_are_told() {
    let stage = Stage::set();
    let mut plan = stage.plan(1, 0);
    plan.scenario.duration = Duration::from_secs(4);
    let (room, _) = stage::call(&plan);
    let (_, wrong) = stage::call(&stage.plan(0, 1));
    let bots = ["--publishers", "0", "--subscribers", "1"];
    let stranger = stage.command_in(&wrong, &room, &bots);
    let (inside, outside) = stage.run_with(&plan, stranger).await;
    assert_eq!(outside.exit_code, 1, "{}", outside.said);
    assert_eq!(outside.json["run"]["participants"], 0, "{}", outside.said);
    assert_eq!(outside.json["encryption"]["frames_opened_total"], 0);
    assert!(outside.said.contains("WrongSecret"), "{}", outside.said);
    assert_eq!(inside.verdict, Verdict::Ok, "{inside}");
    assert_eq!(inside.encryption.yes().unwrap().strangers_refused, 1);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spoilt_frames_fail_the_run() {
    let stage = Stage::set();
    let mut plan = stage.plan(1, 1);
    plan.sabotage = Sabotage::SpoilFrames;
    let report = stage.run(&plan).await;
    assert_eq!(report.verdict.exit_code(), 1, "{report}");
    let encryption = report.encryption.yes().unwrap();
    assert!(encryption.failures > 0);
    assert_eq!(encryption.frames_opened_total, 0);
    assert!(report.loss.packets_delivered > 0, "{report}");
    assert_eq!(report.loss.delivered_ratio, Known::Yes(0.0));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saturated_load_test_voids_the_run() {
    let stage = Stage::set();
    let run = stage.command(&["--lateness-bound", "0s"]).await;
    assert_eq!(run.exit_code, 3, "{}", run.said);
    assert_eq!(run.json["generator"]["saturated"], true);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_nobody_joins() {
    let stage = Stage::set();
    let address = stage.strike().await;
    let run = stage::command(&["--server", &address], None).await;
    assert_eq!(run.exit_code, 1, "{}", run.said);
    assert!(run.said.contains("could not join"), "{}", run.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_named() {
    for (arguments, problem) in [
        (&["--server", "https://localhost"][..], "TLS proxy"),
        (&["--video", "/nonexistent.ivf"], "cannot read"),
        (
            &["--publishers", "0", "--subscribers", "0"],
            "nobody to run",
        ),
    ] {
        let run = stage::command(arguments, None).await;
        assert_eq!(run.exit_code, 2, "{}", run.said);
        assert!(run.said.contains(problem), "{}", run.said);
    }
}
