//! The staff's table of bookings.

use cairn_shared::Zone;

use super::Cell;
use crate::domain::Booking;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    BookingId,
    TrekName,
    BatchDate,
    UserName,
    UserEmail,
    UserPhone,
    Participants,
    TotalPrice,
    Status,
    CreatedAt,
    PaymentStatus,
    Notes,
}

impl Field {
    pub const ALL: [Self; 12] = [
        Self::BookingId,
        Self::TrekName,
        Self::BatchDate,
        Self::UserName,
        Self::UserEmail,
        Self::UserPhone,
        Self::Participants,
        Self::TotalPrice,
        Self::Status,
        Self::CreatedAt,
        Self::PaymentStatus,
        Self::Notes,
    ];

    /// Names it in a request.
    pub fn key(self) -> &'static str {
        match self {
            Self::BookingId => "bookingId",
            Self::TrekName => "trekName",
            Self::BatchDate => "batchDate",
            Self::UserName => "userName",
            Self::UserEmail => "userEmail",
            Self::UserPhone => "userPhone",
            Self::Participants => "participants",
            Self::TotalPrice => "totalPrice",
            Self::Status => "status",
            Self::CreatedAt => "createdAt",
            Self::PaymentStatus => "paymentStatus",
            Self::Notes => "notes",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::BookingId => "Booking ID",
            Self::TrekName => "Trek Name",
            Self::BatchDate => "Batch Date",
            Self::UserName => "User Name",
            Self::UserEmail => "User Email",
            Self::UserPhone => "User Phone",
            Self::Participants => "Participants",
            Self::TotalPrice => "Total Price",
            Self::Status => "Status",
            Self::CreatedAt => "Booking Date",
            Self::PaymentStatus => "Payment Status",
            Self::Notes => "Notes",
        }
    }

    /// The columns that a comma-separated list names, each once; without one, all but notes.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn list(text: Option<&str>) -> Result<Vec<Self>, String> {
        let names: Vec<_> =
            text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Ok(Self::ALL.into_iter().filter(|field| *field != Self::Notes).collect());
        }
        let mut fields = Vec::new();
        for name in names {
            let field = Self::ALL.into_iter().find(|field| field.key() == name).ok_or_else(|| name.to_owned())?;
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        Ok(fields)
    }

    fn cell(self, booking: &Booking, trek_name: &str, zone: Zone) -> Cell {
        match self {
            Self::BookingId => Cell::text(booking.id.to_string()),
            Self::TrekName => Cell::text(trek_name),
            Self::BatchDate => {
                Cell::text(format!("{} - {}", zone.day_text(booking.batch_start), zone.day_text(booking.batch_end)))
            }
            Self::UserName => Cell::text(&booking.user.name),
            Self::UserEmail => Cell::text(&booking.user.email),
            Self::UserPhone => Cell::optional(booking.user.phone.as_deref()),
            Self::Participants => Cell::Count(booking.count()),
            Self::TotalPrice => Cell::Amount(booking.price.total),
            Self::Status => Cell::text(booking.status.as_str()),
            Self::CreatedAt => Cell::text(zone.day_text(booking.created_at)),
            Self::PaymentStatus => Cell::text(booking.payment_status()),
            Self::Notes => Cell::text(&booking.admin_remarks),
        }
    }
}

/// A booking's row, under the name that its trek has.
pub fn row(booking: &Booking, fields: &[Field], trek_name: &str, zone: Zone) -> Vec<Cell> {
    fields.iter().map(|field| field.cell(booking, trek_name, zone)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_once_and_by_their_keys() {
        assert_eq!(Field::list(None).unwrap().len(), 11);
        assert_eq!(Field::list(Some(" , ")).unwrap().len(), 11);
        let named = Field::list(Some("notes, bookingId,notes"));
        assert_eq!(named, Ok(vec![Field::Notes, Field::BookingId]));
        assert_eq!(Field::list(Some("notes,=1")), Err("=1".into()));
    }
}
