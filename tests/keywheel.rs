//! The one integration target: whole handlers on the embedded AWS.

mod harness;
mod life;
mod rotation_contract;
