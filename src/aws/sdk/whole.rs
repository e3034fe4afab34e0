//! Refuses a successful response that is not the service's, or not all of it.
//!
//! The SDK parses what it finds. It takes a proxy's page for the success of a call without results, such as
//! `DeleteAccessKey`. It takes the first half of a list for the whole list, and an empty body for a success without
//! members.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// The protocol of a service. As an interceptor it checks each successful response, and fails the call as unreadable if
/// the response is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WholeAnswer {
    /// Query with XML: IAM, STS and SNS.
    Xml,
    /// JSON: Secrets Manager, Organizations and SES.
    Json,
}

impl Intercept for WholeAnswer {
    fn name(&self) -> &'static str {
        "WholeAnswer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let operation = config.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        let body = response.body().bytes().unwrap_or_default();
        if !response.status().is_success() || self.is_whole(operation, body) {
            return Ok(());
        }
        Err("the response is not the service's, or not all of it".into())
    }
}

impl WholeAnswer {
    /// Whether a body is a whole response of the service to that operation. It is not parsed again: the SDK finds every
    /// other mistake in XML and JSON.
    fn is_whole(self, operation: &str, body: &[u8]) -> bool {
        let body = body.trim_ascii();
        match self {
            Self::Json => body.is_empty() || (body.starts_with(b"{") && body.ends_with(b"}")),
            Self::Xml => {
                body.ends_with(format!("</{operation}Response>").as_bytes()) && !is_list_of_nothing(operation, body)
            }
        }
    }
}

/// Whether the response to a list has no member at all. IAM sends an empty list and `IsTruncated` for a list without
/// items.
fn is_list_of_nothing(operation: &str, body: &[u8]) -> bool {
    let is_list = operation.starts_with("List") || operation == "GetAccountAuthorizationDetails";
    let holds = |text: String| body.windows(text.len()).any(|window| window == text.as_bytes());
    is_list && (holds(format!("<{operation}Result/>")) || holds(format!("<{operation}Result></")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_c1_only_a_whole_response_is_an_answer() {
        let list = "<?xml version=\"1.0\"?>\n<ListAccessKeysResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
                    <ListAccessKeysResult><IsTruncated>false</IsTruncated><AccessKeyMetadata/></ListAccessKeysResult>\
                    </ListAccessKeysResponse>";
        let (page, deleted) =
            ("<html><body>Sign in</body></html>", "<DeleteAccessKeyResponse></DeleteAccessKeyResponse>");
        for (protocol, operation, body, whole) in [
            (WholeAnswer::Xml, "ListAccessKeys", list, true),
            (WholeAnswer::Xml, "ListAccessKeys", &format!("{list}\r\n"), true),
            (WholeAnswer::Xml, "ListAccessKeys", &list[..list.len() - 25], false),
            (WholeAnswer::Xml, "ListAccessKeys", "", false),
            (WholeAnswer::Xml, "ListAccessKeys", "<ListAccessKeysResult/></ListAccessKeysResponse>", false),
            (WholeAnswer::Xml, "DeleteAccessKey", deleted, true),
            (WholeAnswer::Xml, "DeleteAccessKey", page, false),
            (WholeAnswer::Xml, "UpdateAccessKey", deleted, false),
            (WholeAnswer::Json, "TagResource", "", true),
            (WholeAnswer::Json, "TagResource", "{}\n", true),
            (WholeAnswer::Json, "TagResource", page, false),
            (WholeAnswer::Json, "TagResource", "{", false),
            (WholeAnswer::Json, "ListSecrets", "not json", false),
        ] {
            assert_eq!(protocol.is_whole(operation, body.as_bytes()), whole, "{operation}: {body}");
        }
    }
}
