//! Tests of the model through the real SDK clients.
