//! All SQL of the booking service.

mod booking;
mod call_off;
mod command;
mod declaration;
mod document;
mod export;
mod failed;
mod gift;
mod job;
mod list;
mod mail;
mod payment;
mod policy;
mod split;

pub use booking::{
    Lease, Saved, Taken, booking_delete, booking_fetch, booking_fetch_live, booking_id_by_code, booking_ids_overdue,
    booking_ids_unsettled, booking_insert, booking_list_of_user, booking_place, booking_save, lease_end, lease_lapse,
    lease_take,
};
pub use call_off::{
    booking_list_of_batch, call_off_bookings, call_off_close, call_off_fetch, call_off_fetch_of_batch, call_off_finish,
    call_off_ids_waiting, call_off_insert, call_off_list, call_off_list_open, call_off_note,
};
pub use command::{
    CommandKind, CommandRow, CommandState, command_commit, command_insert, command_list, command_list_open,
    commands_end,
};
pub use declaration::{
    Declaration, declaration_decide, declaration_form_fetch, declaration_form_insert, declaration_insert,
    declaration_list, declaration_page,
};
pub use document::{
    BareInvoice, Document, document_fetch_by_code, document_insert, document_list, invoice_list_bare, number_take,
};
pub use export::{Cursor, booking_list_after, booking_list_paid_of_batch, failed_booking_list_after};
pub use failed::{
    FailedBooking, FailedFilter, FailedStats, failed_booking_fetch, failed_booking_hide, failed_booking_insert,
    failed_booking_page, failed_booking_remove, failed_booking_stats,
};
pub use gift::{
    gift_fetch, gift_insert, gift_list_due, gift_list_of_buyer, gift_mailed, gift_move, gift_page, gift_pay,
};
pub use job::{
    JobDay, booking_list_starting, job_begin, job_list, job_report, job_report_fetch, reminder_insert, reminder_is_sent,
};
pub use list::{Filter, Stats, booking_count, booking_page, booking_stats, participants_since};
pub use mail::{Due, mail_delete, mail_insert, mail_list_due, mail_postpone};
pub use payment::{payment_fetch, payment_insert, payment_list, refund_list, refund_upsert};
pub use policy::{refund_policy_fetch, refund_policy_insert};
pub use split::{booking_ids_lapsed, split_secret_fetch, split_secret_insert};
