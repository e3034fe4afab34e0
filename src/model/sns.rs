//! SNS: accepts messages to a topic and keeps them.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Reply, ServiceError, ServiceResult};
use super::exchange::Exchange;
use super::ids;
use super::request::Input;
use super::service::Service;
use super::topic::PublishedMessage;
use super::xml::Xml;

/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>
const MOST_ENTRIES: usize = 10;
const MOST_BYTES: usize = 262_144;

pub(crate) fn handle(exchange: &mut Exchange<'_>, operation: &str, input: &Input) -> ServiceResult {
    match operation {
        "PublishBatch" => publish_batch(exchange, input),
        _ => Err(ServiceError::unknown_operation(Service::Sns, operation)),
    }
}

fn publish_batch(exchange: &mut Exchange<'_>, input: &Input) -> ServiceResult {
    input.only(&["TopicArn", "PublishBatchRequestEntries"])?;
    let arn = input.needed("TopicArn")?;
    arn.clone_into(&mut exchange.resource);
    let account = arn.split(':').nth(4).unwrap_or_default();
    // A topic of another account has a policy, which is not modelled.
    if !exchange.caller.is_role() || account != exchange.caller.account {
        return Err(ServiceError::access_denied(Service::Sns, &exchange.caller.arn, "SNS:Publish", arn));
    }
    if !exchange.world.topics.contains_key(arn) {
        return Err(ServiceError::new(404, "NotFound", "Topic does not exist"));
    }
    let entries = input.objects("PublishBatchRequestEntries")?;
    let entries = entries.iter().map(|entry| read(exchange, entry)).collect::<Result<Vec<_>, _>>()?;
    check_batch(&entries)?;
    let refused = exchange.world.switches.topic_refuses.clone();
    let is_refused = |message: &PublishedMessage| refused.as_ref().is_some_and(|text| message.body.contains(text));
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, message) in entries {
        if is_refused(&message) {
            failed.push(
                Xml::new()
                    .text("Id", &id)
                    .text("Code", "InternalError")
                    .text("Message", "An internal error occurred")
                    .text("SenderFault", "false"),
            );
            continue;
        }
        let message_id = ids::uuid(&mut exchange.world.rng);
        successful.push(Xml::new().text("Id", &id).text("MessageId", &message_id));
        if let Some(topic) = exchange.world.topics.get_mut(arn) {
            topic.messages.push(message);
        }
    }
    Ok(Reply::Xml(Xml::new().list("Successful", successful).list("Failed", failed)))
}

fn read(exchange: &Exchange<'_>, entry: &Input) -> Result<(String, PublishedMessage), ServiceError> {
    entry.only(&["Id", "Message", "MessageAttributes"])?;
    let mut attributes = BTreeMap::new();
    for attribute in entry.objects("MessageAttributes")? {
        attribute.only(&["Name", "Value"])?;
        let value = attribute.object("Value")?.unwrap_or_default();
        value.only(&["DataType", "StringValue"])?;
        if value.needed("DataType")? != "String" {
            return Err(invalid("an attribute of another type than String is not modelled"));
        }
        attributes.insert(attribute.needed("Name")?.to_owned(), value.needed("StringValue")?.to_owned());
    }
    let message = PublishedMessage { at: exchange.now, body: entry.needed("Message")?.to_owned(), attributes };
    Ok((entry.needed("Id")?.to_owned(), message))
}

fn check_batch(entries: &[(String, PublishedMessage)]) -> Result<(), ServiceError> {
    let refuse = |code: &str, message: &str| Err(ServiceError::new(400, code, message));
    let is_legal = |id: &str| id.len() <= 80 && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let ids: BTreeSet<&String> = entries.iter().map(|(id, _)| id).collect();
    match entries.len() {
        0 => return refuse("EmptyBatchRequest", "The batch request doesn't contain any entries."),
        1..=MOST_ENTRIES => {}
        _ => return refuse("TooManyEntriesInBatchRequest", "The batch request contains more than 10 entries."),
    }
    if ids.len() < entries.len() {
        return refuse("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.");
    }
    if !ids.into_iter().all(|id| is_legal(id)) {
        return refuse("InvalidBatchEntryId", "The Id of a batch entry does not follow the rules.");
    }
    if entries.iter().map(|(_, message)| size(message)).sum::<usize>() > MOST_BYTES {
        return refuse(
            "BatchRequestTooLong",
            "The length of all the batch messages put together is more than the limit.",
        );
    }
    Ok(())
}

fn size(message: &PublishedMessage) -> usize {
    let attributes = message.attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len());
    message.body.len() + attributes.sum::<usize>()
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::new(400, "InvalidParameter", format!("Invalid parameter: {message}"))
}
