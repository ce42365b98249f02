//! A guest's values as Postgres sends and takes them, in its binary format.
//!
//! Which types fit which is as Spin has it, so that a component meets the same
//! refusals on both: an `int64` is a `bigint` and nothing else. What Spin cannot read
//! at all (`timestamptz`, numbers of more than 28 digits) is read here.

use sqlx::{
    TypeInfo as _,
    postgres::{PgTypeInfo, PgTypeKind},
};

use super::{
    calendar, numeric,
    wit::{DbDataType, DbValue, Interval, ParameterValue, RangeBoundKind},
};

/// The types that have a value of their own in the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Bool,
    Char,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Numeric,
    Int4Range,
    Int8Range,
    NumRange,
    Int4Array,
    Int8Array,
    NumericArray,
    /// With the id of the type of its elements.
    TextArray(u32),
    Other,
}

const INT4: u32 = 23;
const INT8: u32 = 20;
const NUMERIC: u32 = 1700;
/// Types of extensions whose binary format is their text.
const TEXT_TYPES: [&str; 4] = ["citext", "ltree", "lquery", "ltxtquery"];

impl Type {
    fn of(info: &PgTypeInfo) -> Self {
        if let PgTypeKind::Domain(base) = info.kind() {
            return Self::of(base);
        }
        match info.oid().map_or(0, |oid| oid.0) {
            16 => Self::Bool,
            17 => Self::Bytea,
            18 => Self::Char,
            INT8 => Self::Int8,
            21 => Self::Int2,
            INT4 => Self::Int4,
            19 | 25 | 705 | 1042 | 1043 => Self::Text,
            114 => Self::Json,
            700 => Self::Float4,
            701 => Self::Float8,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 | 1184 => Self::Timestamp,
            1186 => Self::Interval,
            NUMERIC => Self::Numeric,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            3904 => Self::Int4Range,
            3926 => Self::Int8Range,
            3906 => Self::NumRange,
            1007 => Self::Int4Array,
            1016 => Self::Int8Array,
            1231 => Self::NumericArray,
            1009 => Self::TextArray(25),
            1014 => Self::TextArray(1042),
            1015 => Self::TextArray(1043),
            _ if TEXT_TYPES.iter().any(|name| info.name().eq_ignore_ascii_case(name)) => Self::Text,
            _ => Self::Other,
        }
    }
}

/// What a guest is told of a column.
pub(super) fn data_type(info: &PgTypeInfo) -> DbDataType {
    match Type::of(info) {
        Type::Bool => DbDataType::Boolean,
        Type::Int2 => DbDataType::Int16,
        Type::Int4 => DbDataType::Int32,
        Type::Int8 => DbDataType::Int64,
        Type::Float4 => DbDataType::Floating32,
        Type::Float8 => DbDataType::Floating64,
        Type::Text => DbDataType::Str,
        Type::Bytea => DbDataType::Binary,
        Type::Date => DbDataType::Date,
        Type::Time => DbDataType::Time,
        Type::Timestamp => DbDataType::Datetime,
        Type::Interval => DbDataType::Interval,
        Type::Uuid => DbDataType::Uuid,
        Type::Jsonb => DbDataType::Jsonb,
        Type::Numeric => DbDataType::Decimal,
        Type::Int4Range => DbDataType::RangeInt32,
        Type::Int8Range => DbDataType::RangeInt64,
        Type::NumRange => DbDataType::RangeDecimal,
        Type::Int4Array => DbDataType::ArrayInt32,
        Type::Int8Array => DbDataType::ArrayInt64,
        Type::NumericArray => DbDataType::ArrayDecimal,
        Type::TextArray(_) => DbDataType::ArrayStr,
        Type::Char | Type::Json | Type::Other => DbDataType::Other(info.name().to_ascii_lowercase()),
    }
}

/// Bytes that a value takes up in the host, about.
pub(super) fn size(value: &DbValue) -> usize {
    let texts = |texts: &[Option<String>]| texts.iter().flatten().map(String::len).sum::<usize>() + size_of_val(texts);
    size_of::<DbValue>()
        + match value {
            DbValue::Str(text) | DbValue::Uuid(text) | DbValue::Decimal(text) => text.len(),
            DbValue::Binary(bytes) | DbValue::Jsonb(bytes) | DbValue::Unsupported(bytes) => bytes.len(),
            DbValue::ArrayInt32(list) => size_of_val(list.as_slice()),
            DbValue::ArrayInt64(list) => size_of_val(list.as_slice()),
            DbValue::ArrayDecimal(list) | DbValue::ArrayStr(list) => texts(list),
            _ => 0,
        }
}

/// The bytes of a parameter, or nothing for NULL.
///
/// # Errors
/// Why the value cannot be one of this type.
pub(super) fn encode(value: &ParameterValue, info: &PgTypeInfo) -> Result<Option<Vec<u8>>, String> {
    use ParameterValue as P;
    let wanted = Type::of(info);
    let bytes = match (value, wanted) {
        (P::DbNull, _) => return Ok(None),
        (P::Boolean(v), Type::Bool) => vec![u8::from(*v)],
        (P::Int8(v), Type::Char) => v.to_be_bytes().to_vec(),
        (P::Int16(v), Type::Int2) => v.to_be_bytes().to_vec(),
        (P::Int32(v), Type::Int4) => v.to_be_bytes().to_vec(),
        (P::Int64(v), Type::Int8) => v.to_be_bytes().to_vec(),
        (P::Floating32(v), Type::Float4) => v.to_be_bytes().to_vec(),
        (P::Floating64(v), Type::Float8) => v.to_be_bytes().to_vec(),
        (P::Str(v), Type::Text) => v.clone().into_bytes(),
        (P::Binary(v), Type::Bytea) => v.clone(),
        (P::Date(v), Type::Date) => calendar::date_to_days(*v)?.to_be_bytes().to_vec(),
        (P::Time(v), Type::Time) => calendar::time_to_micros(*v)?.to_be_bytes().to_vec(),
        (P::Datetime(v), Type::Timestamp) => calendar::datetime_to_micros(*v)?.to_be_bytes().to_vec(),
        (P::Timestamp(v), Type::Timestamp) => calendar::unix_to_micros(*v)?.to_be_bytes().to_vec(),
        (P::Interval(v), Type::Interval) => {
            [&v.micros.to_be_bytes()[..], &v.days.to_be_bytes(), &v.months.to_be_bytes()].concat()
        }
        (P::Uuid(v), Type::Uuid) => uuid_bytes(v)?,
        (P::Jsonb(v), Type::Json) => checked_json(v)?.to_vec(),
        // The version of the format comes first.
        (P::Jsonb(v), Type::Jsonb) => [&[1], checked_json(v)?].concat(),
        (P::Decimal(v), Type::Numeric) => numeric::encode(v)?,
        (P::RangeInt32(v), Type::Int4Range) => encode_range(v, |v| Ok(v.to_be_bytes().to_vec()))?,
        (P::RangeInt64(v), Type::Int8Range) => encode_range(v, |v| Ok(v.to_be_bytes().to_vec()))?,
        (P::RangeDecimal(v), Type::NumRange) => encode_range(v, |v| numeric::encode(v))?,
        (P::ArrayInt32(v), Type::Int4Array) => encode_array(v, INT4, |v| Ok(v.to_be_bytes().to_vec()))?,
        (P::ArrayInt64(v), Type::Int8Array) => encode_array(v, INT8, |v| Ok(v.to_be_bytes().to_vec()))?,
        (P::ArrayDecimal(v), Type::NumericArray) => encode_array(v, NUMERIC, |v| numeric::encode(v))?,
        (P::ArrayStr(v), Type::TextArray(element)) => encode_array(v, element, |v| Ok(v.clone().into_bytes()))?,
        _ => return Err(format!("the statement takes {} here, not {}", info.name(), name(value))),
    };
    Ok(Some(bytes))
}

/// What a guest gets of a column.
///
/// # Errors
/// Why the bytes are none that the interface can express.
pub(super) fn decode(bytes: &[u8], info: &PgTypeInfo) -> Result<DbValue, String> {
    Ok(match Type::of(info) {
        Type::Bool => DbValue::Boolean(bytes == [1]),
        Type::Int2 => DbValue::Int16(i16::from_be_bytes(fixed(bytes)?)),
        Type::Int4 => DbValue::Int32(i32::from_be_bytes(fixed(bytes)?)),
        Type::Int8 => DbValue::Int64(i64::from_be_bytes(fixed(bytes)?)),
        Type::Float4 => DbValue::Floating32(f32::from_be_bytes(fixed(bytes)?)),
        Type::Float8 => DbValue::Floating64(f64::from_be_bytes(fixed(bytes)?)),
        Type::Text => DbValue::Str(text(bytes)?),
        Type::Bytea => DbValue::Binary(bytes.to_vec()),
        Type::Date => DbValue::Date(calendar::days_to_date(i32::from_be_bytes(fixed(bytes)?))?),
        Type::Time => DbValue::Time(calendar::micros_to_time(i64::from_be_bytes(fixed(bytes)?))?),
        Type::Timestamp => DbValue::Datetime(calendar::micros_to_datetime(i64::from_be_bytes(fixed(bytes)?))?),
        Type::Interval => {
            let mut rest = bytes;
            DbValue::Interval(Interval {
                micros: i64::from_be_bytes(take(&mut rest)?),
                days: i32::from_be_bytes(take(&mut rest)?),
                months: i32::from_be_bytes(take(&mut rest)?),
            })
        }
        Type::Uuid => DbValue::Uuid(uuid_text(fixed(bytes)?)),
        Type::Jsonb => match bytes.split_first() {
            Some((1, json)) => DbValue::Jsonb(json.to_vec()),
            _ => return Err("JSON of an unknown version".to_owned()),
        },
        Type::Numeric => DbValue::Decimal(numeric::decode(bytes)?),
        Type::Int4Range => DbValue::RangeInt32(decode_range(bytes, |v| Ok(i32::from_be_bytes(fixed(v)?)))?),
        Type::Int8Range => DbValue::RangeInt64(decode_range(bytes, |v| Ok(i64::from_be_bytes(fixed(v)?)))?),
        Type::NumRange => DbValue::RangeDecimal(decode_range(bytes, numeric::decode)?),
        Type::Int4Array => DbValue::ArrayInt32(decode_array(bytes, |v| Ok(i32::from_be_bytes(fixed(v)?)))?),
        Type::Int8Array => DbValue::ArrayInt64(decode_array(bytes, |v| Ok(i64::from_be_bytes(fixed(v)?)))?),
        Type::NumericArray => DbValue::ArrayDecimal(decode_array(bytes, numeric::decode)?),
        Type::TextArray(_) => DbValue::ArrayStr(decode_array(bytes, text)?),
        Type::Char | Type::Json | Type::Other => DbValue::Unsupported(bytes.to_vec()),
    })
}

fn name(value: &ParameterValue) -> &'static str {
    use ParameterValue as P;
    match value {
        P::Boolean(_) => "boolean",
        P::Int8(_) => "int8",
        P::Int16(_) => "int16",
        P::Int32(_) => "int32",
        P::Int64(_) => "int64",
        P::Floating32(_) => "floating32",
        P::Floating64(_) => "floating64",
        P::Str(_) => "str",
        P::Binary(_) => "binary",
        P::Date(_) => "date",
        P::Time(_) => "time",
        P::Datetime(_) => "datetime",
        P::Timestamp(_) => "timestamp",
        P::Uuid(_) => "uuid",
        P::Jsonb(_) => "jsonb",
        P::Decimal(_) => "decimal",
        P::RangeInt32(_) => "range-int32",
        P::RangeInt64(_) => "range-int64",
        P::RangeDecimal(_) => "range-decimal",
        P::ArrayInt32(_) => "array-int32",
        P::ArrayInt64(_) => "array-int64",
        P::ArrayDecimal(_) => "array-decimal",
        P::ArrayStr(_) => "array-str",
        P::Interval(_) => "interval",
        P::DbNull => "db-null",
    }
}

/// What the server sends when it keeps to its own format.
const TRUNCATED: &str = "the value is not as long as its type says";

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| TRUNCATED.to_owned())
}

/// The next bytes, in place of which `rest` is what follows.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (first, after) = rest.split_first_chunk::<N>().ok_or(TRUNCATED)?;
    *rest = after;
    Ok(*first)
}

/// The next value of a list, which says its length first; nothing for NULL.
fn take_element<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
    let length = i32::from_be_bytes(take(rest)?);
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let (element, after) = rest.split_at_checked(length).ok_or(TRUNCATED)?;
    *rest = after;
    Ok(Some(element))
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "the text is not UTF-8".to_owned())
}

fn checked_json(json: &[u8]) -> Result<&[u8], String> {
    serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|error| format!("it is no JSON: {error}"))?;
    Ok(json)
}

fn uuid_bytes(text: &str) -> Result<Vec<u8>, String> {
    let bare = text.trim_start_matches("urn:uuid:").trim_start_matches('{').trim_end_matches('}');
    let digits: Option<Vec<u8>> = bare
        .chars()
        .filter(|character| *character != '-')
        .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len() == 32 => Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        _ => Err(format!("{text:?} is no UUID")),
    }
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

type Bound<T> = Option<(T, RangeBoundKind)>;

const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

fn encode_range<T>(
    (lower, upper): &(Bound<T>, Bound<T>),
    encode: impl Fn(&T) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0];
    for (bound, inclusive, infinite) in
        [(lower, LOWER_INCLUSIVE, LOWER_INFINITE), (upper, UPPER_INCLUSIVE, UPPER_INFINITE)]
    {
        match bound {
            None => bytes[0] |= infinite,
            Some((value, kind)) => {
                if *kind == RangeBoundKind::Inclusive {
                    bytes[0] |= inclusive;
                }
                push_element(&mut bytes, &encode(value)?)?;
            }
        }
    }
    Ok(bytes)
}

/// An empty range has no bounds, as in Spin.
fn decode_range<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, String>) -> Result<(Bound<T>, Bound<T>), String> {
    let mut rest = bytes;
    let [flags] = take(&mut rest)?;
    let mut bound = |inclusive: u8, infinite: u8| {
        if flags & (EMPTY | infinite) != 0 {
            return Ok::<_, String>(None);
        }
        let value = take_element(&mut rest)?.ok_or(TRUNCATED)?;
        let kind = if flags & inclusive == 0 { RangeBoundKind::Exclusive } else { RangeBoundKind::Inclusive };
        Ok(Some((decode(value)?, kind)))
    };
    Ok((bound(LOWER_INCLUSIVE, LOWER_INFINITE)?, bound(UPPER_INCLUSIVE, UPPER_INFINITE)?))
}

fn push_element(bytes: &mut Vec<u8>, element: &[u8]) -> Result<(), String> {
    bytes.extend(count(element.len())?.to_be_bytes());
    bytes.extend(element);
    Ok(())
}

fn count(count: usize) -> Result<i32, String> {
    i32::try_from(count).map_err(|_| "it is too long".to_owned())
}

fn encode_array<T>(
    list: &[Option<T>],
    element_type: u32,
    encode: impl Fn(&T) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    let dimensions = i32::from(!list.is_empty());
    let has_null = i32::from(list.iter().any(Option::is_none));
    let mut bytes = [dimensions.to_be_bytes(), has_null.to_be_bytes(), element_type.to_be_bytes()].concat();
    if dimensions == 1 {
        bytes.extend(count(list.len())?.to_be_bytes());
        // The first element has the index 1.
        bytes.extend(1_i32.to_be_bytes());
    }
    for element in list {
        match element {
            Some(value) => push_element(&mut bytes, &encode(value)?)?,
            None => bytes.extend((-1_i32).to_be_bytes()),
        }
    }
    Ok(bytes)
}

fn decode_array<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, String>) -> Result<Vec<Option<T>>, String> {
    let mut rest = bytes;
    let dimensions = i32::from_be_bytes(take(&mut rest)?);
    let (_has_null, _element_type): ([u8; 4], [u8; 4]) = (take(&mut rest)?, take(&mut rest)?);
    match dimensions {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => return Err("arrays of several dimensions are not supported".to_owned()),
    }
    let length = i32::from_be_bytes(take(&mut rest)?);
    let _first_index: [u8; 4] = take(&mut rest)?;
    (0..length).map(|_| take_element(&mut rest)?.map(&decode).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_as_they_are_written() {
        let text = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        let bytes = uuid_bytes(text).unwrap();
        assert_eq!(uuid_text(bytes.try_into().unwrap()), text);
        assert!(uuid_bytes("f47ac10b-58cc-4372-a567-0e02b2c3d47").is_err());
        assert!(uuid_bytes("zz7ac10b-58cc-4372-a567-0e02b2c3d479").is_err());
    }

    #[test]
    fn ranges_and_arrays_come_back() {
        let int = |bytes: &[u8]| Ok(i32::from_be_bytes(fixed(bytes)?));
        for range in [
            (Some((1, RangeBoundKind::Inclusive)), Some((5, RangeBoundKind::Exclusive))),
            (None, Some((5, RangeBoundKind::Inclusive))),
            (None, None),
        ] {
            let bytes = encode_range(&range, |v: &i32| Ok(v.to_be_bytes().to_vec())).unwrap();
            assert_eq!(decode_range(&bytes, int).unwrap(), range);
        }
        for list in [vec![], vec![Some(1), None, Some(-3)]] {
            let bytes = encode_array(&list, INT4, |v: &i32| Ok(v.to_be_bytes().to_vec())).unwrap();
            assert_eq!(decode_array(&bytes, int).unwrap(), list);
            assert!(list.is_empty() || decode_array(&bytes[..bytes.len() - 1], int).is_err());
        }
    }
}
