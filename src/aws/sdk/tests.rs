//! The connections that clients share, over real sockets to the model.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::production;
use crate::aws::{Access, SweeperAws, TopicMessage};
use crate::keys::{AccountId, UserName};
use crate::model::{Clock, Cloud, serve};

const PRIMARY: &str = "999988887777";
const MEMBERS: [&str; 2] = ["111122223333", "444455556666"];

/// A proxy in front of the model that counts connections.
struct CountingProxy {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl CountingProxy {
    async fn in_front_of(cloud: &Cloud) -> Self {
        let inside = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = inside.local_addr().expect("bound");
        tokio::spawn(serve(cloud.clone(), inside));
        let outside = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self { address: outside.local_addr().expect("bound"), connections: Arc::default() };
        let connections = proxy.connections.clone();
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = outside.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let mut model = TcpStream::connect(to).await.expect("the model listens");
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut caller, &mut model).await });
            }
        });
        proxy
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn cloud() -> (Cloud, String) {
    let cloud = Cloud::new(Clock::shifted(), 1);
    cloud.add_account(PRIMARY, "security", None);
    cloud.add_delegated_administrator(PRIMARY);
    for member in MEMBERS {
        cloud.add_account(member, "prod", None);
        cloud.add_user(member, "bot", "/");
        cloud.add_role(member, "member", &[&format!("arn:aws:iam::{PRIMARY}:role/sweeper")]);
    }
    let topic = cloud.add_topic(PRIMARY, "notices");
    (cloud, topic)
}

fn through(proxy: &CountingProxy, cloud: &Cloud) -> SweeperAws {
    let config = cloud.sdk_config(PRIMARY, "sweeper").into_builder().http_client(production::http_client());
    let access = Access {
        primary_account: PRIMARY.parse().expect("twelve digits"),
        member_role: "member".to_owned(),
        session_name: "session".to_owned(),
        org_list_role_arn: None,
        mail_region: None,
    };
    SweeperAws::new(config.endpoint_url(format!("http://{}", proxy.address)).build(), access)
}

/// One connection means one connector, so one TLS configuration.
#[tokio::test]
async fn one_connection_serves_all_clients_and_all_roles() {
    let (cloud, topic) = cloud();
    let proxy = CountingProxy::in_front_of(&cloud).await;
    let aws = through(&proxy, &cloud);
    assert_eq!(proxy.connections(), 0, "no connection before the first call");
    aws.secrets().describe("nothing").await.expect("Secrets Manager answers");
    aws.organizations().await.expect("own role").accounts(None, 20).await.expect("Organizations answers");
    aws.mailer().account().await.expect("SES answers");
    let message = TopicMessage { body: "{}".to_owned(), attributes: vec![("kind", "test".to_owned())] };
    aws.topics().publish(&topic, &[message]).await.expect("SNS answers")[0].as_ref().expect("taken");
    let bot: UserName = "bot".parse().expect("a user name");
    for member in MEMBERS {
        let account: AccountId = member.parse().expect("twelve digits");
        let iam = aws.iam(&account, "aws").await.expect("STS answers");
        iam.find_user(&bot).await.expect("IAM answers").expect("made above");
        // A call with time limits of its own uses the same connection.
        iam.create_access_key(&bot, Duration::from_secs(5)).await.expect("made");
    }
    let own: AccountId = PRIMARY.parse().expect("twelve digits");
    aws.iam(&own, "aws").await.expect("own role").find_user(&bot).await.expect("IAM answers");
    assert_eq!(proxy.connections(), 1);
}

/// Each connection may reach another host, which may not know the key yet.
#[tokio::test]
async fn every_test_of_a_key_has_a_connection_of_its_own() {
    let (cloud, _) = cloud();
    let proxy = CountingProxy::in_front_of(&cloud).await;
    let aws = through(&proxy, &cloud);
    let account: AccountId = MEMBERS[0].parse().expect("twelve digits");
    let iam = aws.iam(&account, "aws").await.expect("STS answers");
    let bot: UserName = "bot".parse().expect("a user name");
    let key = iam.create_access_key(&bot, Duration::from_secs(5)).await.expect("made");
    cloud.clock().advance(Duration::from_mins(1)).await;
    let before = proxy.connections();
    for trial in 0..3 {
        aws.caller_identity(&key.id, &key.secret, None).await.expect("the key works");
        // The first call may use the open connection, and then closes it.
        assert_eq!(proxy.connections(), before + trial, "trial {trial}");
    }
}
