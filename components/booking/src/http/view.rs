//! Bookings as clients read them. What is not named here does not leave the service.

use cairn_shared::page::Page;
use serde_json::{Map, Value, json};

use crate::{
    app::{Listing, Setting},
    domain::{Batch, Booking, PartialPayment, Participant, Payment, Status},
};

/// Adds a key whose value may be unset; clients know such keys as absent.
pub(super) fn put<T: serde::Serialize>(object: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), json!(value));
    }
}

pub(super) fn extend(object: &mut Map<String, Value>, fields: Value) {
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
}

fn partial(partial: &PartialPayment) -> Value {
    let mut object = Map::new();
    extend(
        &mut object,
        json!({
            "initialAmount": partial.initial,
            "remainingAmount": partial.remaining,
            "finalPaymentDueDate": partial.due,
            "reminderSent": partial.reminder_sent_at.is_some(),
        }),
    );
    put(&mut object, "reminderSentAt", partial.reminder_sent_at);
    put(&mut object, "initialPaymentDate", partial.initial_paid_at);
    put(&mut object, "finalPaymentDate", partial.final_paid_at);
    Value::Object(object)
}

fn participant(participant: &Participant) -> Value {
    let mut object = Map::new();
    extend(
        &mut object,
        json!({
            "_id": participant.id,
            "id": participant.id,
            "name": participant.name,
            "email": participant.email,
            "phone": participant.phone,
            "age": participant.age,
            "allergies": participant.allergies,
            "extraComment": participant.extra_comment,
            "medicalConditions": participant.medical_conditions,
            "specialRequests": participant.special_requests,
            "customFields": participant.custom_fields,
            "customFieldResponses": participant.custom_field_responses,
            "status": if participant.is_cancelled { "bookingCancelled" } else { "confirmed" },
            "isCancelled": participant.is_cancelled,
            "cancellationReason": participant.cancellation_reason,
            "refundStatus": participant.refund_status,
            "refundAmount": participant.refund_amount,
            "refundType": participant.refund_type,
        }),
    );
    put(&mut object, "gender", participant.gender.as_deref());
    put(&mut object, "cancelledAt", participant.cancelled_at);
    put(&mut object, "refundDate", participant.refund_date);
    Value::Object(object)
}

/// A batch as bookings show it.
pub(super) fn batch(batch: &Batch) -> Value {
    json!({
        "_id": batch.id,
        "startDate": batch.start,
        "endDate": batch.end,
        "price": batch.price,
        "maxParticipants": batch.max_participants,
        "currentParticipants": batch.taken,
        "reservedSlots": batch.reserved_slots,
        "status": batch.status.as_str(),
    })
}

fn payment_details(booking: &Booking) -> Option<Value> {
    let mut object = Map::new();
    if let Some(payment) = &booking.first_payment {
        extend(
            &mut object,
            json!({
                "paymentId": payment.id,
                "orderId": payment.order_id,
                "paidAt": payment.captured_at,
                "amount": payment.amount,
                "currency": "INR",
                "method": payment.method,
                "status": "captured",
            }),
        );
    }
    put(&mut object, "lastError", booking.payment_error.as_ref());
    (!object.is_empty()).then_some(Value::Object(object))
}

/// How it was paid.
pub fn payment_method(booking: &Booking) -> &str {
    match &booking.first_payment {
        Some(payment) => &payment.method,
        None if booking.status == Status::PendingPayment => "Pending",
        None => "Manual/Offline",
    }
}

/// What everybody who may see a booking sees of it; ids are plain.
fn common(booking: &Booking) -> Map<String, Value> {
    let mut object = Map::new();
    let add_ons = booking
        .add_ons
        .iter()
        .map(|add_on| json!({ "name": add_on.name, "price": add_on.price, "_id": add_on.id, "id": add_on.id }));
    extend(
        &mut object,
        json!({
            "_id": booking.id,
            "id": booking.id,
            "bookingId": booking.code(),
            "user": booking.user.id,
            "trek": booking.trek_id,
            "batch": booking.batch_id,
            "numberOfParticipants": booking.count(),
            "addOns": add_ons.collect::<Vec<_>>(),
            "userDetails": booking.contact,
            "totalPrice": booking.price.total,
            "status": booking.status,
            "paymentMode": booking.mode,
            "partialPaymentDetails": booking.partial.as_ref().map(partial),
            "participantDetails": booking.participants.iter().map(participant).collect::<Vec<_>>(),
            "refundStatus": booking.refund_status,
            "refundAmount": booking.refund_amount,
            "refundType": booking.refund_type,
            "cancellationReason": booking.cancellation_reason,
            "adminCreated": booking.admin_created,
            "cancellationRequest": booking.cancellation_request,
            "formattedDates": { "startDate": booking.batch_start, "endDate": booking.batch_end },
            "amountPaid": booking.paid,
            "paymentStatus": booking.payment_status(),
            "paymentMethod": payment_method(booking),
            "createdAt": booking.created_at,
            "updatedAt": booking.updated_at,
        }),
    );
    if let Some(promo) = &booking.promo {
        extend(
            &mut object,
            json!({ "promoCodeDetails": {
                "promoCodeId": promo.id,
                "code": promo.code,
                "discountType": promo.discount_type,
                "discountValue": promo.value_on_wire(),
                "discountAmount": promo.discount,
                "originalPrice": promo.original_price,
            }}),
        );
    }
    if let Some(contact) = &booking.emergency {
        extend(
            &mut object,
            json!({ "emergencyContact": {
                "name": contact.name,
                "phone": contact.phone,
                "relation": contact.relation,
                "relationship": contact.relation,
            }}),
        );
    }
    put(&mut object, "additionalRequests", booking.additional_requests.as_deref());
    put(&mut object, "specialRequirements", booking.special_requirements.as_deref());
    put(&mut object, "cancelledAt", booking.cancelled_at);
    put(&mut object, "cancelledBy", booking.cancelled_by);
    put(&mut object, "refundDate", booking.refund_date);
    put(&mut object, "paymentDetails", payment_details(booking));
    put(&mut object, "due", super::vouchers::due(booking));
    put(&mut object, "callOff", super::call_offs::of(booking));
    object
}

/// What only staff see.
fn internal(object: &mut Map<String, Value>, booking: &Booking) {
    let remarks = booking.remarks.iter().map(|remark| {
        json!({
            "_id": remark.id,
            "remarks": remark.remarks,
            "addedBy": { "_id": remark.added_by, "name": remark.added_by_username, "email": remark.added_by_email },
            "addedByUsername": remark.added_by_username,
            "addedAt": remark.added_at,
        })
    });
    extend(object, json!({ "adminRemarks": booking.admin_remarks, "remarksHistory": remarks.collect::<Vec<_>>() }));
    let refunds = booking.refund_requests.iter().map(|request| {
        json!({
            "key": request.key,
            "participant": request.participant,
            "amount": request.amount,
            "type": request.kind,
            "reason": request.reason,
            "status": request.status,
            "requestedBy": request.requested_by,
            "requestedAt": request.requested_at,
            "settledAt": request.settled_at,
        })
    });
    extend(object, json!({ "refunds": refunds.collect::<Vec<_>>() }));
    put(object, "bookingSession", session(booking));
}

fn session(booking: &Booking) -> Option<Value> {
    booking.session.as_ref().map(|session| {
        json!({
            "sessionId": session.id,
            "expiresAt": session.expires_at,
            "paymentAttempts": session.attempts,
            "lastPaymentAttempt": session.last_attempt,
        })
    })
}

/// A booking by itself.
pub fn raw(booking: &Booking, staff: bool) -> Value {
    let mut object = common(booking);
    if staff {
        internal(&mut object, booking);
    }
    Value::Object(object)
}

/// As [`raw`], with the names of trek and customer.
pub fn with_names(booking: &Booking, staff: bool) -> Value {
    let mut object = raw(booking, staff);
    object["user"] = user(booking);
    object["trek"] = json!({ "_id": booking.trek_id, "name": booking.trek_name });
    object
}

/// The answer to its owner, who has just made it: with the session, and without what
/// staff may have noted.
pub fn created(booking: &Booking) -> Value {
    let mut object = common(booking);
    extend(&mut object, json!({ "adminRemarks": "", "remarksHistory": [] }));
    put(&mut object, "bookingSession", session(booking));
    Value::Object(object)
}

/// A booking in its owner's list.
pub fn own(booking: &Booking, setting: &Setting) -> Value {
    let mut object = common(booking);
    let mut trek = json!({ "_id": booking.trek_id, "name": booking.trek_name });
    if let Some(known) = setting.treks.get(&booking.trek_id) {
        trek["name"] = json!(known.name);
        if let Some(image) = &known.image {
            trek["imageUrl"] = json!(image);
        }
    }
    let found = setting.batch(booking.batch_id);
    extend(&mut object, json!({ "trek": trek, "batch": found.map(batch), "participants": booking.count() }));
    if let Some(found) = found {
        extend(
            &mut object,
            json!({
                "startDate": found.start,
                "endDate": found.end,
                "batchPrice": found.price,
                "maxParticipants": found.max_participants,
                "currentParticipants": found.taken,
                "batchStatus": found.status.as_str(),
            }),
        );
    }
    Value::Object(object)
}

/// The trek with all its batches, and the booked one.
fn populated(booking: &Booking, setting: &Setting) -> Value {
    let name = setting.treks.get(&booking.trek_id).map_or(&booking.trek_name, |trek| &trek.name);
    let batches: Vec<_> = setting.batches_of(booking.trek_id).map(batch).collect();
    json!({
        "user": user(booking),
        "trek": { "_id": booking.trek_id, "name": name, "batches": batches },
        "batch": setting.batch(booking.batch_id).map(batch),
    })
}

pub(super) fn user(booking: &Booking) -> Value {
    let user = &booking.user;
    let phone = user.phone.as_deref().filter(|phone| !phone.is_empty()).unwrap_or(&booking.contact.phone);
    json!({ "_id": user.id, "name": user.name, "email": user.email, "phone": phone })
}

/// A page of the staff's list.
pub fn listing(listing: &Listing, page: Page) -> Value {
    let bookings = listing.bookings.iter().map(|booking| {
        let mut object = common(booking);
        internal(&mut object, booking);
        extend(&mut object, populated(booking, &listing.setting));
        Value::Object(object)
    });
    let stats = listing.stats;
    let average = if stats.total == 0 { 0 } else { (2 * stats.revenue.0 + stats.total).div_euclid(2 * stats.total) };
    json!({
        "bookings": bookings.collect::<Vec<_>>(),
        "pagination": page.info(stats.total),
        "stats": {
            "totalRevenue": stats.revenue,
            "totalBookings": stats.total,
            "confirmedBookings": stats.confirmed,
            "cancelledBookings": stats.cancelled,
            "averageBookingValue": cairn_shared::Paise(average),
            "todayParticipantsCount": listing.today_participants,
        },
    })
}

/// One booking with everything around it.
pub fn detail(booking: &Booking, setting: &Setting, payments: &[Payment], staff: bool) -> Value {
    let mut object = common(booking);
    let active: Vec<_> = booking.participants.iter().filter(|p| !p.is_cancelled).map(participant).collect();
    extend(&mut object, populated(booking, setting));
    let found = setting.batch(booking.batch_id);
    extend(
        &mut object,
        json!({
            "success": true,
            "booking": { "_id": booking.id, "status": booking.status },
            "startDate": found.map_or(booking.batch_start, |batch| batch.start),
            "endDate": found.map_or(booking.batch_end, |batch| batch.end),
            "participants": booking.count(),
            "activeParticipantCount": active.len(),
            "activeParticipants": active,
            "totalAmount": booking.price.total,
        }),
    );
    if staff {
        internal(&mut object, booking);
        let payments = payments.iter().map(|payment| {
            json!({
                "id": payment.id,
                "orderId": payment.order_id,
                "kind": payment.kind,
                "amount": payment.amount,
                "method": payment.method,
                "capturedAt": payment.captured_at,
            })
        });
        extend(&mut object, json!({ "payments": payments.collect::<Vec<_>>() }));
    } else {
        for internal in ["promoCodeDetails", "paymentDetails"] {
            object.remove(internal);
        }
    }
    Value::Object(object)
}
