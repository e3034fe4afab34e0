//! IAM and STS: paging, keys and their first seconds, sessions, the report.

use std::time::Duration;

use aws_sdk_iam::types::{EntityType, StatusType};

use super::*;
use crate::model::AccessKeyPair;

fn sts(config: &aws_types::SdkConfig) -> aws_sdk_sts::Client {
    aws_sdk_sts::Client::new(config)
}

#[tokio::test(start_paused = true)]
async fn short_and_empty_pages_still_add_up_to_all_users() {
    let cloud = cloud();
    for n in 0..70 {
        cloud.add_user(MEMBER, &format!("user-{n:02}"), "/team/");
    }
    cloud.tag_user(MEMBER, "user-07", "owner", "a <b> & c");
    cloud.add_group(MEMBER, "exempt");
    cloud.add_to_group(MEMBER, "exempt", "USER-07");
    cloud.switch(|it| it.short_iam_pages = true);
    let client = iam_client(&cloud);
    let (mut names, mut marker, mut empty) = (Vec::new(), None, 0);
    loop {
        let page = client
            .get_account_authorization_details()
            .filter(EntityType::User)
            .set_marker(marker)
            .send()
            .await
            .expect("a page");
        empty += usize::from(page.user_detail_list().is_empty());
        for user in page.user_detail_list() {
            if user.user_name() == Some("user-07") {
                assert_eq!(user.group_list(), ["exempt"]);
                assert_eq!(user.tags()[0].value(), "a <b> & c");
                assert_eq!(user.arn(), Some("arn:aws:iam::444455556666:user/team/user-07"));
            }
            names.push(user.user_name().expect("a name").to_owned());
        }
        assert!(page.group_detail_list().is_empty(), "only users were asked for");
        marker = page.marker().map(ToOwned::to_owned);
        assert_eq!(page.is_truncated(), marker.is_some());
        if marker.is_none() {
            break;
        }
    }
    names.dedup();
    assert_eq!(names.len(), 70);
    assert!(empty >= 2, "an empty page comes before every full one");
}

#[tokio::test(start_paused = true)]
async fn a_third_key_is_refused_even_if_others_are_inactive() {
    let cloud = cloud();
    cloud.add_user(MEMBER, "bot", "/");
    let first = cloud.add_access_key(MEMBER, "bot", day());
    cloud.set_key_status(MEMBER, "bot", &first.access_key_id, "Inactive");
    let client = iam_client(&cloud);
    client.create_access_key().user_name("Bot").send().await.expect("the second key");
    assert_eq!(code(client.create_access_key().user_name("bot").send().await), "LimitExceeded");
    assert_eq!(code(client.create_access_key().user_name("nobody").send().await), "NoSuchEntity");
    assert_eq!(cloud.users(MEMBER)[0].keys.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_refused_for_its_first_seconds() {
    let cloud = cloud();
    cloud.add_user(MEMBER, "bot", "/ci/");
    let made = iam_client(&cloud).create_access_key().user_name("bot").send().await.expect("made");
    let key = made.access_key().expect("a key");
    let key = AccessKeyPair::new(key.access_key_id(), key.secret_access_key());
    let client = sts(&cloud.user_config(&key));
    assert_eq!(code(client.get_caller_identity().send().await), "InvalidClientTokenId");
    cloud.clock().advance(Duration::from_secs(12)).await;
    let identity = client.get_caller_identity().send().await.expect("accepted");
    assert_eq!(identity.arn(), Some("arn:aws:iam::444455556666:user/ci/bot"));
    assert_eq!(identity.user_id(), Some(cloud.users(MEMBER)[0].id.as_str()));
    let used = cloud.users(MEMBER)[0].keys[0].last_use.clone().expect("recorded");
    assert_eq!((used.service.as_str(), used.region.as_str()), ("sts", "us-east-1"));
    cloud.set_key_status(MEMBER, "bot", &key.access_key_id, "Inactive");
    assert_eq!(code(client.get_caller_identity().send().await), "InvalidClientTokenId");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_and_an_unknown_key_are_refused() {
    let cloud = cloud();
    cloud.add_user(MEMBER, "bot", "/");
    let key = cloud.add_access_key(MEMBER, "bot", day() - chrono::TimeDelta::days(1));
    let wrong = AccessKeyPair::new(&key.access_key_id, "wrong".repeat(8));
    let client = sts(&cloud.user_config(&wrong));
    assert_eq!(code(client.get_caller_identity().send().await), "SignatureDoesNotMatch");
    assert_eq!(cloud.users(MEMBER)[0].keys[0].last_use, None, "a refused call is no use");
    let unknown = AccessKeyPair::new("AKIAAAAAAAAAAAAAAAAA", &key.secret);
    let client = sts(&cloud.user_config(&unknown));
    assert_eq!(code(client.get_caller_identity().send().await), "InvalidClientTokenId");
}

#[tokio::test(start_paused = true)]
async fn a_last_use_is_recorded_once_in_fifteen_minutes() {
    let cloud = cloud();
    cloud.add_user(MEMBER, "bot", "/");
    let key = cloud.add_access_key(MEMBER, "bot", day() - chrono::TimeDelta::days(100)).access_key_id;
    let client = iam_client(&cloud);
    let ask = || client.get_access_key_last_used().access_key_id(&key).send();
    let never = ask().await.expect("known").access_key_last_used().cloned().expect("there");
    assert_eq!((never.last_used_date(), never.service_name()), (None, "N/A"));
    for minutes in [0, 14, 15] {
        let at = day() + chrono::TimeDelta::minutes(minutes);
        cloud.use_key(MEMBER, "bot", &key, "s3", at).expect("accepted");
        let used = ask().await.expect("known").access_key_last_used().cloned().expect("there");
        let recorded = if minutes < 15 { day() } else { at };
        assert_eq!(used.last_used_date().map(aws_sdk_iam::primitives::DateTime::secs), Some(recorded.timestamp()));
    }
    assert_eq!(code(client.get_access_key_last_used().access_key_id("AKIAZZZZ").send().await), "NoSuchEntity");
}

#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_by_trust_and_its_session_expires() {
    let cloud = cloud();
    let execution = sts(&cloud.sdk_config(CENTRAL, "execution"));
    let assume = |arn: &str, seconds: i32| {
        execution.assume_role().role_arn(arn).role_session_name("test").duration_seconds(seconds).send()
    };
    let sweeper = "arn:aws:iam::444455556666:role/sweeper";
    assert_eq!(code(assume(sweeper, 3601).await), "ValidationError");
    assert_eq!(code(assume("arn:aws-cn:iam::444455556666:role/sweeper", 900).await), "AccessDenied");
    assert_eq!(code(assume("arn:aws:iam::444455556666:role/other", 900).await), "AccessDenied");
    for name in ["x", "with space", &"x".repeat(65)] {
        let refused = execution.assume_role().role_arn(sweeper).role_session_name(name).send().await;
        assert_eq!(code(refused), "ValidationError", "{name}");
    }
    let stranger = sts(&cloud.sdk_config(CENTRAL, "stranger"));
    let denied = stranger.assume_role().role_arn(sweeper).role_session_name("test").send().await;
    assert_eq!(
        message(denied),
        "User: arn:aws:sts::111122223333:assumed-role/stranger/stranger is not authorized to perform: \
         sts:AssumeRole on resource: arn:aws:iam::444455556666:role/sweeper"
    );
    let session = assume(sweeper, 900).await.expect("trusted").credentials().cloned().expect("credentials");
    let credentials = aws_credential_types::Credentials::new(
        session.access_key_id(),
        session.secret_access_key(),
        Some(session.session_token().to_owned()),
        None,
        "test",
    );
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    let config = cloud.sdk_config(MEMBER, "sweeper").into_builder().credentials_provider(provider).build();
    let identity = sts(&config).get_caller_identity().send().await.expect("a session");
    assert_eq!(identity.arn(), Some("arn:aws:sts::444455556666:assumed-role/sweeper/test"));
    cloud.clock().advance(Duration::from_mins(15)).await;
    assert_eq!(code(sts(&config).get_caller_identity().send().await), "ExpiredToken");
    cloud.set_account_state(MEMBER, crate::model::AccountStatus::Suspended);
    assert_eq!(code(assume(sweeper, 900).await), "AccessDenied");
}

#[tokio::test(start_paused = true)]
async fn a_lagging_list_shows_keys_as_they_were() {
    let cloud = cloud();
    cloud.add_user(MEMBER, "bot", "/");
    let old = cloud.add_access_key(MEMBER, "bot", day() - chrono::TimeDelta::days(100)).access_key_id;
    cloud.switch(|it| it.list_access_keys_lag = Duration::from_secs(5));
    let client = iam_client(&cloud);
    let new = client.create_access_key().user_name("bot").send().await.expect("made");
    let new = new.access_key().expect("a key").access_key_id().to_owned();
    client
        .update_access_key()
        .user_name("bot")
        .access_key_id(&old)
        .status(StatusType::Inactive)
        .send()
        .await
        .expect("disabled");
    let listed = || async {
        let keys = client.list_access_keys().user_name("bot").send().await.expect("listed");
        let keys = keys.access_key_metadata().iter();
        keys.map(|key| (key.access_key_id().unwrap_or_default().to_owned(), key.status().cloned())).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [(old.clone(), Some(StatusType::Active))]);
    cloud.clock().advance(Duration::from_secs(6)).await;
    assert_eq!(listed().await, [(old, Some(StatusType::Inactive)), (new, Some(StatusType::Active))]);
}

#[tokio::test(start_paused = true)]
async fn the_credential_report_takes_seconds_and_expires() {
    let cloud = cloud();
    cloud.add_user(MEMBER, "a,b", "/");
    cloud.add_access_key(MEMBER, "a,b", day());
    let client = iam_client(&cloud);
    assert_eq!(code(client.get_credential_report().send().await), "ReportNotPresent");
    let started = client.generate_credential_report().send().await.expect("started");
    assert_eq!(started.state().map(aws_sdk_iam::types::ReportStateType::as_str), Some("STARTED"));
    assert_eq!(code(client.get_credential_report().send().await), "ReportInProgress");
    cloud.clock().advance(Duration::from_secs(4)).await;
    let report = client.get_credential_report().send().await.expect("ready");
    let csv = String::from_utf8(report.content().expect("content").as_ref().to_vec()).expect("text");
    let line = csv.lines().nth(2).expect("root, then the user");
    assert!(line.starts_with("\"a,b\",\"arn:aws:iam::444455556666:user/a,b\","), "{line}");
    assert!(line.contains(",true,2026-11-22T09:00:00+00:00,N/A,N/A,N/A,false,"), "{line}");
    assert_eq!(csv.lines().next().map(|it| it.split(',').count()), Some(22));
    assert_eq!(csv.lines().nth(1).map(|it| it.split(',').count()), Some(22));
    cloud.clock().advance(Duration::from_hours(4)).await;
    assert_eq!(code(client.get_credential_report().send().await), "ReportExpired");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_not_modelled_is_refused() {
    let cloud = cloud();
    let iam = iam_client(&cloud);
    assert_eq!(code(iam.list_roles().send().await), "InvalidAction");
    let organizations = aws_sdk_organizations::Client::new(&cloud.sdk_config(CENTRAL, "execution"));
    assert_eq!(code(organizations.list_roots().send().await), "UnknownOperationException");
    let assumed = sts(&cloud.sdk_config(CENTRAL, "execution"))
        .assume_role()
        .role_arn("arn:aws:iam::444455556666:role/sweeper")
        .role_session_name("test")
        .policy("{}")
        .send()
        .await;
    assert!(message(assumed).contains("Policy"), "an unknown member is named");
    let last = cloud.calls().last().cloned().expect("logged");
    assert_eq!((last.operation.as_str(), last.ok), ("AssumeRole", false));
    assert_eq!(last.error_code.as_deref(), Some("ValidationException"));
}

#[tokio::test(start_paused = true)]
async fn groups_are_paged_and_changed_through_the_api() {
    let cloud = cloud();
    cloud.add_group(MEMBER, "Readers");
    cloud.add_user(MEMBER, "bot", "/");
    let client = iam_client(&cloud);
    client.add_user_to_group().group_name("readers").user_name("bot").send().await.expect("added");
    let groups = client.list_groups_for_user().user_name("bot").send().await.expect("listed");
    assert_eq!(groups.groups()[0].group_name(), "Readers");
    let group = client.get_group().group_name("Readers").send().await.expect("found");
    assert_eq!(group.users()[0].user_name(), "bot");
    client.remove_user_from_group().group_name("Readers").user_name("bot").send().await.expect("removed");
    assert!(cloud.users(MEMBER)[0].groups.is_empty());
    assert_eq!(code(client.get_group().group_name("gone").send().await), "NoSuchEntity");
    let last = cloud.calls().last().cloned().expect("logged");
    assert_eq!(last.resource, "arn:aws:iam::444455556666:group/gone");
    assert_eq!(last.caller_arn, "arn:aws:sts::444455556666:assumed-role/sweeper/sweeper");
}

#[tokio::test(start_paused = true)]
async fn another_partition_has_its_own_arns_and_regions() {
    let cloud = Cloud::new(Clock::starting_at(day()), 7).with_partition("aws-cn").with_region("cn-northwest-1");
    cloud.add_account(CENTRAL, "central", None);
    cloud.set_management_account(CENTRAL);
    cloud.add_user(CENTRAL, "bot", "/");
    let config = cloud.sdk_config(CENTRAL, "execution");
    let users = aws_sdk_iam::Client::new(&config).list_users().send().await.expect("listed");
    assert_eq!(users.users()[0].arn(), "arn:aws-cn:iam::111122223333:user/bot");
    let accounts = aws_sdk_organizations::Client::new(&config).list_accounts().send().await.expect("listed");
    let arn = accounts.accounts()[0].arn().unwrap_or_default();
    assert!(arn.starts_with("arn:aws-cn:organizations::111122223333:account/o-"), "{arn}");
    let secrets = aws_sdk_secretsmanager::Client::new(&config);
    let secret = secrets.create_secret().name("s").secret_string("x").send().await.expect("created");
    let arn = secret.arn().unwrap_or_default();
    assert!(arn.starts_with("arn:aws-cn:secretsmanager:cn-northwest-1:111122223333:secret:s-"), "{arn}");
    let elsewhere = config.into_builder().region(aws_types::region::Region::new("cn-north-1")).build();
    let refused = aws_sdk_secretsmanager::Client::new(&elsewhere).describe_secret().secret_id("s").send().await;
    assert_eq!(code(refused), "InvalidSignatureException", "the store is in another region");
}

#[tokio::test(start_paused = true)]
async fn a_user_has_no_rights_of_its_own() {
    let cloud = cloud();
    cloud.add_user(MEMBER, "bot", "/");
    let key = cloud.add_access_key(MEMBER, "bot", day() - chrono::TimeDelta::days(1));
    let config = cloud.user_config(&key);
    let made = aws_sdk_iam::Client::new(&config).create_access_key().user_name("bot").send().await;
    assert_eq!(code(made), "AccessDenied");
    let listed = aws_sdk_secretsmanager::Client::new(&config).list_secrets().send().await;
    assert_eq!(code(listed), "AccessDeniedException");
    let listed = aws_sdk_organizations::Client::new(&config).list_accounts().send().await;
    assert_eq!(code(listed), "AccessDeniedException");
    let assume = sts(&config).assume_role().role_session_name("test");
    let refused = assume.clone().role_arn("arn:aws:iam::444455556666:role/sweeper").send().await;
    assert_eq!(code(refused), "AccessDenied");
    cloud.add_role(MEMBER, "trusting", &["arn:aws:iam::444455556666:user/bot"]);
    assume.role_arn("arn:aws:iam::444455556666:role/trusting").send().await.expect("trusted by name");
    cloud.delete_key(MEMBER, "bot", &key.access_key_id);
    assert_eq!(code(sts(&config).get_caller_identity().send().await), "InvalidClientTokenId");
}

#[tokio::test(start_paused = true)]
async fn a_user_is_in_ten_groups_at_most() {
    let cloud = cloud();
    cloud.add_user(MEMBER, "bot", "/");
    for n in 0..11 {
        cloud.add_group(MEMBER, &format!("group-{n:02}"));
    }
    let client = iam_client(&cloud);
    for n in 0..10 {
        client.add_user_to_group().user_name("bot").group_name(format!("group-{n:02}")).send().await.expect("joined");
    }
    let again = client.add_user_to_group().user_name("bot").group_name("group-00").send().await;
    assert!(again.is_ok(), "a member joins again");
    let more = client.add_user_to_group().user_name("bot").group_name("group-10").send().await;
    assert_eq!(code(more), "LimitExceeded");
}
