//! Reads the credential report out of IAM's answer while that arrives.
//!
//! The SDK would have the answer in memory as it came, the report decoded beside it, and only then hand it over: some
//! hundreds of bytes for each user of the account. Here every piece of the report is read and dropped, and the SDK gets
//! an answer whose report is empty.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::aws::{CredentialReport, MalformedReport, ReportReader};

/// The element that holds the report, in base64.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetCredentialReport.html>
const OPENING: &[u8] = b"<Content>";

/// So much of the answer is decoded at a time.
const PIECE: usize = 16 * 1024;

/// Listens to the answer of one call. Clones share what they heard.
#[derive(Clone, Default)]
pub(super) struct ReportStream(Arc<Mutex<Answer>>);

impl fmt::Debug for ReportStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportStream")
    }
}

impl ReportStream {
    /// What was read; `None` if the answer had no report in it.
    pub(super) fn finish(&self) -> Option<Result<CredentialReport, MalformedReport>> {
        let answer = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        match answer.part {
            Part::Before(_) => None,
            Part::Report | Part::After => Some(answer.read()),
        }
    }
}

impl Intercept for ReportStream {
    fn name(&self) -> &'static str {
        "ReportStream"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Self(answer) = self.clone();
        // An attempt before this one may have ended half-way.
        *answer.lock().unwrap_or_else(PoisonError::into_inner) = Answer::default();
        let arriving = context.response_mut().take_body();
        let passed_on = arriving.map_frame(move |frame| {
            frame.map_data(|data| answer.lock().unwrap_or_else(PoisonError::into_inner).pass(&data))
        });
        *context.response_mut().body_mut() = SdkBody::from_body_1_x(passed_on);
        Ok(())
    }
}

/// An answer, as far as it has come.
#[derive(Default)]
struct Answer {
    part: Part,
    /// The start of four characters, which stand for three bytes.
    encoded: Vec<u8>,
    reader: ReportReader,
}

enum Part {
    /// So many characters of the opening tag were the last that came.
    Before(usize),
    Report,
    After,
}

impl Default for Part {
    fn default() -> Self {
        Self::Before(0)
    }
}

impl Answer {
    /// Reads what has come, and answers what is passed on of it.
    fn pass(&mut self, data: &[u8]) -> Bytes {
        let (before, rest) = data.split_at(self.end_of_opening(data));
        let end = match self.part {
            Part::Report => rest.iter().position(|byte| *byte == b'<').unwrap_or(rest.len()),
            Part::Before(_) | Part::After => 0,
        };
        let (report, after) = rest.split_at(end);
        for piece in report.chunks(PIECE) {
            self.decode(piece);
        }
        if !after.is_empty() && matches!(self.part, Part::Report) {
            self.part = Part::After;
        }
        [before, after].concat().into()
    }

    /// How much of it stands before the report.
    fn end_of_opening(&mut self, data: &[u8]) -> usize {
        let Part::Before(mut matched) = self.part else { return 0 };
        for (at, byte) in data.iter().enumerate() {
            // The tag begins with its only `<`.
            matched = if *byte == OPENING[matched] { matched + 1 } else { usize::from(*byte == OPENING[0]) };
            if matched == OPENING.len() {
                self.part = Part::Report;
                return at + 1;
            }
        }
        self.part = Part::Before(matched);
        data.len()
    }

    fn decode(&mut self, piece: &[u8]) {
        self.encoded.extend_from_slice(piece);
        let rest = self.encoded.split_off(self.encoded.len() / 4 * 4);
        let whole = std::mem::replace(&mut self.encoded, rest);
        match std::str::from_utf8(&whole).ok().and_then(|text| base64::decode(text).ok()) {
            Some(content) => self.reader.push(&content),
            None => self.reader.refuse("it is not in base64"),
        }
    }

    fn read(mut self) -> Result<CredentialReport, MalformedReport> {
        if !self.encoded.is_empty() {
            self.reader.refuse("its base64 has no end");
        }
        self.reader.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aws::ReportedUser;

    const REPORT: &str = "user,arn,user_creation_time,access_key_1_active,access_key_1_last_rotated,\
access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,\
access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service\n\
bot,arn:aws:iam::111122223333:user/bot,2024-05-06T07:08:09+00:00,true,2026-01-02T03:04:05+00:00,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A\n\
\"a,b\",\"arn:aws:iam::111122223333:user/a,b\",2024-05-06T07:08:09+00:00,false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A";
    const AFTER: &str = "</Content><GeneratedTime>2026-11-22T09:00:00Z</GeneratedTime></GetCredentialReportResult>";

    fn answer(content: &str) -> String {
        format!("<<Con<GetCredentialReportResult><Content>{content}{AFTER}")
    }

    /// What is passed on, and what is read.
    fn passed(pieces: &[&[u8]]) -> (String, Option<Result<Vec<ReportedUser>, String>>) {
        let stream = ReportStream::default();
        let mut passed_on = Vec::new();
        for piece in pieces {
            passed_on.extend_from_slice(&stream.0.lock().unwrap().pass(piece));
        }
        let read = stream.finish();
        let users = read.map(|read| read.map(|read| read.users().collect()).map_err(|error| error.to_string()));
        (String::from_utf8(passed_on).unwrap(), users)
    }

    #[test]
    fn an_answer_without_a_report_is_passed_on_as_it_is() {
        for text in ["", "<Error><Code>ReportInProgress</Code></Error>", "<Content"] {
            assert_eq!(passed(&[text.as_bytes()]), (text.to_owned(), None));
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for (content, why) in
            [("dXNl!!!!", "it is not in base64"), ("dXNlc", "its base64 has no end"), ("", "it is empty")]
        {
            let (passed_on, read) = passed(&[answer(content).as_bytes()]);
            assert_eq!(passed_on, answer(""), "{content}");
            let error = read.expect("a report").expect_err("refused");
            assert!(error.ends_with(why), "{content}: {error}");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_are_read_as_the_whole(cuts in prop::collection::vec(0usize..2_000, 0..40)) {
            let text = answer(&base64::encode(REPORT));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % text.len()).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let whole: Vec<_> = CredentialReport::read(REPORT.as_bytes()).unwrap().users().collect();
            prop_assert_eq!(whole.len(), 2);
            prop_assert_eq!(passed(&pieces), (answer(""), Some(Ok(whole))));
        }
    }
}
