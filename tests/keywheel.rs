//! The one integration target: whole handlers on the embedded AWS.

mod bad_input;
mod exemption;
mod faults;
mod harness;
mod life;
mod mail;
mod people;
mod provisioning;
mod refusals;
mod rotation_contract;
mod sweep_inventory;
mod two_keys;
