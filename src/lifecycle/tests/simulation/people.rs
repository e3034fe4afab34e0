//! The acts of people and of a user's programs.

use super::*;

/// An act of a person or of a user's program.
#[derive(Debug, Clone, Copy)]
pub(in crate::lifecycle::tests) enum PersonAct {
    MakeKey,
    Use(usize),
    PutInService(usize),
    Disable(usize),
    Enable(usize),
    Delete(usize),
    JoinExemption,
    LeaveExemption,
    DeleteUser,
    RecreateUser,
    RotateNow,
    PutForeignValue,
    RemoveManagedTag,
}

impl Simulation {
    pub(in crate::lifecycle::tests) fn interfere(&mut self, person: PersonAct) {
        let now = self.now;
        let there = self.keys.len();
        match person {
            PersonAct::MakeKey if self.exists && self.keys.len() < 2 => {
                self.add_key(TimeDelta::zero(), false);
            }
            PersonAct::Use(n) if n < there && self.keys[n].active && self.keys[n].usable => {
                self.keys[n].last_use = Some(now);
            }
            PersonAct::PutInService(n) if n < there => self.keys[n].in_service = true,
            PersonAct::Disable(n) if n < there => self.keys[n].set_active(false, self.now),
            PersonAct::Enable(n) if n < there => self.keys[n].set_active(true, self.now),
            PersonAct::Delete(n) if n < there => {
                self.keys.remove(n);
            }
            PersonAct::JoinExemption => self.exempt = true,
            PersonAct::LeaveExemption => self.exempt = false,
            PersonAct::DeleteUser => {
                self.exists = false;
                self.keys.clear();
            }
            PersonAct::RecreateUser => self.exists = true,
            PersonAct::RotateNow => {
                self.rotate(RotationEnd::Success);
            }
            PersonAct::PutForeignValue => self.put_foreign_value(),
            PersonAct::RemoveManagedTag => {
                if let Some(secret) = &mut self.secret {
                    secret.tags.remove(tag::MANAGED);
                    secret.facts_lost = true;
                }
            }
            _ => {}
        }
    }

    fn put_foreign_value(&mut self) {
        let foreign = self.next_version();
        if let Some(secret) = self.secret.as_mut().filter(|secret| !secret.deletion_scheduled) {
            secret.versions.insert(foreign.clone(), None);
            secret.current = Some(foreign);
            secret.pending = None;
            secret.last_rotated = self.now;
            secret.facts_lost = true;
        }
    }
}
