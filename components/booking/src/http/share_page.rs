//! The page on which somebody pays a share. The checkout is the provider's, so its script
//! and frames are the only ones of others that the page may load.

use cairn_shared::{Error, Zone, http::Response};

use super::page::{NO_SCRIPTS, escaped, page};
use crate::domain::{Booking, Share, ShareState};

/// Talks to payment and to the provider's checkout.
pub const SCRIPT: &str = include_str!("share_page.js");

/// Where the script is.
pub const SCRIPT_PATH: &str = "/api/bookings/split/pay.js";

const WITH_CHECKOUT: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; \
    script-src 'self' https://checkout.razorpay.com https://js.stripe.com; \
    frame-src https://api.razorpay.com https://checkout.razorpay.com https://js.stripe.com https://hooks.stripe.com; \
    connect-src 'self' https://api.razorpay.com https://lumberjack.razorpay.com https://api.stripe.com; \
    form-action https://api.razorpay.com; frame-ancestors 'none'";

/// What is to be paid, or how the share stands.
pub fn share(booking: &Booking, share: &Share, token: &str, zone: Zone) -> Response {
    let state = booking.share_state(share.id).unwrap_or(ShareState::Closed);
    let people = booking.participants.iter().filter(|participant| share.participants.contains(&participant.id));
    let people: Vec<_> = people.map(|participant| escaped(&participant.name)).collect();
    let about = format!(
        "<p>{} has booked {} from {} to {}. This share is for {}.</p>",
        escaped(&booking.contact.name),
        escaped(&booking.trek_name),
        zone.day_text(booking.batch_start),
        zone.day_text(booking.batch_end),
        people.join(", "),
    );
    let now = match state {
        ShareState::Open => {
            let deadline = booking.split.as_ref().map(|split| zone.day_text(split.deadline)).unwrap_or_default();
            format!(
                "<p>Please pay until {deadline}. After that the seat goes to others.</p>\
                 <button id=\"pay\" data-token=\"{}\">Pay \u{20b9}{}</button><p id=\"told\" role=\"status\"></p>\
                 <div id=\"card\"></div><script src=\"{SCRIPT_PATH}\"></script>",
                escaped(token),
                booking.price_for(&share.participants),
            )
        }
        ShareState::Waiting => "<p>It can be paid as soon as whoever booked has paid.</p>".to_owned(),
        ShareState::Paid => "<p>It is paid. Thank you!</p>".to_owned(),
        ShareState::Closed => "<p>Nothing is to be paid for it any more.</p>".to_owned(),
    };
    let policy = if state == ShareState::Open { WITH_CHECKOUT } else { NO_SCRIPTS };
    page(200, "Your share", &[about, now].concat(), policy)
}

pub fn problem(error: &Error) -> Response {
    let text = format!("<p>{}</p>", escaped(error.public_message()));
    page(error.status(), "This did not work", &text, NO_SCRIPTS)
}
