//! Reports as IAM makes them, as the model makes them, and as nobody should.

use proptest::prelude::*;

use super::*;
use crate::testing::time;

const HEADER: &str = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,\
password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,\
access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,\
cert_1_last_rotated,cert_2_active,cert_2_last_rotated";
const ROOT_LINE: &str = "<root_account>,arn:aws:iam::111122223333:root,2020-01-01T00:00:00+00:00,not_supported,\
no_information,not_supported,not_supported,true,false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A";

/// A line of a user; `key` stands for the five fields of key 1.
fn line(name: &str, arn: &str, key: &str) -> String {
    format!(
        "{name},{arn},2024-05-06T07:08:09+00:00,false,N/A,N/A,N/A,false,{key},false,N/A,N/A,N/A,N/A,false,N/A,false,N/A"
    )
}

fn read(lines: &[&str]) -> Result<CredentialReport, String> {
    CredentialReport::read(lines.join("\n").as_bytes()).map_err(|error| error.to_string())
}

fn users(report: &CredentialReport) -> Vec<(&str, &ReportedKeys)> {
    report.users().map(|(name, keys)| (name.as_str(), keys)).collect()
}

const ARN: &str = "arn:aws:iam::111122223333:user/ci/bot";
const USED: &str = "true,2026-01-02T03:04:05+00:00,2026-03-04T05:06:00+00:00,eu-west-1,s3";

#[test]
fn users_and_keys_are_read_and_the_root_user_is_not() {
    let report = read(&[HEADER, ROOT_LINE, &line("bot", ARN, USED)]).unwrap();
    let [(name, keys)] = users(&report)[..] else { panic!("{report:?}") };
    assert_eq!(name, "bot");
    let used = KeyUse { time: time("2026-03-04T05:06:00Z"), service: "s3".to_owned(), region: "eu-west-1".to_owned() };
    assert_eq!(keys[0], ReportedKey { active_since: Some(time("2026-01-02T03:04:05Z")), last_use: Some(used) });
    assert_eq!(keys[1], ReportedKey { active_since: None, last_use: None });
}

#[test]
fn every_key_stays_in_its_place() {
    const NONE: &str = "false,N/A,N/A,N/A,N/A";
    // Disabled, and used before.
    const OFF: &str = "false,N/A,2026-03-04T05:06:00+00:00,eu-west-1,s3";
    let fields = [[NONE, USED], [USED, NONE], [NONE, NONE], [OFF, USED], [USED, OFF]];
    let lines = fields.iter().zip('a'..).map(|([first, second], name)| {
        let arn = format!("arn:aws:iam::111122223333:user/{name}");
        let both = format!("{first},{second},false,N/A,false,N/A");
        line(&name.to_string(), &arn, first).replace(&format!("{first},{NONE},false,N/A,false,N/A"), &both)
    });
    let lines: Vec<String> = [HEADER.to_owned()].into_iter().chain(lines).collect();
    let report = read(&lines.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let found = users(&report)
        .into_iter()
        .map(|(_, keys)| keys.each_ref().map(|key| (key.active_since.is_some(), key.last_use.is_some())));
    let told = |text| match text {
        NONE => (false, false),
        OFF => (false, true),
        _ => (true, true),
    };
    assert_eq!(found.collect::<Vec<_>>(), fields.map(|places| places.map(told)));
}

#[test]
fn columns_are_found_by_name_and_new_ones_are_passed_over() {
    let swapped = |text: &str| {
        let mut fields: Vec<&str> = text.split(',').collect();
        fields.reverse();
        format!("{},new", fields.join(","))
    };
    let bot = line("bot", ARN, USED);
    let plain = read(&[HEADER, &bot]);
    assert_eq!(read(&[&swapped(HEADER), &swapped(&bot)]), plain);
    assert_eq!(read(&[&format!("{HEADER}\r"), &format!("{bot}\r"), ""]), plain, "lines may end as in RFC 4180");
}

#[test]
fn a_name_with_a_comma_is_quoted() {
    let text = line("\"a,b\"", "\"arn:aws:iam::111122223333:user/x,y/a,b\"", "false,N/A,N/A,N/A,N/A");
    assert_eq!(users(&read(&[HEADER, &text]).unwrap())[0].0, "a,b");
}

#[test]
fn reported_c5_an_odd_row_is_left_out_by_line_and_column() {
    let key = |key: &str| line("bot", ARN, key);
    let messages: Vec<String> = [
        vec![HEADER, ROOT_LINE, "bot,x"],
        vec![HEADER, &line("other", ARN, USED)],
        vec![HEADER, &line("bot", "arn:aws:iam::111122223333:role/bot", USED)],
        vec![HEADER, &key("maybe,N/A,N/A,N/A,N/A")],
        vec![HEADER, &key("true,N/A,N/A,N/A,N/A")],
        vec![HEADER, &key("true,yesterday,N/A,N/A,N/A")],
        vec![HEADER, &key("false,N/A,2026-13-01,N/A,N/A")],
        vec![HEADER, &line("bot", ARN, USED).replace("2024-05-06T07:08:09+00:00", "N/A")],
        vec![HEADER, &key(USED), ROOT_LINE, &key(USED)],
        vec![HEADER, "\"bot"],
        vec![HEADER, "\"bot\"x"],
        vec![HEADER, "b\"x"],
        vec![HEADER, &key(USED).replace("false,N/A,false,N/A", "false,N/A,false,\"N/A"), &line("lost", "arn", USED)],
    ]
    .iter()
    .map(|lines| {
        let report = read(lines).expect("the header is right");
        assert_eq!(users(&report), [], "{lines:?}");
        report.odd_rows().expect("odd").1.to_string()
    })
    .map(|message| message.trim_start_matches("the credential report is not as IAM makes it: ").to_owned())
    .collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_report_without_its_header_is_refused() {
    let messages = [vec![], vec!["user,arn"], vec![&HEADER.replace("cert_1_active", "arn")]]
        .map(|lines: Vec<&str>| read(&lines).expect_err("refused"))
        .map(|message| message.trim_start_matches("the credential report is not as IAM makes it: ").to_owned());
    insta::assert_snapshot!(messages.join("\n"));
}

/// The input of a public report, as IAM or a proxy delivered it.
#[test]
fn reported_c5_one_odd_row_leaves_out_its_own_user() {
    let row = |name: &str, keys: &str| line(name, &format!("arn:aws:iam::111122223333:user/{name}"), keys);
    let used = "true,2026-10-01T00:00:00+00:00,2026-11-20T10:00:00+00:00,us-east-1,s3";
    let lines = [
        HEADER,
        &row("plain", used),
        &row("capitals", used).replace("true", "TRUE").replace("false", "FALSE"),
        &row("no-time", "true,N/A,N/A,N/A,N/A"),
        &row("twice", "true,2026-10-01T00:00:00+00:00,N/A,N/A,N/A"),
        &row("twice", "true,2026-09-01T00:00:00+00:00,N/A,N/A,N/A"),
        &row("thrice", used),
        &row("thrice", used),
        &row("thrice", used),
        // The name of one user stands in the row of another.
        &line("hidden", "arn:aws:iam::111122223333:user/other", used),
        &row("hidden", used),
        &row("other", used),
        ",,,",
        "",
        &row("last", used),
    ];
    let text = format!("\u{feff}{}\nx\u{0}y", lines.join("\n"));
    let broken = text.as_bytes().iter().map(|byte| if *byte == 0 { 0xff } else { *byte }).collect::<Vec<_>>();
    let report = CredentialReport::read(&broken).expect("the header is right");
    assert_eq!(users(&report).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["last", "plain"]);
    let (rows, first) = report.odd_rows().expect("odd");
    let expected = "the credential report is not as IAM makes it: line 3: \
                    column access_key_1_active is `TRUE`, which is not true or false";
    assert_eq!((rows, first.to_string().as_str()), (8, expected));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = CredentialReport::read(&content);
        let with_header = [HEADER.as_bytes(), b"\n", &content].concat();
        if let Ok(report) = CredentialReport::read(&with_header) {
            prop_assert_eq!(report.users().count(), 0);
        }
    }

    #[test]
    fn every_user_comes_out_as_it_went_in(
        users in prop::collection::btree_map(
            "[A-Za-z0-9_+=,.@-]{1,20}",
            ("(/[!-.0-~]{1,9}){0,2}", 0i64..4_000_000_000, prop::option::of((0i64..4_000_000_000, any::<bool>()))),
            0..6,
        ),
        ending in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let shown = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut lines = vec![HEADER.to_owned(), ROOT_LINE.to_owned()];
        let mut expected = Vec::new();
        for (name, (path, created, key)) in &users {
            let arn = format!("arn:aws:iam::111122223333:user{path}/{name}");
            let fields = match key {
                Some((at, true)) => format!("true,{0},{0},N/A,N/A", shown(*at).to_rfc3339()),
                Some((at, false)) => format!("false,N/A,{},us-east-1,iam", shown(*at).to_rfc3339()),
                None => "false,N/A,no_information,N/A,N/A".to_owned(),
            };
            let user = line(&quoted(name), &quoted(&arn), &fields);
            lines.push(user.replace("2024-05-06T07:08:09+00:00", &shown(*created).to_rfc3339()));
            let key = key.map(|(at, is_active)| (is_active.then(|| shown(at)), shown(at)));
            expected.push((name.clone(), key.and_then(|(since, _)| since), key.map(|(_, used)| used)));
        }
        let report = CredentialReport::read(lines.join(ending).as_bytes()).unwrap();
        let found: Vec<_> = report.users().map(|(name, keys)| {
            assert_eq!(report.keys_of(name), Some(keys));
            let [key, other] = keys;
            assert_eq!((other.active_since, &other.last_use), (None, &None));
            (name.to_string(), key.active_since, key.last_use.as_ref().map(|used| used.time))
        }).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_changed_character_changes_no_other_line(at in 0usize..2000, to in "[ -~é\\n\"]") {
        let lines = [HEADER.to_owned(), line("bot", ARN, USED), line("a", &ARN.replace("bot", "a"), USED)];
        let text = lines.join("\n");
        let at = at % text.len();
        let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
        let (before, after) = (CredentialReport::read(text.as_bytes()).unwrap(), CredentialReport::read(changed.as_bytes()));
        if let Ok(after) = after {
            let (before, after): (Vec<_>, Vec<_>) = (before.users().collect(), after.users().collect());
            // A quote takes the following rows with it, which proves nothing about their users.
            prop_assert!(after.len() <= 2);
            let others = after.iter().filter(|user| !before.contains(user)).count();
            prop_assert!(others <= 1, "{:?}", after);
        }
    }
}

/// The model writes the report that the parser is for.
#[cfg(feature = "rehearsal")]
#[tokio::test(start_paused = true)]
async fn the_report_of_the_model_is_read() {
    use crate::model::{Clock, Cloud};
    let start = time("2026-11-22T09:00:00Z");
    let cloud = Cloud::new(Clock::starting_at(start), 3);
    cloud.add_account("111122223333", "prod", None);
    for (name, path) in [("a,b", "/x,y/"), ("bot", "/"), ("idle", "/"), ("none", "/")] {
        cloud.add_user("111122223333", name, path);
    }
    let made = start - chrono::TimeDelta::days(40);
    cloud.add_access_key("111122223333", "a,b", made);
    let used = cloud.add_access_key("111122223333", "bot", made);
    cloud.add_access_key("111122223333", "bot", start - chrono::TimeDelta::days(1));
    cloud.use_key("111122223333", "bot", &used.access_key_id, "s3", start).expect("it works");
    let off = cloud.add_access_key("111122223333", "idle", made);
    cloud.set_key_status("111122223333", "idle", &off.access_key_id, "Inactive");
    let client = aws_sdk_iam::Client::new(&cloud.sdk_config("111122223333", "reader"));
    client.generate_credential_report().send().await.expect("started");
    cloud.clock().advance(std::time::Duration::from_secs(10)).await;
    let answer = client.get_credential_report().send().await.expect("made");
    let report = CredentialReport::read(answer.content().expect("content").as_ref()).unwrap();
    let keys = |name: &str| {
        report
            .keys_of(&name.parse().unwrap())
            .unwrap()
            .each_ref()
            .map(|key| (key.active_since, key.last_use.as_ref().map(|used| used.service.clone())))
    };
    assert_eq!(report.users().count(), 4);
    assert_eq!(keys("a,b"), [(Some(made), None), (None, None)]);
    assert_eq!(keys("bot"), [(Some(made), Some("s3".to_owned())), (Some(start - chrono::TimeDelta::days(1)), None)]);
    assert_eq!(keys("idle"), [(None, None), (None, None)]);
    assert_eq!(keys("none"), [(None, None), (None, None)]);
}
