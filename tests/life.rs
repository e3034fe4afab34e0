//! The ordinary life of keys.

use chrono::{DateTime, TimeDelta, Utc};
use keywheel::rehearsal::{Clock, Cloud, Deployment, PRIMARY_ACCOUNT, paused_runtime};
use serde_json::json;

const MEMBER: &str = "111122223333";

fn start() -> DateTime<Utc> {
    "2026-01-01T06:00:00Z".parse().unwrap()
}

#[test]
fn a_key_lives_through_all_its_phases() {
    paused_runtime().unwrap().block_on(async {
        let cloud = Cloud::new(Clock::starting_at(start()), 1);
        cloud.add_account(PRIMARY_ACCOUNT, "security", Some("security@example.com"));
        cloud.set_management_account(PRIMARY_ACCOUNT);
        let keywheel = Deployment::new(&cloud, &[]).unwrap();
        keywheel.prepare_groups(PRIMARY_ACCOUNT);
        cloud.add_account(MEMBER, "prod", Some("prod@example.com"));
        keywheel.prepare_member(MEMBER);
        cloud.add_user(MEMBER, "ci-bot", "/");
        let old = cloud.add_access_key(MEMBER, "ci-bot", start());
        for day in 0..=115 {
            cloud.clock().advance_to(start() + TimeDelta::days(day)).await;
            let answer = keywheel.sweep(json!({})).await.unwrap();
            if answer["actions"].as_object().unwrap().len() > 0 || !answer["failures"].as_array().unwrap().is_empty() {
                println!("{day}: {} {} {}", answer["actions"], answer["failures"], answer["plan"]);
            }
            cloud.run_rotations().await;
            cloud.fire_due_rotations().await;
            for event in cloud.drain_events() {
                let answer = keywheel.sweep(event).await.unwrap();
                if answer["mails"] != 0 {
                    println!("{day}: event {answer}");
                }
            }
        }
        for mail in cloud.mails() {
            println!("{:?}", mail.subject);
        }
        println!("{:#?}", cloud.secrets());
        println!("calls {}", cloud.call_count());
        let user = cloud.user(MEMBER, "ci-bot").unwrap();
        assert_eq!(user.keys.len(), 1);
        assert!(user.key(&old.access_key_id).is_none());
    });
}
