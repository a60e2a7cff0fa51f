//! Files whose bytes lie in a bucket.

use std::{path::Path, process::Command, time::Instant};

use hyper::StatusCode;

use crate::{
    MIB,
    rig::running::{Running, conclave, get},
    sharer::{Sharer, chunks, problem, sealed},
    swift::Swift,
};

fn server(swift: &Swift, data: &Path) -> Command {
    let mut command = conclave();
    command
        .args(["--listen", "127.0.0.1:0", "--media-port", "0", "--data"])
        .arg(data)
        .args(["--file-store", &swift.place()])
        .envs(swift.environment());
    command
}

#[tokio::test]
async fn files_in_a_bucket_come_back_outlive_a_restart_and_leave_nothing_behind() {
    let swift = Swift::start().await;
    let data = tempfile::tempdir().expect("a folder");
    let running = Running::start(&mut server(&swift, data.path()));
    let ada = Sharer::join(&running.address, "garden").await;
    let bytes = sealed(2 * MIB + 500);
    let file = ada.send(&bytes).await;
    let kept = ada.send(&sealed(5)).await;
    let lengths: Vec<_> = chunks(&bytes).map(|chunk| chunk.len() as u64).collect();
    let stored = swift.objects().await;
    let of_file = stored.iter().filter(|(name, _)| name.contains(&file));
    let expected = lengths.iter().enumerate();
    assert_eq!(
        of_file.cloned().collect::<Vec<_>>(),
        expected
            .map(|(number, &length)| (format!("of/ours/{file}/{number:08x}"), length))
            .collect::<Vec<_>>()
    );
    assert!(
        !data.path().join("files").exists(),
        "nothing lies in the data folder"
    );

    running.signal("KILL");
    running.wait();
    let running = Running::start(&mut server(&swift, data.path()));
    let grace = Sharer::join(&running.address, "garden").await;
    let whole = grace.get(&file, &[]).await;
    assert_eq!(whole.status(), StatusCode::OK);
    assert!(*whole.body() == bytes, "the same bytes");
    let (from, to) = (MIB as usize - 7, MIB as usize + 99);
    let range = format!("bytes={from}-{}", to - 1);
    let part = grace.get(&file, &[("range", &range)]).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert!(*part.body() == bytes[from..to], "the same part");

    // Who sent it has lost their place; a file of this session's goes by its owner's word.
    let own = grace.send(&bytes).await;
    assert_eq!(swift.objects().await.len(), 7);
    assert_eq!(grace.delete(&own).await.status(), StatusCode::NO_CONTENT);
    let left = swift.objects().await;
    assert_eq!(left.len(), 4);
    assert!(
        left.iter()
            .all(|(name, _)| name.contains(&file) || name.contains(&kept))
    );
    drop(running);
}

#[tokio::test]
async fn a_bucket_that_is_away_is_said_so_and_taken_up_again() {
    let mut swift = Swift::start().await;
    let data = tempfile::tempdir().expect("a folder");
    let running = Running::start(&mut server(&swift, data.path()));
    let mut ada = Sharer::join(&running.address, "garden").await;
    let bytes = sealed(MIB + 5);
    let all: Vec<_> = chunks(&bytes).collect();
    let file = ada.declared(bytes.len() as u64).await;
    assert_eq!(
        ada.put(&file, 0, all[0]).await.status(),
        StatusCode::NO_CONTENT
    );

    swift.fall_silent();
    let asked = Instant::now();
    let refused = ada.put(&file, 1, all[1]).await;
    assert_eq!(
        (refused.status(), problem(&refused).as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "store-away")
    );
    assert!(refused.headers().contains_key("retry-after"));
    // It is tried again for a while, and nobody waits for long.
    let waited = asked.elapsed().as_secs_f64();
    assert!((3.0..7.0).contains(&waited), "{waited} s");
    let figures = get(&running.address, "/metrics");
    assert!(
        figures.contains("conclave_files_refused_total{reason=\"store-away\"} 1"),
        "{figures}"
    );
    // The call goes on.
    let _grace = Sharer::join(&running.address, "garden").await;
    ada.hear(|message| {
        matches!(
            message,
            conclave_protocol::signal::ServerMessage::ParticipantJoined { .. }
        )
        .then_some(())
    })
    .await;

    swift.answer_again().await;
    assert_eq!(ada.missing(&file).await, [(1, 2)]);
    assert_eq!(
        ada.put(&file, 1, all[1]).await.status(),
        StatusCode::NO_CONTENT
    );
    assert!(*ada.get(&file, &[]).await.body() == bytes, "the same bytes");
}

#[tokio::test]
async fn the_doctor_tries_the_bucket_out() {
    let mut swift = Swift::start().await;
    let data = tempfile::tempdir().expect("a folder");
    let doctor = |swift: &Swift, secret: Option<&str>| {
        let mut command = conclave();
        command
            .args(["doctor", "--listen", "127.0.0.1:0", "--media-port", "0"])
            .arg("--data")
            .arg(data.path())
            .args(["--file-store", &swift.place()])
            .envs(swift.environment());
        if let Some(secret) = secret {
            command.env("AWS_SECRET_ACCESS_KEY", secret);
        }
        let output = command.output().expect("it runs");
        let said = String::from_utf8(output.stdout).expect("text");
        (output.status.success(), said)
    };

    let (well, said) = doctor(&swift, None);
    assert!(well, "{said}");
    assert!(said.contains("ok        file store: s3://calls"), "{said}");
    assert_eq!(swift.objects().await, [], "the trial is taken away again");

    let (well, said) = doctor(&swift, Some("a wrong one"));
    assert!(!well, "{said}");
    assert!(said.contains("BAD       file store:"), "{said}");
    assert!(said.contains("AWS_SECRET_ACCESS_KEY"), "{said}");
    assert!(!said.contains("a wrong one"), "{said}");

    swift.fall_silent();
    let (well, said) = doctor(&swift, None);
    assert!(!well, "{said}");
    assert!(said.contains("AWS_ENDPOINT"), "{said}");
}
