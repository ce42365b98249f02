//! Commands: what staff, owners and schedules have done with a booking.
//!
//! A command is a row from the moment its lease is taken. Its steps, each of which may
//! be repeated:
//!
//! 1. lease and row (`begun`), in one transaction;
//! 2. the seats that it needs more of, and places on another batch;
//! 3. the changed booking with its mails, its refunds to ask for and the row
//!    (`committed`), in one transaction;
//! 4. [`App::settle`]: fewer seats, the move, the checkout, the refunds;
//! 5. lease and row (`done`) end, in one transaction.
//!
//! A crash before 3 leaves the booking as it was: settling gives back what step 2 took,
//! and the row is `undone`. A crash after it goes forward: settling finishes. Which
//! steps a command needs follows from the booking before and after, so that a command
//! itself is one pure decision.

use cairn_shared::{Id, identity::Caller};

use super::{App, BookingError, HoldRequest, LEASE, Place, SeatsError, mails::MailIntent, noting::Deed};
use crate::{
    domain::{Booking, Status, Who},
    store::{self, CommandKind, Lease},
};

/// How often a decision is made anew because the booking changed under it.
const DECISIONS_MAX: u32 = 2;

/// Who has a command done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// None: the system.
    pub id: Option<Id>,
    pub who: Who,
}

impl Actor {
    pub const SYSTEM: Self = Self { id: None, who: Who::System };

    /// Somebody in their strongest capacity that counts here.
    pub fn of(caller: &Caller, who: Who) -> Self {
        let who = if caller.is_admin() { Who::Admin } else { who };
        Self { id: Some(caller.id), who }
    }
}

/// A command that is about to be run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command {
    pub id: Id,
    pub kind: CommandKind,
    pub actor: Actor,
}

/// What a command makes of a booking.
pub(super) struct Decision {
    pub booking: Booking,
    pub mails: Vec<MailIntent>,
}

impl From<Booking> for Decision {
    fn from(booking: Booking) -> Self {
        Self { booking, mails: Vec::new() }
    }
}

impl App {
    pub(super) fn new_command(&self, kind: CommandKind, actor: Actor) -> Command {
        Command { id: self.env.id(), kind, actor }
    }

    /// Runs a command on a booking that people know of. `decide` is asked first without
    /// a lease, so that most refusals cost nothing, and again under it.
    ///
    /// # Errors
    /// Those of `decide`, [`BookingError::Busy`] when the booking keeps changing; then
    /// nothing has changed.
    pub(super) async fn run(
        &self,
        id: Id,
        command: &Command,
        decide: &dyn Fn(&Booking) -> Result<Decision, BookingError>,
    ) -> Result<Booking, BookingError> {
        decide(&self.visible(&self.db, id).await?)?;
        let lease = self.new_lease();
        self.lease_soon(id, &lease, Some(command)).await?;
        let outcome = self.carry_out(id, command, decide, &lease).await;
        self.settle_now(id, &lease).await;
        let booking = outcome?;
        self.wake().await;
        // Settling may have changed the row once more.
        Ok(store::booking_fetch(&self.db, id).await?.unwrap_or(booking))
    }

    async fn carry_out(
        &self,
        id: Id,
        command: &Command,
        decide: &dyn Fn(&Booking) -> Result<Decision, BookingError>,
        lease: &Lease,
    ) -> Result<Booking, BookingError> {
        let mut outcome = Err(BookingError::Busy);
        for _ in 0..DECISIONS_MAX {
            let before = self.visible(&self.db, id).await?;
            let decision = decide(&before)?;
            self.seat_first(&before, &decision.booking, command).await?;
            outcome = self.commit(command, &decision, lease).await;
            if !matches!(outcome, Err(BookingError::Busy)) {
                break;
            }
        }
        outcome
    }

    /// Takes the seats that the changed booking has more of, or has elsewhere.
    async fn seat_first(&self, before: &Booking, after: &Booking, command: &Command) -> Result<(), SeatsError> {
        if !after.status.holds_seats() {
            return Ok(());
        }
        if !before.status.holds_seats() {
            let request = HoldRequest {
                booking_id: after.id,
                batch_id: after.batch_id,
                seats: after.seats(),
                expires_at: self.now().plus(LEASE),
                use_reserved: true,
            };
            self.peers.hold(&request).await?;
            return self.peers.confirm(after.id).await;
        }
        if before.batch_id != after.batch_id {
            return self.peers.reserve(&place(after, command.id)).await;
        }
        if after.seats() > before.seats() { self.peers.resize(after.id, after.seats()).await } else { Ok(()) }
    }

    async fn commit(&self, command: &Command, decision: &Decision, lease: &Lease) -> Result<Booking, BookingError> {
        self.db
            .transaction(async |tx| {
                let mut booking = decision.booking.clone();
                let occasion = command.id.to_string();
                let deed =
                    Deed { action: command.kind.as_str(), actor: Some(command.actor), occasion: Some(&occasion) };
                self.save_as(tx, &mut booking, Some(lease), deed).await?;
                store::command_commit(tx, command.id, booking.status).await?;
                for mail in &decision.mails {
                    self.queue(tx, &booking, mail, &occasion).await?;
                }
                Ok::<_, BookingError>(booking)
            })
            .await
    }
}

/// The place that a command keeps on the batch that its booking goes to.
pub(super) fn place(booking: &Booking, command: Id) -> Place {
    Place { key: format!("{}/{command}", booking.id), batch_id: booking.batch_id, seats: booking.seats() }
}

/// Whether a booking in this state has seats that no session limits.
pub(super) fn is_seated(status: Status) -> bool {
    status.holds_seats() && !matches!(status, Status::PendingPayment | Status::Creating)
}
