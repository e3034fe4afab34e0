//! The one integration target: whole handlers on the model of AWS.
//!
//! Each defect of the predecessor has a row in this table and tests that are named after it, `upstream_defect_<row>_…`:
//!
//! | row | what went wrong there | tests in |
//! |---|---|---|
//! | 1 | last use unknown | `two_keys` |
//! | 2 | inactive keys minted anew | `two_keys` |
//! | 3 | two unused keys | `two_keys` |
//! | 4 | unused beside used | `two_keys` |
//! | 5 | minted for ever | `two_keys` |
//! | 6 | lone inactive key | `people`, `two_keys` |
//! | 7 | two inactive keys | `two_keys` |
//! | 8 | inactive beside expired | `two_keys` |
//! | 9 | two active keys | `refusals`, `two_keys` |
//! | 10 | forced rotation | `refusals` |
//! | 11 | pair of the user's | `two_keys` |
//! | 12 | wrong warning | `two_keys` |
//! | 13 | wrong mail | `two_keys` |
//! | 14 | two warnings | `two_keys` |
//! | 15 | users, first page | `exemption` |
//! | 17 | user deleted in mid-scan | `people` |
//! | 18 | no state | `rotation_contract`, `two_keys` |
//! | 19 | deleted users | `people` |
//! | 20 | forced, inactive | `refusals` |
//! | 21 | other variable names | `two_keys` |
//! | 22 | unset variable | `bad_input` |
//! | 23 | comma | `provisioning` |
//! | 24 | ARN suffix | `provisioning` |
//! | 25 | key first, store second | `provisioning`, `rotation_contract` |
//! | 26 | delete before create | `faults`, `refusals` |
//! | 27 | one error stops the rest | `faults`, `mail` |
//! | 28 | member's store | `provisioning` |
//! | 29 | KMS key | `provisioning` |
//! | 30 | not found misread | `provisioning` |
//! | 31 | replication | `provisioning` |
//! | 32 | policy overwritten | `provisioning` |
//! | 33 | inline policy | `provisioning` |
//! | 34 | no test | `rotation_contract` |
//! | 35 | partition | `sweep_inventory` |
//! | 36 | dry run leaves out | `two_keys` |
//! | 37 | owners | `mail` |
//! | 38 | role not needed | `sweep_inventory` |
//! | 39 | malformed event | `bad_input` |
//! | 40 | group, first page | `exemption` |
//! | 41 | group unreadable | `exemption`, `refusals` |
//! | 42 | notifying fails | `mail` |
//! | 43 | subject | `mail` |
//! | 45 | child units | `sweep_inventory` |
//! | 46 | no active account | `sweep_inventory` |
//! | 47 | account status | `sweep_inventory` |
//! | 48 | partial list | `sweep_inventory` |
//! | 50 | forced rotation event | `refusals` |
//! | 51 | management account | `sweep_inventory` |
//! | 52 | missing template | `bad_input` |
//! | 53 | escaping | `mail` |
//! | 55 | full-access policies of the functions | `least_privilege` |
//! | 56 | rights on every user | `least_privilege` |
//! | 57 | wrong condition key | `least_privilege` |
//! | 58 | trust that breaks | `least_privilege` |
//! | 59 | calls per user | `call_counts` |
//! | 60 | daily mail | `mail` |
//!
//! Row 45 cannot happen, because keywheel does not walk organizational units: the test shows that accounts are listed
//! flat. For row 59, the test counts calls; the templates have the queue, the alarms and the concurrency.

mod architecture;
mod bad_input;
mod call_counts;
mod chaos;
mod credential_report;
mod current_value;
mod dates;
mod departed_accounts;
mod digest;
mod early_schedule;
mod events;
mod exemption;
mod fault_matrix;
mod faults;
mod forced;
mod foreign_secrets;
mod harness;
mod interruptions;
mod least_privilege;
mod life;
mod mail;
mod mail_limits;
mod new_keys;
mod new_secret;
mod nobody_gains;
mod notices;
mod odd_data;
mod older_values;
mod one_rotation;
mod orphans;
mod people;
mod postponed;
mod provisioning;
mod refusals;
mod removal;
mod renamed_user;
mod rotation_contract;
mod rotation_failures;
mod rotation_steps;
mod secrecy;
mod strange_secrets;
mod stuck_rotation;
mod sweep_inventory;
mod sweep_memory;
mod transports;
mod two_keys;
mod unknown_is_not_no;
mod unreadable_answers;
mod volume;
mod who_must_act;
