//! The quota that all accounts share, and mail that nobody can forge.

use super::super::fake_ses::SesResponse;
use super::*;

/// Users of an account, each with three owners of its own.
fn of_account(id: &str, count: usize) -> (AccountContact, Vec<Notice>) {
    let account = AccountContact { id: id.parse().unwrap(), ..contact(id, Some(&format!("account-{id}@example.com"))) };
    let notice = |n: usize| {
        let of = |owner: &str| format!("{owner}{n}-{id}@example.com");
        let user = crate::keys::UserRef { account: account.id.clone(), name: format!("u{n}").parse().unwrap() };
        Notice { user, key: key(n), ..owned_by(&format!("{} {} {}", of("a"), of("b"), of("c"))) }
    };
    let notices = (0..count).map(notice).collect();
    (account, notices)
}

#[tokio::test]
async fn nobody_gains_5_five_thousand_owners_leave_room_for_others() {
    let fixture = MailFixture::with_account(|account| {
        account["SendQuota"] = json!({"Max24HourSend": 1000.0, "MaxSendRate": 1000.0, "SentLast24Hours": 0.0});
    });
    let accounts = [("111111111111", 5_000), ("222222222222", 3), ("333333333333", 3)];
    let mut accounts = accounts.map(|(id, users)| of_account(id, users));
    // An owner whom another account has, too, gets that mail all the same.
    accounts[0].1[4_999].owner = Some("a0-222222222222@example.com".to_owned());
    let notified = Notified::default();
    let addressed: Vec<Addressed<'_>> = accounts
        .iter()
        .flat_map(|(account, notices)| {
            notices.iter().map(|notice| Addressed { notice, account, notified: &notified }).collect::<Vec<_>>()
        })
        .collect();
    let settings = settings(&[]);
    let delivery = fixture.deliver_to(&settings, Mode::Enforced, &addressed).await;
    assert_eq!(delivery.mails, 3 + 2 * 9 + 100, "accounts, owners of two accounts, and a tenth of the quota");
    let to: Vec<String> = fixture.accepted().into_iter().map(|(to, _)| to).collect();
    assert_eq!(to.iter().filter(|to| to.contains("-111111111111@")).count(), 100 + 1);
    assert!(delivery.delivered[5_000..].iter().all(|one| *one == Delivered::ToAll), "the others have all of theirs");
    let [failure] = &delivery.failures[..] else { panic!("{:?}", delivery.failures) };
    assert_eq!(failure.account, Some(accounts[0].0.id.clone()));
    assert!(failure.error.starts_with("14,897 messages to owners in account 111111111111 not sent"), "{failure:?}");
    let first: Vec<String> = fixture.ses.accepted.lock().unwrap()[..3]
        .iter()
        .map(|sent| sent["Destination"]["ToAddresses"][0].as_str().unwrap().to_owned())
        .collect();
    assert!(first.iter().all(|to| to.starts_with("account-")), "accounts come first: {first:?}");
}

/// The identity of a domain or an address, with what signs its mail.
fn identity(dkim: serde_json::Value, mail_from: serde_json::Value) -> SesResponse {
    let mut identity = verified();
    identity.1["DkimAttributes"] = dkim;
    identity.1["MailFromAttributes"] = mail_from;
    identity
}

#[tokio::test]
async fn nobody_gains_14_mail_that_aligns_with_nothing_is_reported() {
    let dkim = |status: &str, enabled: bool| json!({"SigningEnabled": enabled, "Status": status});
    let from = |status: &str| json!({"MailFromDomain": "bounce.example.com", "MailFromDomainStatus": status, "BehaviorOnMxFailure": "USE_DEFAULT_VALUE"});
    let none = json!({"BehaviorOnMxFailure": "USE_DEFAULT_VALUE"});
    let address = "keys@example.com";
    for (identities, is_reported) in [
        (vec![("example.com", identity(dkim("SUCCESS", true), none.clone()))], false),
        (vec![("example.com", identity(dkim("NOT_STARTED", false), from("SUCCESS")))], false),
        (vec![("example.com", identity(dkim("NOT_STARTED", false), none.clone()))], true),
        (vec![("example.com", identity(dkim("SUCCESS", false), none.clone()))], true),
        (vec![("example.com", identity(dkim("FAILED", true), from("PENDING")))], true),
        (vec![("example.com", identity(dkim("TEMPORARY_FAILURE", true), none.clone()))], false),
        // SES says nothing of it: unknown is not "no".
        (vec![("example.com", verified())], false),
        // The address alone is verified; its domain may have DKIM all the same.
        (vec![(address, identity(dkim("NOT_STARTED", false), none.clone()))], true),
        (
            vec![
                (address, identity(dkim("NOT_STARTED", false), none.clone())),
                ("example.com", identity(dkim("SUCCESS", true), none.clone())),
            ],
            false,
        ),
        (vec![(address, identity(dkim("NOT_STARTED", false), none.clone())), ("example.com", denied("x"))], false),
    ] {
        let shown = format!("{identities:?}");
        let fixture = MailFixture::of(FakeSes { identities, ..MailFixture::new(|_, _| None).ses });
        let delivery = fixture.deliver(Mode::Enforced, &[notice(rotation_ahead())]).await;
        assert_eq!(delivery.mails, 1, "mail is sent: {shown}");
        let said = format!("{:?}", delivery.failures);
        assert_eq!(said.contains("DMARC"), is_reported, "{shown}: {said}");
    }
}
