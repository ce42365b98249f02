//! Why something is not done with a booking, in the words that clients show.

use cairn_shared::Paise;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Already cancelled")]
    AlreadyCancelled,
    #[error("This booking cannot be cancelled")]
    NotCancellable,
    #[error("No participants to cancel")]
    NobodyToCancel,
    #[error("Participant not found")]
    NoSuchParticipant,
    #[error("Participant is already cancelled")]
    ParticipantCancelled,
    #[error("Participant is not cancelled")]
    ParticipantNotCancelled,
    #[error("Cannot cancel participant after trek has started")]
    Started,
    #[error("Refund amount (\u{20b9}{asked}) cannot exceed booking amount (\u{20b9}{available})")]
    RefundAbove { asked: Paise, available: Paise },
    #[error("Custom refund amount (\u{20b9}{asked}) cannot exceed booking amount (\u{20b9}{available})")]
    CustomAbove { asked: Paise, available: Paise },
    #[error("Custom refund amount (\u{20b9}{asked}) cannot exceed participant's share (\u{20b9}{share})")]
    AboveShare { asked: Paise, share: Paise },
    #[error("Only cancelled bookings can be restored")]
    NotCancelled,
    #[error("Cannot restore a refunded booking")]
    Refunded,
    #[error("The booking was cancelled as a whole. Please restore the booking.")]
    CancelledAsAWhole,
    #[error("Cannot restore a refunded participant")]
    ParticipantRefunded,
    #[error("Not enough spots available in this batch")]
    SoldOut,
    #[error("Document not found")]
    NoSuchDocument,
    #[error("The invoice has been issued and can no longer be changed")]
    Invoiced,
    #[error("Paid bookings cannot be deleted")]
    Paid,
    #[error("Only confirmed bookings can be marked as trek completed")]
    NotConfirmed,
    #[error("Batch not found")]
    BatchNotFound,
    #[error("Trek not found")]
    TrekNotFound,
    #[error("New batch not found")]
    NewBatchNotFound,
    #[error("New batch does not have enough capacity")]
    NewBatchFull,
    #[error("Cannot shift to a batch that has already started")]
    ShiftStarted,
    #[error("This batch is no longer open for booking")]
    BatchClosed,
    #[error("Preferred batch is the same as current batch")]
    SameBatch,
    #[error("This booking cannot be shifted")]
    NotShiftable,
    #[error("This customer already has an unpaid booking on that batch")]
    UnpaidThere,
    #[error("Cannot create request for cancelled booking")]
    RequestCancelled,
    #[error("Only paid bookings can be cancelled or rescheduled on request")]
    RequestUnpaid,
    #[error("There is already a pending request for this booking")]
    RequestPending,
    #[error("Preferred batch is required for reschedule requests")]
    NoPreferredBatch,
    #[error("Trek or batches not found")]
    NoBatches,
    #[error("Preferred batch does not belong to this trek")]
    ForeignBatch,
    #[error("Preferred batch cannot be the same as current batch")]
    PreferredSame,
    #[error("Preferred batch is full")]
    PreferredFull,
    #[error("No pending request found for this booking")]
    NoRequest,
    #[error("Preferred batch not found in reschedule request")]
    NothingPreferred,
    #[error("Preferred batch not found in trek")]
    PreferredGone,
    #[error("There is no such gift")]
    GiftNotFound,
    #[error("This gift was not paid: nothing can go back")]
    GiftUnpaid,
    #[error("Some of this gift is spent, or waits for a booking that is being paid")]
    GiftSpent,
    #[error("This batch was not called off")]
    NotCalledOff,
    #[error("A choice has been made for this booking already. Please get in touch with us to change it.")]
    AlreadyChosen,
    #[error("There is nothing to choose for this booking")]
    NothingToChoose,
    #[error("The time to choose is over: the money goes back")]
    ChoiceOver,
    #[error("A batch that has started cannot be called off")]
    CallOffStarted,
    #[error("Owners have from 1 to {0} days to choose")]
    ChoiceDays(u32),
    #[error("A reason of 1 to {0} characters is required: owners read it")]
    CallOffReason(usize),
    #[error("The bonus has to be from 0 to 100 percent")]
    CallOffBonus,
    #[error("The price can be shared until the booking is paid for. Please book again.")]
    SplitUnpaidOnly,
    #[error("Please give the details of everybody who comes first")]
    SplitNeedsDetails,
    #[error(
        "Each share is for at least one participant, each participant is in one share, whoever books pays for at least one, and there are at most {0} shares"
    )]
    SplitShares(usize),
    #[error("Each share has to be at least one rupee")]
    SplitTooSmall,
    #[error("hours has to be from 1 to {0}")]
    SplitHours(u32),
    #[error("The trek begins too soon for others to pay shares")]
    SplitTooLate,
    #[error("Whoever pays a share needs a name of at most {0} characters and an e-mail address")]
    SharePayer(usize),
    #[error("The price of this booking is not shared")]
    NotSplit,
    #[error("There is no such share")]
    NoSuchShare,
    #[error("This share has been paid, or is not to be paid any more")]
    ShareOver,
    #[error("Others can pay shares of this booking now: a voucher cannot pay beside them")]
    VoucherBesideShares,
    #[error("Several people have paid for this booking: their money can only go back to them")]
    PaidByOthers,
    #[error("Nothing is to be paid for this booking now")]
    NothingOwed,
    #[error("The balance of this booking is not overdue")]
    NotOverdue,
    #[error("Invalid payment status")]
    PaymentStatus,
    #[error("Booking is not in partial payment status")]
    NotPartial,
    #[error("No partial payment details found")]
    NoInstalments,
    #[error("Reminder already sent for this booking")]
    Reminded,
    #[error("Participant details are already provided for this booking")]
    DetailsKnown,
    #[error("This booking was not created by an admin")]
    NotByStaff,
    #[error("A booking can have at most {0} remarks")]
    TooManyRemarks(usize),
    #[error("Nothing has to be declared for this booking")]
    NothingToDeclare,
    #[error("This declaration has been approved already")]
    DeclarationApproved,
    #[error("This declaration was refused. Please contact us.")]
    DeclarationRefused,
    #[error("Nothing can be declared for this booking any more")]
    DeclarationOver,
    #[error("There is no such declaration")]
    NoDeclaration,
    #[error("The declaration is of somebody else than who comes now. Please ask for another one.")]
    OtherPerson,
    #[error("A seat of this booking cannot be given to somebody else")]
    NotTransferable,
    #[error("A seat cannot be given to somebody else after the trek has started")]
    TransferStarted,
    #[error("A seat can be given to somebody else until {0} days before the trek. Please contact us.")]
    TransferTooLate(i64),
    #[error(
        "The price of a booking that was paid for cannot be changed. Cancel participants, or make another booking."
    )]
    PriceFixed,
    #[error("Batch not found")]
    NoSuchBatch,
    #[error("No participants found for this batch")]
    NobodyToExport,
    #[error(
        "These are {rows} rows; such a file has at most {rows_max}. Please choose fewer days, one trek or one status, or another file type."
    )]
    ExportTooLong { rows: i64, rows_max: u32 },
}

impl Refusal {
    /// Whether what the request is about does not exist.
    pub fn is_about_something_missing(self) -> bool {
        matches!(
            self,
            Self::NoSuchParticipant
                | Self::NoSuchDocument
                | Self::NoSuchBatch
                | Self::NobodyToExport
                | Self::TrekNotFound
                | Self::NewBatchNotFound
                | Self::NoDeclaration
                | Self::NotCalledOff
                | Self::GiftNotFound
                | Self::NotSplit
                | Self::NoSuchShare
        )
    }
}
