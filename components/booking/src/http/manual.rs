//! Bookings without a checkout: of custom treks, and those that staff make for customers.

use std::rc::Rc;

use cairn_shared::{
    Error, Paise, Result,
    http::{Created, Json, Router},
    identity::{Admin, Caller},
    validate::Email,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body, view};
use crate::{
    app::{App, Customer, CustomerError, NewCustomer},
    domain::{
        Booking, CreateError, CustomBooking, ManualBooking, OfflineMethod, PaidStatus, ParticipantInput, Proof,
        participants_max,
    },
};

/// Most that staff may agree on for one booking.
pub(super) const TOTAL_MAX: Paise = Paise::rupees(100_000_000);

/// Longest proof of a payment, in characters.
const REFERENCE_CHARS_MAX: usize = 200;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .post("/api/bookings/custom", create_custom)
        .post("/api/bookings/manual/validate-user", find_customer)
        .post("/api/bookings/manual/create-user", create_customer)
        .post("/api/bookings/manual/create-booking", create_manual)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CustomBody {
    trek_id: Value,
    number_of_participants: Value,
    user_details: Value,
}

impl CustomBody {
    fn parse(self) -> Result<CustomBooking> {
        let required = [&self.trek_id, &self.number_of_participants, &self.user_details];
        if required.iter().any(|value| body::is_nothing(value) && !value.is_number()) {
            return Err(Error::bad_request("Please provide all required fields"));
        }
        let contact = body::contact(&self.user_details)?;
        let count = body::count(&self.number_of_participants)?;
        let trek_id = body::text(&self.trek_id).parse().map_err(|_| CreateError::TrekNotFound)?;
        Ok(CustomBooking { trek_id, count, contact })
    }
}

async fn create_custom(app: Rc<App>, caller: Caller, Json(body): Json<CustomBody>) -> Result<Created<Value>> {
    let new = body.parse()?;
    let booking = app.create_custom(&caller, &new).await?;
    let mut answer = view::created(&booking);
    answer["message"] = json!("Custom trek booking confirmed successfully!");
    Ok(Created(answer))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PhoneBody {
    phone: Value,
}

async fn find_customer(app: Rc<App>, Admin(_): Admin, Json(body): Json<PhoneBody>) -> Result<Json<Value>> {
    let phone = body::text(&body.phone);
    if phone.is_empty() {
        return Err(Error::bad_request("Phone number is required"));
    }
    let found = app.peers.customer_by_phone(&phone).await.map_err(Error::unavailable)?;
    Ok(Json(match found {
        Some(found) => json!({ "exists": true, "user": customer(&found) }),
        None => json!({ "exists": false, "message": "User not found. Please create a new user." }),
    }))
}

fn customer(customer: &Customer) -> Value {
    json!({
        "_id": customer.id,
        "name": customer.name,
        "email": customer.email,
        "phone": customer.phone.as_deref().unwrap_or_default(),
        "address": customer.address.as_deref().unwrap_or_default(),
        "city": customer.city.as_deref().unwrap_or_default(),
        "state": customer.state.as_deref().unwrap_or_default(),
        "zipCode": customer.zip_code.as_deref().unwrap_or_default(),
        "country": customer.country.as_deref().unwrap_or_default(),
        "adminCreated": customer.created_by_staff,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CustomerBody {
    name: Value,
    email: Value,
    phone: Value,
    address: Value,
    city: Value,
    state: Value,
    zip_code: Value,
    country: Value,
}

impl CustomerBody {
    fn parse(self) -> Result<NewCustomer> {
        let [name, email, phone] = [&self.name, &self.email, &self.phone].map(body::text);
        if name.is_empty() || email.is_empty() || phone.is_empty() {
            return Err(Error::bad_request("Name, email, and phone are required"));
        }
        let email = Email::parse(&email).map_err(Error::bad_request)?.to_string();
        let optional = [&self.address, &self.city, &self.state, &self.zip_code, &self.country];
        let [address, city, state, zip_code, country] =
            optional.map(|value| Some(body::text(value)).filter(|text| !text.is_empty()));
        let texts = [Some(&name), address.as_ref(), city.as_ref(), state.as_ref(), zip_code.as_ref(), country.as_ref()];
        if texts.into_iter().flatten().any(|text| text.chars().count() > body::TEXT_CHARS_MAX) {
            let message = format!("A name or an address line may have at most {} characters", body::TEXT_CHARS_MAX);
            return Err(Error::bad_request(message));
        }
        Ok(NewCustomer { name, email, phone, address, city, state, zip_code, country })
    }
}

async fn create_customer(app: Rc<App>, Admin(_): Admin, Json(body): Json<CustomerBody>) -> Result<Created<Value>> {
    let new = body.parse()?;
    let made = app.peers.customer_create(&new).await.map_err(|error| match error {
        CustomerError::Taken => Error::bad_request("User with this phone number or email already exists"),
        CustomerError::Invalid(problem) => Error::bad_request(problem),
        CustomerError::Unavailable(cause) => Error::unavailable(cause),
    })?;
    Ok(Created(json!({ "message": "User created successfully", "user": customer(&made) })))
}

/// `POST /api/bookings/manual/create-booking`. `paymentMethod` (`cash`, `bank_transfer`
/// or `other`) and `paymentReference` are additions to the contract.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ManualBody {
    user_id: Value,
    trek_id: Value,
    batch_id: Value,
    number_of_participants: Value,
    user_details: Value,
    total_price: Value,
    payment_status: Value,
    emergency_contact: Value,
    participant_details: Value,
    additional_requests: Value,
    special_requirements: Value,
    #[serde(flatten)]
    proof: ProofBody,
}

/// How money came that staff received.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ProofBody {
    payment_method: Value,
    payment_reference: Value,
}

impl ProofBody {
    pub(super) fn parse(&self) -> Result<Proof> {
        let method = match body::text(&self.payment_method).as_str() {
            "" | "other" => OfflineMethod::Other,
            "cash" => OfflineMethod::Cash,
            "bank_transfer" => OfflineMethod::BankTransfer,
            _ => return Err(Error::bad_request("paymentMethod has to be cash, bank_transfer or other")),
        };
        let reference = body::text(&self.payment_reference);
        if reference.chars().count() > REFERENCE_CHARS_MAX {
            let message = format!("paymentReference may have at most {REFERENCE_CHARS_MAX} characters");
            return Err(Error::bad_request(message));
        }
        Ok(Proof { method, reference })
    }
}

impl ManualBody {
    fn parse(self) -> Result<ManualBooking> {
        let required = [
            &self.user_id,
            &self.trek_id,
            &self.batch_id,
            &self.number_of_participants,
            &self.user_details,
            &self.total_price,
            &self.payment_status,
        ];
        let missing = || Error::bad_request("Please provide all required fields");
        if required.iter().any(|value| body::is_nothing(value)) {
            return Err(missing());
        }
        let contact = body::contact(&self.user_details)?;
        let total = body::amount(&self.total_price).filter(|total| *total > Paise::ZERO).ok_or_else(missing)?;
        if total > TOTAL_MAX {
            return Err(Error::bad_request(format!("totalPrice may be at most {TOTAL_MAX}")));
        }
        let participants = participants(&self.participant_details)?;
        let count = match participants.len() {
            0 => body::count(&self.number_of_participants)?,
            rows => u32::try_from(rows).unwrap_or(u32::MAX),
        };
        if count > participants_max() {
            return Err(Error::bad_request("Invalid number of participants"));
        }
        let asked = [&self.additional_requests, &self.special_requirements].map(body::text);
        Ok(ManualBooking {
            user_id: body::text(&self.user_id).parse().map_err(|_| CreateError::UserNotFound)?,
            trek_id: body::text(&self.trek_id).parse().map_err(|_| CreateError::TrekNotFound)?,
            batch_id: body::text(&self.batch_id).parse().map_err(|_| CreateError::BatchNotInTrek)?,
            count,
            contact,
            total,
            // Whatever else is said is not paid.
            paid: PaidStatus::parse(&body::text(&self.payment_status)).unwrap_or(PaidStatus::Unpaid),
            proof: self.proof.parse()?,
            emergency: body::emergency(&self.emergency_contact),
            participants,
            requests: asked.into_iter().find(|text| !text.is_empty()).map(|text| body::requests(&text)),
        })
    }
}

/// A list of participants, or one. A form's empty rows are none.
fn participants(value: &Value) -> Result<Vec<ParticipantInput>> {
    let rows = match value {
        Value::Array(rows) => rows.as_slice(),
        Value::Object(_) => std::slice::from_ref(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => &[],
    };
    let filled = |row: &&Value| row.as_object().is_none_or(|row| row.values().any(|value| !body::is_nothing(value)));
    let rows = rows.iter().filter(filled);
    rows.map(|row| serde_json::from_value(row.clone()))
        .collect::<Result<_, _>>()
        .map_err(|error| Error::bad_request(format!("participantDetails: {error}")))
}

async fn create_manual(app: Rc<App>, Admin(staff): Admin, Json(body): Json<ManualBody>) -> Result<Created<Value>> {
    let new = body.parse()?;
    let booking = app.create_manual(&staff, &new).await?;
    Ok(Created(json!({
        "message": "Manual booking created successfully",
        "bookingId": booking.code(),
        "booking": summary(&booking),
    })))
}

fn summary(booking: &Booking) -> Value {
    json!({
        "_id": booking.id,
        "bookingId": booking.code(),
        "status": booking.status,
        "totalPrice": booking.price.total,
        "numberOfParticipants": booking.count(),
        "user": view::user(booking),
        "trek": { "_id": booking.trek_id, "name": booking.trek_name },
        "batch": { "_id": booking.batch_id, "startDate": booking.batch_start, "endDate": booking.batch_end },
    })
}
