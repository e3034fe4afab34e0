//! The command line: rehearses keywheel on the embedded model of AWS.
