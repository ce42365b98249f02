//! Commands on bookings: what is being done, and what was.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, params};

use crate::domain::Status;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandKind {
    Cancel,
    CancelParticipants,
    Restore,
    RestoreParticipant,
    Shift,
    Transfer,
    Resize,
    Request,
    Answer,
    Complete,
    Confirm,
    ReceiveOffline,
    AutoCancel,
    Expire,
    /// Its batch is called off.
    CallOff,
    /// Its owner chose money or a voucher, or another batch.
    Choose,
    Rebook,
    /// A voucher is to pay, or none any more.
    Tender,
    /// Others pay shares of it, or none any more.
    Split,
    Delete,
}

impl CommandKind {
    pub const ALL: [Self; 20] = [
        Self::Cancel,
        Self::CancelParticipants,
        Self::Restore,
        Self::RestoreParticipant,
        Self::Shift,
        Self::Transfer,
        Self::Resize,
        Self::Request,
        Self::Answer,
        Self::Complete,
        Self::Confirm,
        Self::ReceiveOffline,
        Self::AutoCancel,
        Self::Expire,
        Self::CallOff,
        Self::Choose,
        Self::Rebook,
        Self::Tender,
        Self::Split,
        Self::Delete,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::CancelParticipants => "cancel_participants",
            Self::Restore => "restore",
            Self::RestoreParticipant => "restore_participant",
            Self::Shift => "shift",
            Self::Transfer => "transfer",
            Self::Resize => "resize",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Complete => "complete",
            Self::Confirm => "confirm",
            Self::ReceiveOffline => "receive_offline",
            Self::AutoCancel => "auto_cancel",
            Self::Expire => "expire",
            Self::CallOff => "call_off",
            Self::Choose => "choose",
            Self::Rebook => "rebook",
            Self::Tender => "tender",
            Self::Split => "split",
            Self::Delete => "delete",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How far a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandState {
    /// Others may have been asked; the booking is as it was.
    Begun,
    /// The booking has changed; others may not agree yet.
    Committed,
    Done,
    Undone,
}

impl CommandState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Committed => "committed",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Begun, Self::Committed, Self::Done, Self::Undone].into_iter().find(|state| state.as_str() == text)
    }
}

/// A command on a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRow {
    pub id: Id,
    pub kind: CommandKind,
    pub state: CommandState,
    /// An account's id, or `system`.
    pub actor: String,
    pub status_before: String,
    /// None until it is committed.
    pub status_after: Option<String>,
    pub begun_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

fn command(row: &Row) -> Result<CommandRow, DbError> {
    let column = |column: &str, problem: String| DbError::Column { column: column.into(), problem };
    let (kind, state): (String, String) = (row.get("kind")?, row.get("state")?);
    Ok(CommandRow {
        id: row.get("id")?,
        kind: CommandKind::parse(&kind).ok_or_else(|| column("kind", kind))?,
        state: CommandState::parse(&state).ok_or_else(|| column("state", state))?,
        actor: row.get("actor")?,
        status_before: row.get("status_before")?,
        status_after: row.get("status_after")?,
        begun_at: row.get("begun_at")?,
        ended_at: row.get("ended_at")?,
    })
}

/// Notes that a command begins.
pub async fn command_insert(
    tx: &Tx,
    id: Id,
    booking_id: Id,
    kind: CommandKind,
    actor: Option<Id>,
    before: Status,
    now: Timestamp,
) -> Result<(), DbError> {
    let insert = "INSERT INTO commands (id, booking_id, kind, state, actor, status_before, begun_at) \
                  VALUES ($1, $2, $3, 'begun', $4, $5, $6)";
    let actor = actor.map_or_else(|| "system".to_owned(), |actor| actor.to_string());
    tx.execute(insert, params![id, booking_id, kind.as_str(), actor, before.as_str(), now]).await
}

/// Notes that a command has changed its booking, in the transaction of that change.
pub async fn command_commit(tx: &Tx, id: Id, after: Status) -> Result<(), DbError> {
    let update = "UPDATE commands SET state = 'committed', status_after = $1 WHERE id = $2 AND state = 'begun'";
    tx.execute(update, params![after.as_str(), id]).await
}

/// Ends whatever is open on a booking: everybody agrees with its row.
pub async fn commands_end(tx: &Tx, booking_id: Id, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE commands SET state = CASE WHEN state = 'committed' THEN 'done' ELSE 'undone' END, ended_at = $1 \
                  WHERE booking_id = $2 AND (state = 'begun' OR state = 'committed')";
    tx.execute(update, params![now, booking_id]).await
}

/// Open commands of a booking, newest first.
pub async fn command_list_open(sql: &impl Sql, booking_id: Id) -> Result<Vec<CommandRow>, DbError> {
    let select = "SELECT id, kind, state, actor, status_before, status_after, begun_at, ended_at FROM commands \
                  WHERE booking_id = $1 AND (state = 'begun' OR state = 'committed') ORDER BY begun_at DESC, id DESC";
    sql.query(select, params![booking_id]).await?.iter().map(command).collect()
}

/// Commands of a booking, oldest first.
pub async fn command_list(sql: &impl Sql, booking_id: Id) -> Result<Vec<CommandRow>, DbError> {
    let select = "SELECT id, kind, state, actor, status_before, status_after, begun_at, ended_at FROM commands \
                  WHERE booking_id = $1 ORDER BY begun_at, id LIMIT 1000";
    sql.query(select, params![booking_id]).await?.iter().map(command).collect()
}
