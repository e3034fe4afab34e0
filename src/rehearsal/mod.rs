//! The embedded model of AWS.
